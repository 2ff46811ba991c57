"""Tests of the image preparation: bit equality with TensorFlow's kernel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax.inception import resize

# Every size class of the range: below, at and above 299, odd, even, and sizes
# whose scale is not exact in float32.
SIZES = (32, 33, 47, 64, 96, 128, 200, 255, 256, 298, 299, 300, 333, 431, 500)


def _tf_resize(images):
  tf = pytest.importorskip('tensorflow', reason='compares with the TF kernel')
  # The kernel itself; the Python wrapper around it warns on every call.
  return tf.raw_ops.ResizeBilinear(
    images=images,
    size=(299, 299),
    align_corners=False,
    half_pixel_centers=False,
  ).numpy()


@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('jit', [False, True])
def test_resize_equals_tensorflow_bit_for_bit(size, jit):
  rng = np.random.default_rng(size)
  images = rng.integers(0, 256, (1, size, size, 3)).astype(np.float32)
  function = resize.resize_bilinear_tf1
  ours = (jax.jit(function) if jit else function)(images)
  np.testing.assert_array_equal(ours, _tf_resize(images))


def test_resize_is_bit_equal_on_rectangles_and_on_any_range():
  rng = np.random.default_rng(0)
  images = rng.normal(0, 1e4, (2, 61, 350, 3)).astype(np.float32)
  ours = jax.jit(resize.resize_bilinear_tf1)(images)
  np.testing.assert_array_equal(ours, _tf_resize(images))


def test_resize_inside_a_larger_program_keeps_its_bits():
  # Fusion with neighbours is where a contraction would come back.
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
  ours = jax.jit(resize.inception_input)(images)
  expected = (_tf_resize(images.astype(np.float32)) - np.float32(128)) / 128
  np.testing.assert_array_equal(ours, expected.astype(np.float32))


def test_resize_of_a_ramp_has_known_values():
  # Two pixels 0 and 299: samples at 2i/299, so the left half is the ramp 2i and
  # the right half is clamped at the last pixel.
  row = jnp.array([0.0, 299.0]).reshape(1, 1, 2, 1)
  ours = np.asarray(resize.resize_bilinear_tf1(row))[0, 0, :, 0]
  expected = np.minimum(2.0 * np.arange(299), 299.0)
  np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_resize_refuses_other_ranks():
  with pytest.raises(ValueError, match=r'\(4, 4, 3\).*rank 4'):
    resize.resize_bilinear_tf1(jnp.zeros((4, 4, 3)))


@pytest.mark.parametrize('jit', [False, True])
def test_quantise_truncates_and_clips(jit):
  values = np.array([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0], np.float32)
  images = np.repeat(values, 3).reshape(1, 7, 1, 3)
  function = resize.quantise_uint8
  ours = np.asarray((jax.jit(function) if jit else function)(images))
  # 0.0 -> 127.5 -> 127 and 0.5 -> 191.25 -> 191: truncated, not rounded.
  assert ours[0, :, 0, 0].tolist() == [0, 0, 63, 127, 191, 255, 255]
  assert ours.dtype == np.uint8


def test_quantise_equals_the_reference_formula_under_jit():
  rng = np.random.default_rng(0)
  images = rng.uniform(-1.1, 1.1, (4, 64, 64, 3)).astype(np.float32)
  # Byte borders, where a fused multiply-add would fall on the other side.
  borders = ((np.arange(192) - 127.5) / 127.5).astype(np.float32)
  images[0, 0] = borders.reshape(64, 3)
  expected = np.clip(images * np.float32(127.5) + np.float32(127.5), 0, 255)
  ours = jax.jit(resize.quantise_uint8)(images)
  np.testing.assert_array_equal(ours, expected.astype(np.uint8))


def test_quantise_keeps_bytes_that_came_from_bytes():
  # v / 127.5 - 1 is the usual map to [-1, 1]; truncation may lose one level.
  levels = np.arange(256, dtype=np.float32)
  images = (levels / np.float32(127.5) - 1).reshape(1, 256, 1, 1)
  back = np.asarray(resize.quantise_uint8(np.repeat(images, 3, -1)))[0, :, 0, 0]
  loss = levels - back
  assert set(loss.tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize(
  'images, match',
  [
    (np.zeros((1, 8, 8, 3), np.float32), r'not float32 \(1, 8, 8, 3\)'),
    (np.zeros((8, 8, 3), np.uint8), r'not uint8 \(8, 8, 3\)'),
    (np.zeros((1, 8, 8, 1), np.uint8), r'not uint8 \(1, 8, 8, 1\)'),
  ],
)
def test_inception_input_takes_only_uint8_rgb(images, match):
  with pytest.raises(ValueError, match=match):
    resize.inception_input(images)
