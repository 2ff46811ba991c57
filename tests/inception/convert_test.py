"""Tests of folding, the name tables, and the refusal of other networks."""

import jax
import numpy as np
import pytest

from sagan_jax.inception import convert
from sagan_jax.inception import network as inception
from tests.support import evaluation_fakes as fakes


@pytest.fixture(scope='module')
def state():
  return fakes.random_state_dict()


def test_fold_equals_convolution_then_batch_norm():
  rng = np.random.default_rng(0)
  x = rng.normal(size=(50, 6))
  kernel = rng.normal(size=(1, 1, 6, 4))
  gamma, beta, mean = rng.normal(size=(3, 4))
  variance = rng.uniform(1e-4, 2, 4)
  normalised = (x @ kernel[0, 0] - mean) / np.sqrt(variance + 1e-3)
  folded = convert.fold(kernel, gamma, beta, mean, variance, 1e-3)
  np.testing.assert_allclose(
    x @ folded['kernel'][0, 0] + folded['bias'],
    normalised * gamma + beta,
    rtol=1e-5,  # float32 storage, amplified by up to 1 / sqrt(1e-3)
    atol=1e-4,
  )


def test_name_tables_cover_every_layer_once():
  layers = set(inception.param_shapes(('logits',)))
  assert set(convert.TORCH_LAYERS) | {'softmax'} == layers
  assert len(set(convert.TORCH_LAYERS.values())) == len(convert.TORCH_LAYERS)


def test_state_dict_converts_each_entry_by_its_own_statistics(state):
  params = convert.from_state_dict(state)
  scale = state['Mixed_7c.branch3x3dbl_3b.bn.weight'] / np.sqrt(
    state['Mixed_7c.branch3x3dbl_3b.bn.running_var'] + 1e-3
  )
  layer = params['mixed_10/tower_1/mixed/conv_1']
  # Torch keeps [out, in, h, w]; this is a 3x1 kernel.
  np.testing.assert_allclose(
    layer['kernel'][2, 0, 5, 7],
    state['Mixed_7c.branch3x3dbl_3b.conv.weight'][7, 5, 2, 0] * scale[7],
    rtol=1e-6,
  )
  np.testing.assert_array_equal(
    params['softmax']['kernel'], state['fc.weight'].T
  )


def test_frozen_graph_gives_the_parameters_of_the_state_dict(state):
  constants = fakes.graph_constants(state)
  norms = {f'{node}/batchnorm': (1e-3, False) for node in convert.TORCH_LAYERS}
  ours = convert.from_frozen_graph(constants, norms)
  expected = convert.from_state_dict(fakes.without_gamma(state))
  jax.tree.map(np.testing.assert_array_equal, ours, expected)


def test_frozen_graph_obeys_its_batch_norm_attributes(state):
  constants = fakes.graph_constants(state)
  norms = {f'{node}/batchnorm': (1e-3, True) for node in convert.TORCH_LAYERS}
  norms['conv/batchnorm'] = (0.5, True)
  ours = convert.from_frozen_graph(constants, norms)
  expected = convert.from_state_dict(state)
  np.testing.assert_array_equal(
    ours['conv_1']['kernel'], expected['conv_1']['kernel']
  )
  variance = state['Conv2d_1a_3x3.bn.running_var']
  np.testing.assert_allclose(
    ours['conv']['kernel'],
    expected['conv']['kernel'] * np.sqrt((variance + 1e-3) / (variance + 0.5)),
    rtol=1e-5,
  )


def test_missing_entries_are_named(state):
  short = dict(state)
  del short['Mixed_6c.branch7x7_2.bn.bias']
  with pytest.raises(
    ValueError, match='Mixed_6c.branch7x7_2.bn.bias is missing'
  ):
    convert.from_state_dict(short)
  with pytest.raises(ValueError, match='conv/batchnorm is missing among 0'):
    convert.from_frozen_graph({}, {})


def test_a_network_of_other_shapes_is_refused(state):
  # torchvision's Inception has 1000 outputs and the same names.
  other = state | {
    'fc.weight': state['fc.weight'][:1000],
    'fc.bias': state['fc.bias'][:1000],
  }
  with pytest.raises(
    ValueError, match=r'softmax/bias has shape \(1000,\), not \(1008,\)'
  ):
    convert.from_state_dict(other)


def test_flat_arrays_round_trip_and_are_checked():
  shapes = inception.param_shapes(('64',))
  params = {
    layer: {
      leaf: np.full(shape, 0.5, np.float32) for leaf, shape in leaves.items()
    }
    for layer, leaves in shapes.items()
  }
  flat = convert.to_flat(params)
  assert list(flat)[0].startswith('conv/')
  jax.tree.map(
    np.testing.assert_array_equal, convert.from_flat(flat, ('64',)), params
  )
  flat['conv_9/bias'] = flat.pop('conv_2/bias')
  with pytest.raises(
    ValueError, match='conv_2/bias is missing; conv_9/bias is not'
  ):
    convert.from_flat(flat, ('64',))
  with pytest.raises(ValueError, match='and [0-9]+ more'):
    convert.from_flat({}, ('64',))
