"""Convolutions that change the resolution, in two algebraically equal forms.

Layout is NHWC, kernels are HWIO, odd and square, padding is SAME. Each
function takes `form`:

* 'reference' does what the papers draw: enlarge, then convolve; convolve,
  then average.
* 'cheap' computes the same numbers with fewer multiplications. Nearest
  neighbour enlargement repeats pixels, so some taps of the kernel meet the
  same pixel and can be added beforehand; averaging 2x2 outputs is itself a
  convolution and can be folded into the kernel. For 3x3 kernels 4 of 9
  products remain; a 1x1 convolution moves to the smaller side, 1 of 4.

The forms agree to rounding, in value and in gradient.
"""

import jax
import jax.numpy as jnp
import numpy as np

from sagan_jax.models.convolution import conv

FORMS = ('reference', 'cheap')

# What becomes of the 3 taps of an axis, as rows of weights. Enlarged: even
# pixels of the output see pixels i-1, i of the input, odd ones i, i+1.
_ENLARGED = [[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]
_AVERAGED = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]]) / 2


@jax.named_scope('resampling')
def upsample(x):
  """Repeats every pixel 2x2: [B, H, W, C] -> [B, 2H, 2W, C]."""
  b, h, w, c = x.shape
  x = jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c))
  return x.reshape(b, 2 * h, 2 * w, c)


@jax.named_scope('resampling')
def downsample(x):
  """Averages 2x2 blocks: [B, H, W, C] -> [B, H/2, W/2, C], H and W even."""
  b, h, w, c = x.shape
  return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def upsample_conv(x, kernel, *, form):
  """Nearest-neighbour enlargement by 2, then convolution.

  Args:
    x: [B, H, W, I].
    kernel: float32 [k, k, I, O], k = 1 or 3.
    form: 'reference' or 'cheap'.

  Returns:
    [B, 2H, 2W, O] in x's dtype.
  """
  _check(kernel, form)
  if form == 'reference':
    return conv(upsample(x), kernel)
  if kernel.shape[0] == 1:
    return upsample(conv(x, kernel))
  b, h, w, _ = x.shape
  phases = [
    conv(
      x,
      _mix_taps(kernel, _ENLARGED[r], _ENLARGED[c]),
      padding=((1 - r, r), (1 - c, c)),
    )
    for r in range(2)
    for c in range(2)
  ]
  with jax.named_scope('resampling'):
    y = jnp.stack(phases, 3).reshape(b, h, w, 2, 2, -1)
    return y.transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, -1)


def conv_downsample(x, kernel, *, form):
  """Convolution, then averaging of 2x2 blocks.

  Args:
    x: [B, H, W, I], H and W even.
    kernel: float32 [k, k, I, O], k = 1 or 3.
    form: 'reference' or 'cheap'.

  Returns:
    [B, H/2, W/2, O] in x's dtype.
  """
  _check(kernel, form)
  if form == 'reference':
    return downsample(conv(x, kernel))
  if kernel.shape[0] == 1:
    return conv(downsample(x), kernel)
  smoothed = _mix_taps(kernel, _AVERAGED, _AVERAGED)
  return conv(x, smoothed, stride=2, padding=((1, 1), (1, 1)))


@jax.named_scope('weights')
def _mix_taps(kernel, rows, columns):
  """Sums of taps: [k, k, I, O] and two [n, k] give [n, n, I, O].

  One product by a small matrix, and so is its gradient: sums of slices would
  be padded and added, with large kernels at a tenth of the speed on a CPU.
  """
  mix = np.kron(rows, columns).astype(kernel.dtype)
  flat = kernel.reshape(mix.shape[1], -1)
  mixed = jnp.dot(mix, flat, precision='highest')
  return mixed.reshape(len(rows), len(columns), *kernel.shape[2:])


def _check(kernel, form):
  if form not in FORMS:
    raise ValueError(
      f'resample form {form!r} must be one of {FORMS}; set --config.resample'
    )
  if kernel.shape[:2] not in ((1, 1), (3, 3)):
    raise ValueError(
      f'resampling takes 1x1 or 3x3 kernels, got {kernel.shape[:2]}'
    )
