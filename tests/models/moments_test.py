"""Moments of groups of images, from sums that are exact."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax.cluster import sharding
from sagan_jax.models import moments, norm


def _maps(mean, between, within, seed=0, dtype=np.float32):
  """[64, 8, 4, 5]: means of the images differ, and so do their pixels."""
  rng = np.random.default_rng(seed)
  x = mean + between * rng.standard_normal((64, 1, 1, 5))
  return (x + within * rng.standard_normal((64, 8, 4, 5))).astype(dtype)


@jax.jit
def _of_group(x):
  sums = moments.summands(*moments.of_images(x)).sum(1)
  return moments.of_sums(sums, x.shape[0])


@pytest.mark.parametrize(
  ('mean', 'between', 'within'),
  [
    (0.0, 1.0, 1.0),
    (3.0, 0.0, 1.0),
    (100.0, 0.0, 1.0),
    (100.0, 1.0, 0.0),
    (-100.0, 1.0, 1.0),
  ],
)
def test_moments_equal_those_of_float64(mean, between, within):
  x = _maps(mean, between, within)
  found_mean, found_var = _of_group(x)
  wide = x.astype(np.float64)
  np.testing.assert_allclose(
    found_mean, wide.mean((0, 1, 2)), rtol=1e-6, atol=1e-6
  )
  np.testing.assert_allclose(found_var, wide.var((0, 1, 2)), rtol=1e-5)


def test_the_mean_square_less_the_squared_mean_would_not_do():
  x = _maps(100.0, 1.0, 1.0)
  naive = jnp.square(x).mean((0, 1, 2)) - jnp.square(x.mean((0, 1, 2)))
  true = x.astype(np.float64).var((0, 1, 2))
  assert np.abs(naive / true - 1).max() > 1e-4


def test_a_first_row_unlike_the_others_costs_few_digits():
  x = _maps(0.0, 0.0, 1.0)
  x[:, 0] += 1000
  _, var = _of_group(x)
  expected = x.astype(np.float64).var((0, 1, 2))
  np.testing.assert_allclose(var, expected, rtol=1e-5)


@pytest.mark.parametrize('mean', [0.0, 100.0])
def test_gradients_equal_those_of_float64(mean):
  """Of normalising with a row of gamma and beta per image, by two groups."""
  rng = np.random.default_rng(1)
  x, g = _maps(mean, 1.0, 1.0), _maps(0.0, 0.0, 1.0, seed=2)
  gamma, beta = rng.standard_normal((2, 64, 5)).astype(np.float32)

  def plain(x, gamma, beta):
    groups = x.reshape(2, -1, *x.shape[1:])
    centred = groups - groups.mean((1, 2, 3), keepdims=True)
    var = jnp.square(centred).mean((1, 2, 3), keepdims=True)
    y = (centred * jax.lax.rsqrt(var + 1e-5)).reshape(x.shape)
    return y * gamma[:, None, None] + beta[:, None, None]

  def ours(x, gamma, beta):
    return norm._normalize(x, gamma, beta, 32, 1e-5)[0]

  def gradients(fn, *args):
    *args, g = args
    return jax.jit(lambda *a: jax.vjp(fn, *a)[1](g))(*args)

  found = gradients(ours, x, gamma, beta, g)
  with jax.enable_x64(True):
    wide = (v.astype(np.float64) for v in (x, gamma, beta, g))
    expected = gradients(plain, *wide)
    expected = [np.asarray(e) for e in expected]
  for one, other in zip(found, expected, strict=True):
    assert one.dtype == np.float32
    np.testing.assert_allclose(one, other, rtol=0, atol=5e-5)


def test_devices_exchange_one_sum_forward_and_one_backward():
  mesh = sharding.make_mesh()
  layer = norm.BatchNorm()
  x = jnp.asarray(_maps(0.0, 1.0, 1.0))
  variables = layer.init(jax.random.key(0), x, train=False)

  def backward(x, g):
    return jax.vjp(lambda x: layer.apply(variables, x, train=True), x)[1](g)

  split = sharding.split_batch(mesh)
  text = (
    jax.jit(backward, in_shardings=(split, split), out_shardings=(split,))
    .lower(x, x)
    .compile()
    .as_text()
  )
  assert text.count(' all-reduce(') == 2
