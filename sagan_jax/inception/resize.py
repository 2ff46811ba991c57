"""Image preparation exactly as the 2015 Inception graph does it.

A score moves with the resize (half-pixel sampling alone moves FID-768 by
0.03), so both functions are bit-exact by construction, also inside `jax.jit`:
every product that feeds an addition passes through a clamp which cannot change
its value. XLA may contract `a * b + c` into one fused multiply-add, which
rounds once instead of twice and differs in the last bit; with the clamp between
them there is nothing to contract.
"""

import jax
import jax.numpy as jnp
import numpy as np

INCEPTION_SIZE = 299  # px, the side of the network's input
TF1_BILINEAR = 'TF1 bilinear to 299x299 (no half-pixel centres, no antialias)'

_FLOAT32_MAX = np.finfo(np.float32).max


def quantise_uint8(images):
  """Turns generator output into the bytes that an image file would hold.

  `uint8(clip(127.5 x + 127.5, 0, 255))`, truncated, not rounded, as
  sngan_projection and the SAGAN reference evaluate their samples. A NaN has no
  defined byte: check for non-finite images first.

  Args:
    images: float32 [B, H, W, 3] in [-1, 1]; values outside are clipped.

  Returns:
    uint8 [B, H, W, 3].
  """
  images = jnp.asarray(images, jnp.float32)
  # The clip comes between product and sum: the same value, and no contraction.
  scaled = jnp.clip(images * 127.5, -127.5, 127.5)
  return (scaled + 127.5).astype(jnp.uint8)


def resize_bilinear_tf1(images, size=INCEPTION_SIZE):
  """Resizes like `tf.compat.v1.image.resize_bilinear`, bit for bit.

  Output pixel i samples the source at `i * in / out` (align_corners=False, no
  half-pixel offset), takes the floor, and interpolates linearly with the next
  pixel, clamped at the border. `jax.image.resize` samples at half pixels.

  Args:
    images: float32 [B, H, W, C], any finite range.
    size: side of the square output, px.

  Returns:
    float32 [B, size, size, C].

  Raises:
    ValueError: if `images` is not rank 4.
  """
  if images.ndim != 4:
    raise ValueError(
      f'images of shape {images.shape} cannot be resized; give rank 4 '
      '[batch, height, width, channels]'
    )
  images = jnp.asarray(images, jnp.float32)
  lower, upper, weight = _sample_points(images.shape[2], size)
  weight = weight.reshape(1, 1, -1, 1)
  rows = _lerp(images[:, :, lower], images[:, :, upper], weight)
  lower, upper, weight = _sample_points(images.shape[1], size)
  weight = weight.reshape(1, -1, 1, 1)
  return _lerp(rows[:, lower], rows[:, upper], weight)


def inception_input(images):
  """Resizes bytes to the network's input: `(resize(images) - 128) / 128`.

  Args:
    images: uint8 [B, H, W, 3], RGB.

  Returns:
    float32 [B, 299, 299, 3] in [-1, 1).

  Raises:
    ValueError: if `images` is not uint8 [B, H, W, 3].
  """
  check_uint8_images(images)
  return (resize_bilinear_tf1(images.astype(jnp.float32)) - 128.0) / 128.0


def check_uint8_images(images):
  """Refuses anything but uint8 [B, H, W, 3].

  Floats are refused rather than guessed at: [-1, 1], [0, 1] and [0, 255] cannot
  be told apart safely, and fakes must be quantised before they are scored.

  Args:
    images: an array or tracer.

  Raises:
    ValueError: with the dtype and shape that were given.
  """
  if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != jnp.uint8:
    raise ValueError(
      f'feature extractors take uint8 RGB images [B, H, W, 3], not '
      f'{images.dtype} {tuple(images.shape)}; pass float images through '
      'inception.resize.quantise_uint8'
    )


def _sample_points(in_size, out_size):
  """Returns the (lower, upper, weight) of each output pixel, as constants."""
  # float32 throughout, as in TensorFlow's kernel: float64 moves the floor.
  scale = np.float32(in_size) / np.float32(out_size)
  source = np.arange(out_size, dtype=np.float32) * scale
  lower = np.floor(source)
  weight = source - lower
  lower = lower.astype(np.int32)
  return lower, np.minimum(lower + 1, in_size - 1), weight


def _lerp(a, b, weight):
  """Returns `a + (b - a) * weight`, each operation rounded on its own."""
  step = jax.lax.clamp(-_FLOAT32_MAX, (b - a) * weight, _FLOAT32_MAX)
  return a + step
