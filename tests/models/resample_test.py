"""Both forms of a resampling convolution compute the same numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax.models import resample
from tests.oracle import layers as oracle_layers

pytestmark = pytest.mark.slow

OPERATIONS = ('upsample_conv', 'conv_downsample')
SIZES = (1, 3)


def _inputs(size, dtype=np.float32, shape=(2, 6, 4, 3)):
  rng = np.random.default_rng(size)
  x = rng.standard_normal(shape).astype(dtype)
  return x, rng.standard_normal((size, size, shape[-1], shape[-1])).astype(
    dtype
  )


def _oracle(operation, x, kernel):
  if operation == 'upsample_conv':
    return oracle_layers.conv(oracle_layers.upsample2(x), kernel)
  return oracle_layers.avgpool2(oracle_layers.conv(x, kernel))


def _values_and_gradients(operation, form, x, kernel):
  def fn(x, kernel):
    y = getattr(resample, operation)(x, kernel, form=form)
    weight = np.cos(np.arange(y.size)).reshape(y.shape).astype(y.dtype)
    return jnp.sum(weight * jnp.sin(y)), y

  return jax.jit(jax.grad(fn, (0, 1), has_aux=True))(x, kernel)


def test_resampling_by_hand():
  x = jnp.arange(8.0).reshape(1, 2, 4, 1)
  up = resample.upsample(x)[0, ..., 0]
  rows = [[0, 0, 1, 1, 2, 2, 3, 3], [4, 4, 5, 5, 6, 6, 7, 7]]
  np.testing.assert_array_equal(up, np.repeat(rows, 2, 0))
  # Means of 0, 1, 4, 5 and of 2, 3, 6, 7.
  np.testing.assert_array_equal(resample.downsample(x)[0, ..., 0], [[2.5, 4.5]])


@pytest.mark.parametrize('form', resample.FORMS)
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('operation', OPERATIONS)
def test_values_equal_the_oracle(operation, size, form):
  x, kernel = _inputs(size)
  y = getattr(resample, operation)(x, kernel, form=form)
  np.testing.assert_allclose(y, _oracle(operation, x, kernel), atol=1e-5)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('operation', OPERATIONS)
def test_forms_are_equal_in_float64(operation, size):
  with jax.enable_x64(True):
    x, kernel = _inputs(size, np.float64)
    results = [
      _values_and_gradients(operation, form, x, kernel)
      for form in resample.FORMS
    ]
  for one, other in zip(*map(jax.tree.leaves, results), strict=True):
    assert one.dtype == np.float64
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('operation', OPERATIONS)
def test_forms_are_equal_to_rounding_in_float32(operation, size):
  results = [
    _values_and_gradients(operation, form, *_inputs(size))
    for form in resample.FORMS
  ]
  for one, other in zip(*map(jax.tree.leaves, results), strict=True):
    assert one.dtype == np.float32
    # At most 200 terms of size 1 to 5 a number.
    np.testing.assert_allclose(one, other, rtol=0, atol=5e-5)


@pytest.mark.parametrize(('size', 'share'), [(1, 1 / 4), (3, 4 / 9)])
@pytest.mark.parametrize('operation', OPERATIONS)
def test_the_cheap_form_multiplies_less(operation, size, share):
  x, kernel = _inputs(size, shape=(1, 32, 32, 64))
  flops = {}
  for form in resample.FORMS:
    lowered = jax.jit(
      lambda x, k, f=form: getattr(resample, operation)(x, k, form=f)
    ).lower(x, kernel)
    flops[form] = lowered.cost_analysis()['flops']
  # Taps on the padding, folding of kernels and averages are the small rest.
  np.testing.assert_allclose(
    flops['cheap'] / flops['reference'], share, atol=0.06
  )


@pytest.mark.parametrize('operation', OPERATIONS)
def test_an_unknown_form_is_refused(operation):
  message = r"form 'fast' must be one of \('reference', 'cheap'\).*--config.res"
  with pytest.raises(ValueError, match=message):
    getattr(resample, operation)(*_inputs(3), form='fast')


@pytest.mark.parametrize('form', resample.FORMS)
@pytest.mark.parametrize('operation', OPERATIONS)
def test_other_kernel_sizes_are_refused(operation, form):
  with pytest.raises(ValueError, match=r'1x1 or 3x3 kernels, got \(5, 5\)'):
    getattr(resample, operation)(*_inputs(5), form=form)
