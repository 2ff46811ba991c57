"""All forms of a resampling convolution compute the same numbers."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax.gan import step
from sagan_jax.models import resample
from tests.oracle import layers as oracle_layers
from tests.support import small

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


def _values_and_gradients(operation, form, x, kernel, g):
  """Returns y and the gradients of sum(g * y), as float64 of NumPy."""

  def fn(x, kernel, g):
    convolve = functools.partial(getattr(resample, operation), form=form)
    y, pullback = jax.vjp(convolve, x, kernel)
    return y, *pullback(g)

  found = jax.jit(fn)(x, kernel, g)
  assert found[0].dtype == x.dtype
  return [np.asarray(leaf).astype(np.float64) for leaf in found]


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


def _deviations(operation, size, dtype):
  """How far every form's value and gradients are from the truth.

  That is the reference in float64; deviations are relative to its largest
  number.

  Returns:
    {form: [3, 2]}: maximum and root mean square of value and both gradients.
  """
  # More pixels than those for which 'dilated' is the reference.
  x, kernel = _inputs(size, np.float64, (3, 20, 18, 8))
  x = x.astype(dtype)
  kernel = kernel.astype(dtype if dtype == np.float64 else np.float32)
  y_shape = jax.eval_shape(
    functools.partial(getattr(resample, operation), form='reference'), x, kernel
  ).shape
  g = np.random.default_rng(9).standard_normal(y_shape).astype(dtype)
  with jax.enable_x64(True):
    args = x, kernel, g
    wide = (v.astype(np.float64) for v in args)
    truth = _values_and_gradients(operation, 'reference', *wide)
    found = {
      form: _values_and_gradients(operation, form, *args)
      for form in resample.FORMS
    }
  return {
    form: np.array(
      [
        [np.abs(d).max(), np.sqrt(np.square(d).mean())] / np.abs(true).max()
        for leaf, true in zip(leaves, truth, strict=True)
        for d in [leaf - true]
      ]
    )
    for form, leaves in found.items()
  }


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('operation', OPERATIONS)
def test_forms_are_equal_to_rounding(operation, size):
  for dtype, atol in (np.float64, 1e-12), (np.float32, 1e-5):
    for form, found in _deviations(operation, size, dtype).items():
      assert found.max() < atol, (form, dtype)


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('operation', OPERATIONS)
def test_no_form_is_less_exact_in_bfloat16(operation, size):
  found = _deviations(operation, size, jnp.bfloat16)
  for form, deviations in found.items():
    ratio = deviations[:, 1] / found['reference'][:, 1]
    assert ratio.max() < 1.3, (form, ratio)


@pytest.mark.parametrize(('size', 'share'), [(1, 1 / 4), (3, 4 / 9)])
@pytest.mark.parametrize('operation', OPERATIONS)
@pytest.mark.parametrize('form', ['cheap', 'dense'])
def test_forms_multiply_less_than_the_reference(operation, size, share, form):
  x, kernel = _inputs(size, shape=(1, 32, 32, 64))
  flops = {}
  for name in (form, 'reference'):
    lowered = jax.jit(
      lambda x, k, f=name: getattr(resample, operation)(x, k, form=f)
    ).lower(x, kernel)
    flops[name] = lowered.cost_analysis()['flops']
  # Taps on the padding, folding of kernels and averages are the small rest.
  np.testing.assert_allclose(flops[form] / flops['reference'], share, atol=0.06)


def test_a_platform_has_its_form():
  forms = {p: resample.choose('auto', p) for p in ('cpu', 'gpu', 'tpu')}
  assert forms == {'cpu': 'cheap', 'gpu': 'dense', 'tpu': 'dilated'}
  assert resample.choose('reference', 'tpu') == 'reference'


@pytest.mark.parametrize('operation', OPERATIONS)
def test_few_pixels_are_the_reference_on_tpus(operation):
  def jaxpr(form, *args):
    fn = functools.partial(getattr(resample, operation), form=form)
    return str(jax.make_jaxpr(fn)(*args))

  for shape, is_reference in ((16, 8, 8, 3), True), ((18, 8, 8, 3), False):
    if operation == 'upsample_conv':
      shape = (shape[0], 4, 4, 3)
    args = _inputs(3, shape=shape)
    assert (
      jaxpr('dilated', *args) == jaxpr('reference', *args)
    ) == is_reference


def _for_gpus(fn, *args):
  """The program that a GPU would be given, as text."""
  return jax.jit(fn).trace(*args).lower(lowering_platforms=('cuda',)).as_text()


def _strides_and_dilations(text):
  return set(re.findall(r'(stride|lhs_dilate|rhs_dilate) = \[2, 2\]', text))


def test_no_gradient_of_the_networks_is_strided_or_dilated_on_a_gpu():
  form = resample.choose('auto', 'gpu')
  gan = small.conv_gan(resample=form, dtype=jnp.bfloat16)
  state = small.fresh_state(gan, 32)
  g, d = state.generator, state.discriminator

  def loss(g_params, d_params, z, label):
    fake, _ = step.generate(gan, g, z, label, g_params)
    return jnp.sum(gan.discriminator.apply(d.variables(d_params), fake, label))

  text = _for_gpus(
    jax.grad(loss, (0, 1)), g.params, d.params, np.zeros((2, 16)), np.arange(2)
  )
  assert len(re.findall(r'stablehlo.convolution\(.*bf16', text)) > 60
  assert not _strides_and_dilations(text)


def test_the_form_of_other_platforms_is_dilated_on_a_gpu():
  x, kernel = _inputs(3, jnp.bfloat16)

  def loss(x, kernel):
    return jnp.sum(resample.conv_downsample(x, kernel, form='cheap'))

  text = _for_gpus(jax.grad(loss, (0, 1)), x, kernel)
  assert _strides_and_dilations(text) == {'lhs_dilate', 'rhs_dilate'}


@pytest.mark.parametrize('operation', OPERATIONS)
def test_an_unknown_form_is_refused(operation):
  message = r"form 'fast' must be one of \('reference', 'cheap', .*--config.res"
  with pytest.raises(ValueError, match=message):
    getattr(resample, operation)(*_inputs(3), form='fast')


@pytest.mark.parametrize('form', resample.FORMS)
@pytest.mark.parametrize('operation', OPERATIONS)
def test_other_kernel_sizes_are_refused(operation, form):
  with pytest.raises(ValueError, match=r'1x1 or 3x3 kernels, got \(5, 5\)'):
    getattr(resample, operation)(*_inputs(5), form=form)
