"""Names of weights, and what is refused of them."""

import hashlib

import numpy as np
import pytest

from sagan_jax import errors
from sagan_jax.weights import tensors


def _weights():
  return {
    'generator.params.dense.kernel': np.arange(6, dtype=np.float32).reshape(
      2, 3
    ),
    'ema.params.gate': np.array(2, np.float32),
  }


def test_names_are_paths_in_order():
  named = _weights()
  tree = tensors.unflatten(named)
  assert tree['ema'] == {'params': {'gate': np.float32(2)}}
  assert list(tensors.flatten(tree)) == sorted(named)
  assert tensors.flatten(tree)['ema.params.gate'] is named['ema.params.gate']


def test_the_digest_is_that_of_names_shapes_and_bytes():
  content = (
    b'ema.params.gate []\n'
    + np.float32(2).tobytes()
    + b'generator.params.dense.kernel [2, 3]\n'
    + np.arange(6, dtype='<f4').tobytes()
  )
  named = _weights()
  wanted = hashlib.sha256(content).hexdigest()
  assert tensors.digest(named) == wanted
  reversed_order = dict(reversed(named.items()))
  assert tensors.digest(reversed_order) == wanted
  named['generator.params.dense.kernel'] = np.asfortranarray(
    named['generator.params.dense.kernel']
  )
  assert tensors.digest(named) == wanted
  named['ema.params.gate'] = np.array(np.nextafter(2, 3, dtype=np.float32))
  assert tensors.digest(named) != wanted


@pytest.mark.parametrize('value', [np.nan, -np.inf])
def test_values_that_are_not_finite_are_refused(value):
  named = _weights()
  named['generator.params.dense.kernel'][1, 2] = value
  with pytest.raises(
    errors.UserError, match=r"FILE: 'generator.params.dense.kernel' holds"
  ):
    tensors.check_finite(named, 'FILE')


def test_all_that_differs_is_counted_and_the_first_five_are_listed():
  wanted = {f'layer{i}': np.zeros((2, i)) for i in range(6)}
  tensors.check_shapes(wanted, wanted, 'FILE')
  found = {f'layer{i}': np.zeros((3, i)) for i in range(5)} | {
    'more': np.ones(1)
  }
  with pytest.raises(errors.UserError) as e:
    tensors.check_shapes(found, wanted, 'FILE')
  first, *lines = str(e.value).splitlines()
  assert first.startswith('FILE holds the weights of other networks')
  assert '7 arrays differ' in first
  assert lines[0] == '  layer0: [3, 0] in the file, [2, 0] by the config'
  assert lines[5] == '  and 2 more' and len(lines) == 7
  with pytest.raises(errors.UserError, match="'more' .1.: the config has none"):
    tensors.check_shapes(wanted | {'more': np.ones(1)}, wanted, 'FILE')
  with pytest.raises(
    errors.UserError, match='layer5 .2, 5.: the file has none'
  ):
    tensors.check_shapes(dict(list(wanted.items())[:5]), wanted, 'FILE')
