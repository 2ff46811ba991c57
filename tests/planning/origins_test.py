"""Tests of what instructions are for."""

import pytest

from sagan_jax.planning import hlo, origins
from tests.support import tpu_program


@pytest.mark.parametrize(
  'scopes, origin',
  [
    ('jvp(Generator)/block1/norm1/norm1._moments/reduce_sum', 'batch_norm'),
    ('transpose(jvp(Generator))/norm/mul', 'batch_norm'),
    ('jvp(Generator)/block1/conv1/spectral_norm/dot_general', 'spectral_norm'),
    ('jvp(Generator)/block1/skip/resampling/reduce_sum', 'resampling'),
    ('jvp(Generator)/block1/conv1/weights/dot_general', 'weights'),
    ('transpose(jvp(Discriminator))/block1/conv1/bias/reduce_sum', 'biases'),
    ('jvp(Discriminator)/block1/conv1/conv_general_dilated', 'convolutions'),
    ('jvp(Generator)/Generator.long_range/attention_32/sub', 'attention'),
    ('jvp(Generator)/attention_32/query/conv_general_dilated', 'attention'),
    ('jvp(Generator)/attention_32/out/spectral_norm/mul', 'spectral_norm'),
    ('optimizer/add', 'optimizer_and_average'),
    ('jvp(Generator)/block1/jit(relu)/max', None),
    ('jvp(abnorm)/sub', None),
  ],
)
def test_scopes_tell_the_origin(scopes, origin):
  assert origins.of_scopes(f'jit(train_step)/{scopes}') == origin


def test_the_parts_are_known_and_sum_to_the_whole():
  parts = origins.cycles(hlo.parse(tpu_program.TEXT))
  assert parts == {
    # The fusion is called after its last operation, of batch norm; the copy
    # has no name and is of what a convolution made.
    'convolutions': 1000 + 200,
    'batch_norm': 300,
    'optimizer_and_average': 4 * 10,
    'activations_and_skips': 5,
    'losses_and_other': 7,
  }
