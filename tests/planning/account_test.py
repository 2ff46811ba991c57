"""Tests of the account of a compiled step, on virtual CPU devices."""

import jax
import pytest

from sagan_jax.gan import build, flops
from sagan_jax.planning import account, topologies
from tests.support import tiny, tpu_program


@pytest.fixture(autouse=True)
def networks():
  with tiny.small_networks():
    yield


def test_of_a_step_on_two_devices():
  c, topology = tiny.config(num_classes=10), topologies.find('cpu:2')
  found = account.make(c, topology)
  mesh = jax.sharding.Mesh(topology.devices(), ('data',))
  gan = build.build_gan(c, mesh)
  state = build.state_shapes(gan, mesh, c.image_size)
  params = jax.tree.leaves((state.generator.params, state.discriminator.params))
  assert found['fits']
  assert found['flops_per_image'] == flops.step_flops(gan)
  # The state, and half a batch.
  images = c.batch_size * (32 * 32 * 3 + 4)
  assert found['memory']['arguments'] == found['state_bytes'] + images // 2
  (messages,) = found['collectives']
  assert (messages['kind'], messages['dtype']) == ('all-reduce', 'f32')
  # All gradients, once, and some sums of batch norm and metrics.
  assert 0 <= messages['bytes'] - 4 * sum(x.size for x in params) < 4096
  assert 'cycles' not in found


def test_of_a_program_for_a_tpu():
  found = account.program(tpu_program.TEXT, is_tpu=True)
  assert found['cycles'] == sum(found['origins'].values()) == 1552
  assert found['hbm_bytes'] > 0
  assert found['padding']['worst'] == []


@pytest.mark.parametrize(
  'text, needed, available',
  [
    (
      'RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory '
      'in memory space hbm. Used 20.50G of 15.75G hbm. Exceeded hbm capacity',
      20.5 * 2**30,
      15.75 * 2**30,
    ),
    (
      'RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required '
      'for HLO temporaries (256.00G) exceeds available HBM (31.25G).',
      256 * 2**30,
      31.25 * 2**30,
    ),
    ('RESOURCE_EXHAUSTED: something new', None, None),
  ],
)
def test_a_program_that_is_too_large(monkeypatch, text, needed, available):
  class Lowered:
    def compile(self):
      raise jax.errors.JaxRuntimeError(text)

  monkeypatch.setattr(build, 'lower_step', lambda *_: Lowered())
  found = account.make(tiny.config(num_classes=10), topologies.find('cpu:2'))
  assert not found['fits']
  assert found['needed_bytes'] == needed
  assert found['available_bytes'] == available


def test_other_failures_of_the_compiler_are_not_hidden(monkeypatch):
  class Lowered:
    def compile(self):
      raise jax.errors.JaxRuntimeError('INTERNAL: a fault')

  monkeypatch.setattr(build, 'lower_step', lambda *_: Lowered())
  with pytest.raises(jax.errors.JaxRuntimeError, match='INTERNAL: a fault'):
    account.make(tiny.config(num_classes=10), topologies.find('cpu:2'))
