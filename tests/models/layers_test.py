"""Spectrally normalised layers: values, and when their vectors move."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax.models import layers, resample
from tests.oracle import layers as oracle_layers
from tests.oracle import networks as oracle

pytestmark = pytest.mark.slow

NUM_CLASSES = 7


def _dense_input(rng):
  return rng.standard_normal((5, 6)).astype(np.float32)


def _image_input(rng):
  return rng.standard_normal((5, 4, 4, 6)).astype(np.float32)


def _label_input(rng):
  return rng.integers(NUM_CLASSES, size=5)


# name: (layer, its input).
LAYERS = {
  'conv': (layers.SNConv(8), _image_input),
  'conv_1x1': (layers.SNConv(8, kernel_size=1, use_bias=False), _image_input),
  'dense': (layers.SNDense(8), _dense_input),
  'embed': (layers.SNEmbed(NUM_CLASSES, 6), _label_input),
}


@functools.cache
def _case(name):
  """Returns a layer, its input and variables, all entries of which count."""
  layer, make_input = LAYERS[name]
  rng = np.random.default_rng(0)
  x = make_input(rng)
  # NumPy, for the oracle too.
  variables = jax.device_get(layer.init(jax.random.key(0), x))
  params = jax.tree.map(
    lambda p: p + rng.standard_normal(p.shape).astype(np.float32),
    variables['params'],
  )
  return layer, x, {**variables, 'params': params}


def _oracle(name, x, variables):
  params, state = variables['params'], variables['spectral']
  if name == 'embed':
    table, u, sigma = oracle_layers.spectral_normalize_embedding(
      params['embedding'], state['u']
    )
    return table[x], {'u': u, 'sigma': sigma}
  layer = oracle.sn_dense if name == 'dense' else oracle.sn_conv
  return layer(x, params, state)


@pytest.mark.parametrize('name', LAYERS)
def test_output_and_new_state_equal_the_oracle(name):
  layer, x, variables = _case(name)
  y, new = layer.apply(variables, x, mutable=['spectral'])
  expected, state = _oracle(name, x, variables)
  assert y.dtype == jnp.float32
  np.testing.assert_allclose(y, expected, atol=1e-5)
  np.testing.assert_allclose(new['spectral']['u'], state['u'], atol=1e-6)
  np.testing.assert_allclose(
    new['spectral']['sigma'], state['sigma'], rtol=1e-5
  )


@pytest.mark.parametrize('name', LAYERS)
def test_nothing_moves_unless_spectral_is_mutable(name):
  layer, x, variables = _case(name)
  first = layer.apply(variables, x)  # A write to a frozen collection raises.
  second, new = layer.apply(variables, x, mutable=['intermediates'])
  assert not new
  np.testing.assert_array_equal(first, second)
  # The output that comes with new vectors is that of the stored ones.
  third, new = layer.apply(variables, x, mutable=['spectral'])
  np.testing.assert_array_equal(first, third)
  moved = layer.apply({**variables, **new}, x)
  if name != 'embed':
    assert np.abs(moved - first).max() > 1e-3


@pytest.mark.parametrize('name', LAYERS)
def test_vectors_do_not_move_at_init(name):
  layer, make_input = LAYERS[name]
  variables = layer.init(
    jax.random.key(1), make_input(np.random.default_rng(0))
  )
  state = variables['spectral']
  assert state['sigma'] == 1
  assert abs(np.linalg.norm(state['u']) - 1) > 0.1  # As drawn.
  outputs = NUM_CLASSES if name == 'embed' else 8
  assert state['u'].shape == (outputs,)


def test_initial_values():
  layer = layers.SNConv(256)
  shape = jnp.zeros((1, 4, 4, 64))
  variables = jax.jit(layer.init)(jax.random.key(0), shape)
  kernel = variables['params']['kernel']
  # Glorot: uniform up to sqrt(6 / (fan in + fan out)).
  limit = np.sqrt(6 / (9 * 64 + 9 * 256))
  assert np.abs(kernel).max() <= limit
  np.testing.assert_allclose(kernel.std(), limit / np.sqrt(3), rtol=0.01)
  np.testing.assert_array_equal(variables['params']['bias'], np.zeros(256))
  # A normal cut at two deviations has the standard deviation 0.8796.
  u = variables['spectral']['u']
  assert 1.5 < np.abs(u).max() <= 2
  np.testing.assert_allclose(u.std(), 0.8796, rtol=0.1)


@pytest.mark.parametrize('layer', [layers.SNConv, layers.SNDense])
def test_initializers(layer):
  def kernel(initializer):
    x = jnp.zeros((2, 4, 4, 64) if layer is layers.SNConv else (2, 576))
    made = layer(32, initializer=initializer).init(jax.random.key(0), x)
    return made['params']['kernel'].reshape(-1, 32)

  limit = np.sqrt(6 / (576 + (9 * 32 if layer is layers.SNConv else 32)))
  uniform = kernel('glorot_uniform')
  assert 0.95 * limit < np.abs(uniform).max() <= limit
  orthogonal = kernel('orthogonal')
  np.testing.assert_allclose(orthogonal.T @ orthogonal, np.eye(32), atol=1e-5)
  np.testing.assert_allclose(kernel('normal').std(), 0.02, rtol=0.05)


def test_layers_of_a_network_draw_different_vectors():
  layer = nn.Sequential([layers.SNDense(6), layers.SNDense(6)])
  state = layer.init(jax.random.key(0), jnp.zeros((1, 6)))['spectral']
  one, other = (leaf['u'] for leaf in state.values())
  assert np.abs(one - other).max() > 0.1


@pytest.mark.parametrize('name', ['conv', 'dense'])
def test_the_bias_is_not_normalised(name):
  layer, x, variables = _case(name)
  params = variables['params']
  shifted = {**params, 'bias': params['bias'] + 3}
  y, z = (layer.apply({**variables, 'params': p}, x) for p in (params, shifted))
  np.testing.assert_allclose(z - y, np.full(y.shape, 3), atol=1e-5)


def test_a_resampling_takes_the_normalised_kernel():
  _, x, variables = _case('conv')
  up = functools.partial(resample.upsample_conv, form='cheap')
  y = layers.SNConv(8, convolve=up).apply(variables, x)
  big = np.asarray(resample.upsample(x))
  expected, _ = oracle.sn_conv(big, variables['params'], variables['spectral'])
  np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize('name', ['conv', 'dense', 'embed'])
def test_the_gradient_rule_reaches_the_layer(name):
  layer, x, variables = _case(name)

  def grad(rule):
    def fn(params):
      y = layer.clone(gradient=rule).apply({**variables, 'params': params}, x)
      return jnp.sum(jnp.sin(y))

    (kernel,) = (
      v for k, v in jax.grad(fn)(variables['params']).items() if k != 'bias'
    )
    return kernel

  assert np.abs(grad('full') - grad('constant')).max() > 1e-3


@pytest.mark.parametrize('name', ['conv', 'dense'])
def test_only_the_normalised_weight_is_cast(name):
  layer, x, variables = _case(name)
  y, new = layer.apply(variables, x, mutable=['spectral'])
  low, low_new = layer.apply(
    variables, x.astype(jnp.bfloat16), mutable=['spectral']
  )
  assert low.dtype == jnp.bfloat16
  for one, other in zip(*map(jax.tree.leaves, (new, low_new)), strict=True):
    assert other.dtype == jnp.float32
    np.testing.assert_array_equal(one, other)
  # 54 products of 8 bits each, of numbers up to 3.
  np.testing.assert_allclose(np.asarray(low, np.float32), y, atol=0.1)
