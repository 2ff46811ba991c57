"""Convolution against the oracle, and its gradients against XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax.models import convolution
from tests.oracle import layers as oracle_layers

pytestmark = pytest.mark.slow

# Kernel size, stride and padding: all that the networks use, and one more.
CASES = [
  (1, 1, None),
  (3, 1, None),
  (5, 1, None),
  (2, 1, ((1, 0), (0, 1))),
  (2, 1, ((0, 1), (1, 0))),
  (4, 2, ((1, 1), (1, 1))),
  (4, 2, ((2, 0), (0, 2))),
  (2, 2, ((0, 0), (0, 0))),
  (4, 2, ((1, 0), (0, 1))),
]


def _inputs(size, dtype=np.float32):
  rng = np.random.default_rng(size)
  x = rng.standard_normal((3, 8, 6, 4)).astype(dtype)
  return x, rng.standard_normal((size, size, 4, 5)).astype(dtype)


def _xla(x, kernel, stride, padding):
  """What `conv` computes, without gradients of its own."""
  if padding is None:
    padding = ((kernel.shape[0] // 2,) * 2,) * 2
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    (stride, stride),
    padding,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )


@pytest.mark.parametrize('size', [1, 3, 5])
def test_a_plain_convolution_equals_the_oracle(size):
  x, kernel = _inputs(size)
  y = convolution.conv(x, kernel)
  np.testing.assert_allclose(y, oracle_layers.conv(x, kernel), atol=2e-5)


@pytest.mark.parametrize(('size', 'stride', 'padding'), CASES)
def test_values_and_gradients_equal_those_of_xla(size, stride, padding):
  with jax.enable_x64(True):
    x, kernel = _inputs(size, np.float64)
    weight = np.random.default_rng(0).standard_normal(
      _xla(x, kernel, stride, padding).shape
    )

    def own(x, kernel):
      y = convolution.conv(x, kernel, stride=stride, padding=padding)
      return jnp.sum(weight * jnp.sin(y)), y

    def xla(x, kernel):
      y = _xla(x, kernel, stride, padding)
      return jnp.sum(weight * jnp.sin(y)), y

    grad = [
      jax.jit(jax.grad(fn, (0, 1), has_aux=True))(x, kernel)
      for fn in (own, xla)
    ]
  for ours, theirs in zip(*map(jax.tree.leaves, grad), strict=True):
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


def test_the_kernel_takes_the_dtype_of_the_images():
  x, kernel = _inputs(3)
  y = convolution.conv(x.astype(jnp.bfloat16), kernel)
  assert y.dtype == jnp.bfloat16
  # 36 products of 8 bits each.
  np.testing.assert_allclose(
    np.asarray(y, np.float32), convolution.conv(x, kernel), atol=0.15
  )
  grad = jax.grad(
    lambda k: jnp.sum(
      convolution.conv(x.astype(jnp.bfloat16), k).astype(jnp.float32)
    )
  )(kernel)
  assert grad.dtype == jnp.float32


def test_the_input_gradient_multiplies_by_no_spread_zeros_on_cpu():
  x, kernel = _inputs(4)
  padding = ((1, 1), (1, 1))

  def spread(conv):
    y, pullback = jax.vjp(lambda x: conv(x, kernel), x)
    return jax.jit(pullback).lower(y).as_text().count('lhs_dilate = [2, 2]')

  assert spread(lambda x, k: _xla(x, k, 2, padding)) == 1
  assert not spread(
    lambda x, k: convolution.conv(x, k, stride=2, padding=padding)
  )


@pytest.mark.parametrize(('size', 'stride', 'padding'), CASES)
def test_the_kernel_gradient_is_made_of_products_on_cpu(size, stride, padding):
  x, kernel = _inputs(size)

  def num_convolutions(conv):
    y, pullback = jax.vjp(lambda k: conv(x, k), kernel)
    del y
    g = jnp.ones(_xla(x, kernel, stride, padding).shape)
    text = jax.jit(pullback).lower(g).compile().as_text()
    return text.count(' convolution(')

  assert num_convolutions(lambda x, k: _xla(x, k, stride, padding)) == 1
  assert not num_convolutions(
    lambda x, k: convolution.conv(x, k, stride=stride, padding=padding)
  )
