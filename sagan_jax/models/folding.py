"""Convolutions of maps that hold two neighbouring pixels in their channels.

A TPU computes on vectors of 128 channels. A map of 64 takes as much memory and
time as one of 128; folded, [B, H, W, C] as [B, H, W/2, 2C], it takes half. A
convolution of folded maps is one with a larger kernel, in which every tap
stands as often as there are pixels in a cell, and zeros.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

LANES = 128


def choose(channels, form):
  """How many pixels a cell holds where a map is held in the way of `form`.

  Args:
    channels: of the map.
    form: one of `resample.FORMS`; 'dilated' is that of TPUs.

  Returns:
    1 or 2.
  """
  return 2 if form == 'dilated' and 2 * channels <= LANES else 1


def fold(x, num):
  """[B, H, W, C] -> [B, H, W/num, num*C]."""
  return x.reshape(*x.shape[:2], -1, num * x.shape[3])


def unfold(x, num):
  """[B, H, W/num, num*C] -> [B, H, W, C]."""
  return x.reshape(*x.shape[:2], -1, x.shape[3] // num)


def conv(x, kernel, folds, *, stride=1, spread=1, offset):
  """Convolves folded maps.

  Of each axis of the maps, pixel p of the result meets tap t of the kernel and
  pixel stride*p + t - offset of x, whose pixels lie `spread` apart with zeros
  between them.

  Args:
    x: [B, H, W/m, m*I].
    kernel: [k, k, I, O], cast to x's dtype.
    folds: (m, n), pixels in a cell of x and of the result.
    stride: of both axes.
    spread: of both axes.
    offset: pixels of x before the first tap.

  Returns:
    [B, H * spread / stride, W * spread / stride / n, n*O] in x's dtype.
  """
  rows = ((offset, offset),)
  if folds == (1, 1):
    with jax.named_scope('weights'):
      kernel = kernel.astype(x.dtype)
    return _conv(x, kernel, (stride,) * 2, rows * 2, (spread,) * 2)

  m, n = folds
  taps, first, cell_stride = _structure(
    len(kernel), folds, stride, spread, offset
  )
  size, cells, *_ = taps.shape
  with jax.named_scope('weights'):
    kernel = jnp.einsum(
      'tuab,htio->huaibo', taps, kernel, precision=jax.lax.Precision.HIGHEST
    ).reshape(size, cells, m * kernel.shape[2], n * kernel.shape[3])
    kernel = kernel.astype(x.dtype)
  width = x.shape[2] * m * spread // (stride * n)  # Of the result, in cells.
  last = (width - 1) * cell_stride + cells - first - x.shape[2]
  return _conv(
    x,
    kernel,
    (stride, cell_stride),
    (*rows, (first, last)),
    (spread, 1),
  )


@functools.lru_cache
def _structure(size, folds, stride, spread, offset):
  """Where the taps of a row stand in a row of cells.

  Returns:
    (float32 [size, cells, m, n], ones where tap t joins pixel a of a cell of x
    to pixel b of one of the result; the first cell's distance; the stride in
    cells).
  """
  m, n = folds
  assert stride * n % (spread * m) == 0, folds
  found = []
  for t in range(size):
    for a in range(m):
      for b in range(n):
        cell = (stride * b + t - offset - spread * a) / (spread * m)
        if cell == math.floor(cell):
          found.append((t, int(cell), a, b))
  cells = [cell for _, cell, _, _ in found]
  taps = np.zeros((size, max(cells) - min(cells) + 1, m, n), np.float32)
  for t, cell, a, b in found:
    taps[t, cell - min(cells), a, b] = 1
  return taps, -min(cells), stride * n // (spread * m)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _conv(x, kernel, strides, padding, spread):
  """XLA's convolution of x, spread with zeros; either that or with strides."""
  return jax.lax.conv_general_dilated(
    x,
    kernel,
    strides,
    padding,
    lhs_dilation=spread,
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
  )


def _forward(x, kernel, *static):
  return _conv(x, kernel, *static), (x, kernel)


def _backward(strides, padding, spread, residuals, g):
  """As of what it is the transpose of: a convolution of g with strides.

  XLA's own gradient of the kernel would mirror the maps on a TPU first.
  """
  x, kernel = residuals
  plain = functools.partial(
    jax.lax.conv_general_dilated, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )
  if spread == (1, 1):
    _, pullback = jax.vjp(
      lambda *args: plain(*args, strides, padding), x, kernel
    )
    return pullback(g)

  def mirrored(kernel):
    return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)

  before = tuple(
    (size - 1 - low, size - 1 - high)
    for size, (low, high) in zip(kernel.shape, padding, strict=False)
  )
  x_grad, pullback = jax.vjp(
    lambda kernel: plain(g, kernel, spread, before), mirrored(kernel)
  )
  return x_grad, mirrored(pullback(x)[0])


_conv.defvjp(_forward, _backward)
