"""Convolutions that change the resolution, in algebraically equal forms.

Layout is NHWC, kernels are HWIO, odd and square, padding is SAME. Each
function takes `form`:

* 'reference' does what the papers draw: enlarge, then convolve; convolve,
  then average.
* The others compute the same numbers with fewer multiplications. Nearest
  neighbour enlargement repeats pixels, so some taps of the kernel meet the
  same pixel and can be added beforehand; averaging 2x2 outputs is itself a
  convolution and can be folded into the kernel. For 3x3 kernels 4 of 9
  products remain, for 1x1 kernels 1 of 4. Both ways lead to the same kernel
  of 4x4 taps, `_smoothed`; the forms differ in how they apply it:

  * 'cheap' enlarges by one convolution per phase of the output, averages by a
    strided one, and moves a 1x1 convolution to the smaller side. Best on CPUs.
  * 'dilated' enlarges by one convolution of the input spread with zeros, which
    a TPU skips, and averages by a strided one, 1x1 kernels included: what
    interleaving costs there is more than the convolutions.
  * 'dense' is 'cheap' without strides: phases of the input lie in channels.
    On GPUs gradients of strided or dilated convolutions in bfloat16 may miss
    the fast kernels (github.com/openxla/xla/issues/34273: 41 against 0.5 ms).

'auto' stands for the form that suits a platform, see `choose`. All forms agree
to rounding, in value and in gradient.
"""

import jax
import jax.numpy as jnp
import numpy as np

from sagan_jax.models import folding
from sagan_jax.models.convolution import conv

FORMS = ('reference', 'cheap', 'dilated', 'dense')

_OF_PLATFORM = {'cpu': 'cheap', 'tpu': 'dilated'}  # Others are GPUs.

# What becomes of the 3 taps of an axis, as rows of weights. Enlarged: even
# pixels of the output see pixels i-1, i of the input, odd ones i, i+1.
_ENLARGED = [[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]
_AVERAGED = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]]) / 2

# Pixels of the smaller map, over all images, up to which a TPU does better with
# the reference: to make the larger kernel and to fold its gradient costs more
# than the products that it saves (compiler's estimate for v5e, 1024 channels,
# 16 images: 0.54 against 0.79 Mcycles at 8x8 to 4x4, 1.22 against 0.82 at
# 16x16 to 8x8).
_FEW_PIXELS = 16 * 4 * 4


def choose(form, platform):
  """The form that a config's `resample` means on a platform.

  Args:
    form: one of `FORMS`, or 'auto'.
    platform: of the devices, as JAX names it: 'cpu', 'gpu', 'tpu'.

  Returns:
    One of `FORMS`.
  """
  return _OF_PLATFORM.get(platform, 'dense') if form == 'auto' else form


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


def upsample_conv(x, kernel, *, form, folds=(1, 1)):
  """Nearest-neighbour enlargement by 2, then convolution.

  Args:
    x: [B, H, W, I].
    kernel: float32 [k, k, I, O], k = 1 or 3.
    form: one of `FORMS`.
    folds: of x and the result, see `folding.conv`; (1, 2) if 'dilated'.

  Returns:
    [B, 2H, 2W, O] in x's dtype, folded.
  """
  _check(kernel, form)
  b, h, w, _ = x.shape
  if form == 'reference' or _too_few(form, kernel, b * h * w, folds):
    return conv(upsample(x), kernel)
  if form == 'dilated':
    before = (kernel.shape[0] + 1) // 2
    return folding.conv(x, _smoothed(kernel), folds, spread=2, offset=before)
  if kernel.shape[0] == 1:
    return upsample(conv(x, kernel))
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


def conv_downsample(x, kernel, *, form, folds=(1, 1)):
  """Convolution, then averaging of 2x2 blocks.

  Args:
    x: [B, H, W, I], H and W even, folded.
    kernel: float32 [k, k, I, O], k = 1 or 3.
    form: one of `FORMS`.
    folds: of x and the result, see `folding.conv`; (2, 1) if 'dilated'.

  Returns:
    [B, H/2, W/2, O] in x's dtype.
  """
  _check(kernel, form)
  b, h, w, _ = x.shape
  if form == 'reference' or _too_few(form, kernel, b * h * w // 4, folds):
    return downsample(conv(x, kernel))
  size = kernel.shape[0]
  if form == 'dilated':
    kernel = _smoothed(kernel) / 4
    return folding.conv(x, kernel, folds, stride=2, offset=size // 2)
  if size == 1:
    return conv(downsample(x), kernel)
  if form == 'dense':
    return _conv_of_blocks(x, _smoothed(kernel) / 4)
  smoothed = _mix_taps(kernel, _AVERAGED, _AVERAGED)
  return conv(x, smoothed, stride=2, padding=((1, 1), (1, 1)))


def _too_few(form, kernel, num_pixels, folds):
  is_wide = kernel.shape[0] > 1 and folds == (1, 1)
  return form == 'dilated' and is_wide and num_pixels <= _FEW_PIXELS


def _conv_of_blocks(x, kernel):
  """Convolves x [B, H, W, I] with 4x4 taps in steps of 2, blocks in channels.

  The same products as a convolution of stride 2, to [B, H/2, W/2, O].
  """
  b, h, w, inputs = x.shape
  x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  x = x.reshape(b, h // 2 + 1, 2, w // 2 + 1, 2, inputs)
  x = x.transpose(0, 1, 3, 2, 4, 5).reshape(b, h // 2 + 1, w // 2 + 1, -1)
  kernel = kernel.reshape(2, 2, 2, 2, inputs, -1).transpose(0, 2, 1, 3, 4, 5)
  kernel = kernel.reshape(2, 2, 4 * inputs, -1)
  return conv(x, kernel, padding=((0, 0), (0, 0)))


@jax.named_scope('weights')
def _smoothed(kernel):
  """Sums of neighbouring taps: [k, k, I, O] -> [k + 1, k + 1, I, O].

  By shifted additions, which accelerators fuse with the division by sigma
  before them and the cast behind them.
  """
  return sum(
    jnp.pad(kernel, ((r, 1 - r), (c, 1 - c), (0, 0), (0, 0)))
    for r in range(2)
    for c in range(2)
  )


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
