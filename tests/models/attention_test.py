"""Self-attention and its residual control against the oracle and by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax.models import attention, layers
from tests.oracle import networks as oracle
from tests.oracle import shapes as oracle_shapes

pytestmark = pytest.mark.slow

CHANNELS = 16
SIZE = 8


def _block(kind, formula='code'):
  if kind == 'residual':
    return attention.ResidualControl(layers.SNConv)
  return attention.SelfAttention(layers.SNConv, formula)


@functools.cache
def _case(kind, formula='code'):
  """An input and oracle trees of random parameters and vectors."""
  rng = np.random.default_rng(0)
  x = rng.standard_normal((3, SIZE, SIZE, CHANNELS))
  shapes = oracle_shapes.discriminator_shapes(
    image_size=32,
    ch=CHANNELS // 2,
    num_classes=1,
    formula=formula,
    **{kind: (SIZE,)},
  )[f'{kind}_{SIZE}']
  trees = (
    oracle_shapes.random_params(shapes, rng),
    oracle_shapes.random_spectral(shapes, rng),
  )
  return x, *trees


def _float32(tree):
  return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree)


def _apply(kind, formula, x, params, spectral):
  return _block(kind, formula).apply(
    _float32({'params': params, 'spectral': spectral}),
    _float32(x),
    mutable=['spectral', 'intermediates'],
  )


def _assert_trees_close(tree, expected, **tolerance):
  assert jax.tree.structure(tree) == jax.tree.structure(expected)
  for one, other in zip(*map(jax.tree.leaves, (tree, expected)), strict=True):
    np.testing.assert_allclose(one, other, **tolerance)


@pytest.mark.parametrize('formula', attention.FORMULAS)
def test_attention_equals_the_oracle(formula):
  x, params, spectral = _case('attention', formula)
  y, new = _apply('attention', formula, x, params, spectral)
  expected, maps, state = oracle.self_attention(x, params, spectral, formula)
  np.testing.assert_allclose(y, expected, atol=1e-5)
  _assert_trees_close(new['spectral'], state, atol=1e-5)
  (sown,) = new['intermediates']['attention_map']
  np.testing.assert_allclose(sown, maps, atol=1e-6)


def test_the_residual_control_equals_the_oracle():
  x, params, spectral = _case('residual')
  y, new = _apply('residual', 'code', x, params, spectral)
  expected, state = oracle.residual_control(x, params, spectral)
  np.testing.assert_allclose(y, expected, atol=1e-5)
  _assert_trees_close(new['spectral'], state, atol=1e-5)


@pytest.mark.parametrize('kind', ['attention', 'residual'])
def test_a_block_starts_as_the_identity(kind):
  x = _float32(_case('attention')[0])
  block = _block(kind)

  def fn(params, variables):
    y = block.apply({**variables, 'params': params}, x)
    return jnp.sum(jnp.sin(y)), y

  variables = jax.jit(block.init)(jax.random.key(0), x)
  grads, y = jax.jit(jax.grad(fn, has_aux=True))(variables['params'], variables)
  assert variables['params']['gate'] == 0
  np.testing.assert_array_equal(y, x)
  # And leaves it: at zero, the gate alone has a gradient.
  assert abs(grads.pop('gate')) > 1e-2
  assert all(not np.any(g) for g in jax.tree.leaves(grads))


@pytest.mark.parametrize(('formula', 'keys'), [('code', 16), ('paper', 64)])
def test_rows_of_the_map_sum_to_one(formula, keys):
  _, new = _apply('attention', formula, *_case('attention', formula))
  (sown,) = new['intermediates']['attention_map']
  assert sown.shape == (3, SIZE * SIZE, keys)
  assert sown.min() >= 0
  np.testing.assert_allclose(sown.sum(-1), np.ones((3, 64)), rtol=1e-6)


def test_what_the_block_adds_is_sown():
  x, params, spectral = _case('attention')
  y, new = _apply('attention', 'code', x, params, spectral)
  (shown,), (update,) = (new['intermediates'][k] for k in ('input', 'update'))
  np.testing.assert_array_equal(shown, _float32(x))
  assert update.dtype == jnp.float32 and np.abs(update).max() > 1e-3
  np.testing.assert_array_equal(shown + update, y)


def test_nothing_is_computed_only_to_be_sown():
  """Else those who train would pay for those who look."""
  x, params, spectral = _case('attention')
  variables = _float32({'params': params, 'spectral': spectral})
  jaxpr = jax.make_jaxpr(_block('attention').apply)(variables, _float32(x))
  used = {id(v) for eqn in jaxpr.eqns for v in eqn.invars}
  used |= {id(v) for v in jaxpr.jaxpr.outvars}
  unused = [
    eqn.primitive.name
    for eqn in jaxpr.eqns
    if not used & {id(v) for v in eqn.outvars}
  ]
  assert set(unused) <= {'stop_gradient'}  # Which is no operation.


def test_the_map_is_kept_only_if_asked_for():
  x, params, spectral = _case('attention')
  _, new = _block('attention').apply(
    _float32({'params': params, 'spectral': spectral}),
    _float32(x),
    mutable=['spectral'],
  )
  assert list(new) == ['spectral']


def test_positions_attend_to_what_is_alike_wherever_it_is():
  # Channel 0 says whether a pixel is of kind +20 or -20, in alternate 2x2
  # squares; query and key read that alone, so that a pixel of one kind meets
  # logits of +400 with its own kind and -400 with the other. Channels 1 to 4
  # are the values; the mean of the pooled values of a kind comes back in
  # channels 4 to 7, times the gate.
  rng = np.random.default_rng(0)
  squares = np.indices((4, 4)).sum(0) % 2
  kind = squares.repeat(2, 0).repeat(2, 1)
  x = np.zeros((1, 8, 8, 8), np.float32)
  x[0, ..., 0] = np.where(kind, 20, -20)
  x[0, ..., 1:5] = rng.standard_normal((8, 8, 4))

  select = np.zeros((1, 1, 8, 1), np.float32)
  select[..., 0, 0] = 1
  # All singular values are one, so normalising changes none of the kernels.
  kernels = {
    'query': select,
    'key': select,
    'value': np.eye(8, dtype=np.float32)[None, None, :, 1:5],
    'out': np.eye(8, dtype=np.float32)[None, None, 4:],
  }
  variables = {
    'params': {k: {'kernel': v} for k, v in kernels.items()} | {'gate': 0.5},
    'spectral': {
      k: {'u': np.ones(v.shape[-1], np.float32), 'sigma': 1.0}
      for k, v in kernels.items()
    },
  }
  y = _block('attention').apply(_float32(variables), x)

  pooled = x[0, ..., 1:5].reshape(4, 2, 4, 2, 4).max((1, 3))
  means = np.stack([pooled[squares == k].mean(0) for k in (0, 1)])
  expected = x.copy()
  expected[0, ..., 4:] += 0.5 * means[kind]
  np.testing.assert_allclose(y, expected, atol=1e-5)


def test_softmax_is_float32_in_bfloat16():
  x, params, spectral = _case('attention')
  y, new = _block('attention').apply(
    _float32({'params': params, 'spectral': spectral}),
    jnp.asarray(x, jnp.bfloat16),
    mutable=['intermediates'],
  )
  (sown,) = new['intermediates']['attention_map']
  assert y.dtype == jnp.bfloat16 and sown.dtype == jnp.float32
  np.testing.assert_allclose(sown.sum(-1), np.ones((3, 64)), rtol=1e-6)


def test_an_unknown_formula_is_refused():
  message = r"'papr' must be one of \('code', 'paper'\); .*--config.attention_f"
  with pytest.raises(ValueError, match=message):
    _block('attention', 'papr').init(jax.random.key(0), jnp.zeros((1, 4, 4, 8)))
