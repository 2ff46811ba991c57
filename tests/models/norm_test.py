"""Batch norm: its moments, groups, class tables and running statistics."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax.models import norm
from tests.oracle import layers as oracle_layers
from tests.oracle import networks as oracle

EPS = 1e-5


def _inputs(batch=6, num_classes=None, seed=0):
  rng = np.random.default_rng(seed)
  x = 3 * rng.standard_normal((batch, 4, 5, 7)) + rng.standard_normal(7)
  shape = (7,) if num_classes is None else (num_classes, 7)
  params = {
    'gamma': rng.standard_normal(shape).astype(np.float32),
    'beta': rng.standard_normal(shape).astype(np.float32),
  }
  label = rng.integers(num_classes or 1, size=batch)
  return x.astype(np.float32), params, label


def _stats(mean=0.0, var=1.0):
  return {'mean': jnp.full(7, mean), 'var': jnp.full(7, var)}


def _apply(layer, x, params, label=None, *, train=True, stats=None):
  """Returns the output and the new running statistics."""
  variables = {'params': params, 'batch_stats': stats or _stats()}
  y, new = layer.apply(
    variables, x, label, train=train, mutable=['batch_stats']
  )
  return y, new['batch_stats']


@pytest.mark.parametrize('group_size', [None, 6, 3, 2, 1])
@pytest.mark.parametrize('num_classes', [None, 4])
def test_training_equals_the_oracle(num_classes, group_size):
  x, params, label = _inputs(num_classes=num_classes)
  layer = norm.BatchNorm(num_classes=num_classes, group_size=group_size)
  y, _ = _apply(layer, x, params, label)
  expected = oracle.conditional_batch_norm(x, params, label, group_size)
  np.testing.assert_allclose(y, expected, atol=1e-5)


def test_tables_start_as_the_identity_and_stats_as_the_unit_normal():
  x, _, label = _inputs(num_classes=4)
  layer = norm.BatchNorm(num_classes=4)
  variables = layer.init(jax.random.key(0), x, label, train=False)
  ones, zeros = np.ones((4, 7)), np.zeros((4, 7))
  np.testing.assert_array_equal(variables['params']['gamma'], ones)
  np.testing.assert_array_equal(variables['params']['beta'], zeros)
  np.testing.assert_array_equal(variables['batch_stats']['mean'], np.zeros(7))
  np.testing.assert_array_equal(variables['batch_stats']['var'], np.ones(7))


def test_equal_rows_are_a_plain_batch_norm():
  x, params, label = _inputs(num_classes=4)
  params = {k: np.broadcast_to(v[0], (4, 7)) for k, v in params.items()}
  y, _ = _apply(norm.BatchNorm(num_classes=4), x, params, label)
  row = {k: v[0] for k, v in params.items()}
  plain, _ = _apply(norm.BatchNorm(), x, row)
  np.testing.assert_allclose(y, plain, rtol=0, atol=1e-6)


def test_shares_of_one_class_are_its_label():
  x, params, label = _inputs(num_classes=4)
  layer = norm.BatchNorm(num_classes=4)
  y, _ = _apply(layer, x, params, label)
  shares = np.eye(4, dtype=np.float32)[label]
  found, _ = _apply(layer, x, params, shares)
  np.testing.assert_array_equal(found, y)


def test_shares_blend_the_rows_of_the_tables():
  x, params, _ = _inputs(num_classes=4)
  shares = np.tile(np.float32([0.25, 0, 0.75, 0]), (6, 1))
  y, _ = _apply(norm.BatchNorm(num_classes=4), x, params, shares)
  row = {k: 0.25 * v[0] + 0.75 * v[2] for k, v in params.items()}
  expected, _ = _apply(norm.BatchNorm(), x, row)
  np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)


def test_groups_are_consecutive_and_independent():
  x, params, _ = _inputs()
  grouped, _ = _apply(norm.BatchNorm(group_size=2), x, params)
  for first in (0, 2, 4):
    part = slice(first, first + 2)
    alone, _ = _apply(norm.BatchNorm(), x[part], params)
    np.testing.assert_allclose(grouped[part], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize('group_size', [None, 2])
def test_running_moments_move_towards_the_mean_moments_of_the_groups(
  group_size,
):
  x, params, _ = _inputs()
  layer = norm.BatchNorm(group_size=group_size, decay=0.9)
  _, new = _apply(layer, x, params, stats=_stats(2.0, 5.0))
  groups = x.astype(np.float64).reshape(-1, group_size or 6, 4, 5, 7)
  mean = groups.mean((1, 2, 3)).mean(0)
  var = groups.var((1, 2, 3)).mean(0)  # Biased.
  np.testing.assert_allclose(new['mean'], 0.9 * 2 + 0.1 * mean, rtol=1e-5)
  np.testing.assert_allclose(new['var'], 0.9 * 5 + 0.1 * var, rtol=1e-5)


def test_running_moments_stay_unless_training_and_mutable():
  x, params, _ = _inputs()
  layer = norm.BatchNorm(decay=0.9)
  stats = _stats(2.0, 5.0)
  _, new = _apply(layer, x, params, train=False, stats=stats)
  for name, value in stats.items():
    np.testing.assert_array_equal(new[name], value)
  # Not mutable: writing would raise, and the output is that of training.
  variables = {'params': params, 'batch_stats': stats}
  y = layer.apply(variables, x, train=True)
  expected, _ = _apply(layer, x, params, stats=stats)
  np.testing.assert_array_equal(y, expected)


def test_evaluation_uses_the_running_moments():
  x, params, label = _inputs(num_classes=4)
  stats = _stats(2.0, 5.0)
  y, _ = _apply(
    norm.BatchNorm(num_classes=4), x, params, label, train=False, stats=stats
  )
  gamma, beta = (params[k][label][:, None, None] for k in ('gamma', 'beta'))
  expected = (x - 2) / np.sqrt(5 + EPS) * gamma + beta
  np.testing.assert_allclose(y, expected, atol=1e-5)


def test_moments_of_bfloat16_are_float32():
  x, params, _ = _inputs(batch=64)
  x = x.astype(jnp.bfloat16)
  y, new = _apply(norm.BatchNorm(decay=0.0), x, params)
  wide = np.asarray(x).astype(np.float64)
  assert y.dtype == jnp.bfloat16
  assert new['mean'].dtype == new['var'].dtype == jnp.float32
  # A bfloat16 sum of 1280 terms would be off by a hundredth or more.
  np.testing.assert_allclose(new['mean'], wide.mean((0, 1, 2)), atol=1e-5)
  np.testing.assert_allclose(new['var'], wide.var((0, 1, 2)), rtol=1e-5)
  expected = oracle_layers.batch_norm(wide, params['gamma'], params['beta'])
  np.testing.assert_allclose(
    np.asarray(y, np.float64), expected, rtol=2**-8, atol=1e-4
  )


def test_the_variance_beside_a_large_mean_is_exact():
  rng = np.random.default_rng(0)
  x = (100 + rng.standard_normal((8, 16, 16, 7))).astype(np.float32)
  layer = norm.BatchNorm(decay=0.0)
  variables = layer.init(jax.random.key(0), x, train=False)
  _, new = layer.apply(variables, x, train=True, mutable=['batch_stats'])
  expected = x.astype(np.float64).var((0, 1, 2))
  np.testing.assert_allclose(new['batch_stats']['var'], expected, rtol=2e-5)


def test_a_constant_map_becomes_beta_with_finite_gradients():
  _, params, _ = _inputs()
  x = jnp.full((2, 4, 5, 7), 3.0)
  y, new = _apply(norm.BatchNorm(decay=0.0), x, params)
  np.testing.assert_allclose(
    y, np.broadcast_to(params['beta'], x.shape), atol=1e-3
  )
  np.testing.assert_allclose(new['var'], np.zeros(7), atol=1e-6)
  grad = jax.grad(
    lambda x: jnp.sum(jnp.sin(_apply(norm.BatchNorm(), x, params)[0]))
  )(x)
  assert np.isfinite(grad).all()


def test_a_group_size_that_does_not_divide_the_batch_is_refused():
  x, params, _ = _inputs()
  message = 'batch of 6 images .* groups of 4; .*generator.bn_group_size'
  with pytest.raises(ValueError, match=message):
    _apply(norm.BatchNorm(group_size=4), x, params)
