"""Spectral normalisation: sigma, its two gradients, and its errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax.models import spectral
from tests.oracle import layers as oracle_layers
from tests.support import small


def _matrix(rows=60, columns=40, seed=0):
  rng = np.random.default_rng(seed)
  kernel = rng.standard_normal((rows, columns)).astype(np.float32)
  return kernel, rng.standard_normal(columns).astype(np.float32)


def _iterated(kernel, u, num):
  for _ in range(num):
    value, u = spectral.sigma(kernel, u)
  return value, u


def test_four_times_the_identity_has_sigma_four():
  u = jnp.array([0.3, -2.0, 1.0])
  value, new_u = spectral.sigma(4 * jnp.eye(3), u)
  np.testing.assert_allclose(value, 4, rtol=1e-6)
  np.testing.assert_allclose(new_u, u / np.linalg.norm(u), rtol=1e-6)


def test_one_iteration_is_exact_for_a_matrix_of_rank_one():
  left, right = np.array([3.0, 4.0]), np.array([1.0, 2.0, 2.0])  # norms 5, 3
  kernel = jnp.asarray(np.outer(left, right), jnp.float32)
  value, new_u = spectral.sigma(kernel, jnp.array([1.0, 0.0, 0.0]))
  np.testing.assert_allclose(value, 15, rtol=1e-6)
  np.testing.assert_allclose(new_u, right / 3, rtol=1e-6)


@pytest.mark.parametrize('gradient', spectral.GRADIENTS)
def test_one_iteration_equals_the_oracle(gradient):
  kernel, u = _matrix()
  value, new_u = spectral.sigma(kernel, u, gradient=gradient)
  _, oracle_u, oracle_sigma = oracle_layers.spectral_normalize(kernel, u)
  np.testing.assert_allclose(value, oracle_sigma, rtol=1e-6)
  np.testing.assert_allclose(new_u, oracle_u, atol=1e-6)


def test_the_estimate_grows_to_the_largest_singular_value():
  kernel, u = _matrix()
  largest = np.linalg.svd(kernel.astype(np.float64), compute_uv=False)[0]
  estimates = []
  for _ in range(200):
    value, u = spectral.sigma(kernel, u)
    estimates.append(float(value))
  # A Rayleigh quotient of any unit vectors is a lower bound, and power
  # iteration never lowers it, but for rounding.
  assert max(estimates) <= largest * (1 + 1e-6)
  assert np.diff(estimates).min() > -1e-5
  np.testing.assert_allclose(estimates[-1], largest, rtol=1e-5)


def test_the_normalised_kernel_comes_to_have_norm_one():
  rng = np.random.default_rng(1)
  kernel = rng.standard_normal((3, 3, 5, 8)).astype(np.float32)
  u = rng.standard_normal(8).astype(np.float32)
  tops = []
  for _ in range(100):
    normalized, u, sigma = spectral.normalize(kernel, u)
    matrix = np.asarray(normalized).reshape(-1, 8)
    tops.append(np.linalg.svd(matrix, compute_uv=False)[0])
    np.testing.assert_allclose(normalized, kernel / sigma, rtol=1e-6)
  assert tops[0] > 1.05  # The first estimate is too small, hence this test.
  np.testing.assert_allclose(tops[-1], 1, rtol=1e-5)
  again, _ = spectral.sigma(matrix, u)
  np.testing.assert_allclose(again, 1, rtol=1e-5)


def test_a_kernel_is_flattened_to_inputs_by_outputs():
  rng = np.random.default_rng(2)
  kernel = rng.standard_normal((3, 3, 4, 6)).astype(np.float32)
  u = rng.standard_normal(6).astype(np.float32)
  normalized, new_u, sigma = spectral.normalize(kernel, u)
  expected = oracle_layers.spectral_normalize(kernel, u)
  np.testing.assert_allclose(normalized, expected[0], rtol=1e-5)
  np.testing.assert_allclose(new_u, expected[1], atol=1e-6)
  np.testing.assert_allclose(sigma, expected[2], rtol=1e-6)


def test_the_constant_gradient_is_the_outer_product_of_v_and_u():
  kernel, u = _matrix()
  grad = jax.grad(lambda w: spectral.sigma(w, u)[0])(kernel)
  _, new_u, _ = oracle_layers.spectral_normalize(kernel, u)
  v = kernel.astype(np.float64) @ u
  v /= np.linalg.norm(v)
  np.testing.assert_allclose(grad, np.outer(v, new_u), atol=1e-6)


def _differences(fn, kernel, step=1e-6):
  """Central differences in float64."""
  kernel = kernel.astype(np.float64)
  grad = np.zeros_like(kernel)
  for index in np.ndindex(*kernel.shape):
    ends = []
    for sign in (1, -1):
      moved = kernel.copy()
      moved[index] += sign * step
      ends.append(fn(moved))
    grad[index] = (ends[0] - ends[1]) / (2 * step)
  return grad


def test_the_full_gradient_equals_differences_of_the_oracle():
  kernel, u = _matrix(6, 4)
  weight = np.random.default_rng(3).standard_normal((6, 4))

  def oracle(w):
    return np.sum(weight * oracle_layers.spectral_normalize(w, u)[0])

  def normalized(w, gradient):
    return jnp.sum(
      weight.astype(np.float32) * spectral.normalize(w, u, gradient=gradient)[0]
    )

  expected = _differences(oracle, kernel)
  full = jax.grad(normalized)(kernel, 'full')
  constant = jax.grad(normalized)(kernel, 'constant')
  np.testing.assert_allclose(full, expected, atol=1e-5)
  assert np.abs(constant - expected).max() > 1e-2  # The rules do differ.


def test_both_gradients_agree_once_u_has_converged():
  kernel, u = _matrix()
  _, u = _iterated(kernel, u, 300)
  grads = [
    jax.grad(lambda w, g=g: spectral.sigma(w, u, gradient=g)[0])(kernel)
    for g in spectral.GRADIENTS
  ]
  np.testing.assert_allclose(*grads, atol=1e-5)


@pytest.mark.parametrize('gradient', spectral.GRADIENTS)
def test_the_vector_carries_no_gradient(gradient):
  kernel, u = _matrix(6, 4)

  def fn(w, u):
    value, new_u = spectral.sigma(w, u, gradient=gradient)
    return value, jnp.sum(new_u * jnp.arange(4.0))

  by_u = jax.grad(lambda u: fn(kernel, u)[0])(u)
  by_kernel = jax.grad(lambda w: fn(w, u)[1])(kernel)
  np.testing.assert_array_equal(by_u, np.zeros(4))
  np.testing.assert_array_equal(by_kernel, np.zeros((6, 4)))


def test_products_ask_for_full_precision():
  # On CPU all precisions give the same numbers; TPUs and TF32 do not.
  jaxpr = jax.make_jaxpr(spectral.sigma)(*_matrix(6, 4))
  products = [e for e in jaxpr.eqns if e.primitive.name == 'dot_general']
  # v, its product with the weight, and sigma: two reads of the weight.
  assert len(products) == 3
  for product in products:
    assert product.params['precision'] == (jax.lax.Precision.HIGHEST,) * 2


@pytest.mark.parametrize('shape', [(3,), (3, 3, 4, 4)])
def test_sigma_takes_matrices_only(shape):
  with pytest.raises(ValueError, match=r'matrix \[M, C\], got shape \(3,'):
    spectral.sigma(jnp.ones(shape), jnp.ones(shape[-1]))


def test_an_unknown_gradient_is_refused():
  message = "'none' must be one of .*'constant', 'full'.*--config.spectral_grad"
  with pytest.raises(ValueError, match=message):
    spectral.sigma(jnp.ones((3, 4)), jnp.ones(4), gradient='none')


def test_all_weights_of_a_network_are_normalised_at_once():
  kernel, u = _matrix()
  plain = {'gamma': jnp.ones(3)}
  dense = {'kernel': kernel, 'bias': jnp.ones(40)}
  found = spectral.normalize_all(
    {'block': {'conv': dense, 'norm': plain}, 'norm': plain},
    {'block': {'conv': {'u': u, 'sigma': 1.0}}},
  )
  expected, _, _ = spectral.normalize(kernel, u)
  np.testing.assert_array_equal(found['block']['conv'].pop('kernel'), expected)
  del dense['kernel']
  assert found == {'block': {'conv': dense, 'norm': plain}, 'norm': plain}


def test_a_network_takes_normalised_weights_as_they_are():
  network = small.TinyGenerator()
  z, label = jnp.ones((2, small.LATENT_DIM)), jnp.array([0, 2])
  variables = network.init(jax.random.key(0), z, label, train=False)
  expected = network.apply(variables, z, label, train=False)
  params = spectral.normalize_all(variables['params'], variables['spectral'])
  ready = {'params': params, 'batch_stats': variables['batch_stats']}
  found = network.clone(spectral_gradient=None).apply(
    ready, z, label, train=False
  )
  np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_all_vectors_of_a_network_move_at_once():
  kernel, u = _matrix()
  table, v = _matrix(40, 60, seed=1)
  params = {
    'block': {'conv': {'kernel': kernel}},
    'embedding': {'embedding': table},
  }
  vectors = {'block': {'conv': {'u': u}}, 'embedding': {'u': v[:40]}}
  for gradient in spectral.GRADIENTS:
    found, by_params, new = jax.vjp(
      lambda p, g=gradient: spectral.iterate(p, vectors, gradient=g),
      params,
      has_aux=True,
    )
    for path, matrix, vector in (
      (('block', 'conv'), kernel, u),
      (('embedding',), table.T, v[:40]),
    ):
      one, moved = found, new
      for name in path:
        one, moved = one[name], moved[name]
      value, expected = spectral.sigma(matrix, vector)
      np.testing.assert_allclose(one['sigma'], value, rtol=1e-6)
      np.testing.assert_allclose(moved['sigma'], value, rtol=1e-6)
      np.testing.assert_allclose(moved['u'], expected, atol=1e-6)
    (grads,) = by_params(jax.tree.map(jnp.ones_like, found))
    expected = jax.grad(
      lambda w, g=gradient: spectral.sigma(w, u, gradient=g)[0]
    )(kernel)
    np.testing.assert_allclose(
      grads['block']['conv']['kernel'], expected, atol=1e-6
    )


def test_a_network_divides_by_the_sigma_that_it_is_given():
  network = small.TinyGenerator()
  z, label = jnp.ones((2, small.LATENT_DIM)), jnp.array([0, 2])
  variables = network.init(jax.random.key(0), z, label, train=False)
  expected = network.apply(variables, z, label, train=False)
  sigma, _ = spectral.iterate(variables['params'], variables['spectral'])
  found = network.apply(variables | {'spectral': sigma}, z, label, train=False)
  np.testing.assert_allclose(found, expected, rtol=1e-6)
