"""Folded maps: the same numbers as of maps with one pixel in a cell."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax.models import (
  discriminator,
  folding,
  generator,
  layers,
  norm,
  resample,
)
from sagan_jax.models.convolution import conv

# {name: (of folded maps, the reference, folds)}
_DOWN = functools.partial(resample.conv_downsample, form='dilated')
_UP = functools.partial(resample.upsample_conv, form='dilated')
OPERATIONS = {
  'conv': (conv, conv, (2, 2)),
  'down': (
    _DOWN,
    functools.partial(resample.conv_downsample, form='reference'),
    (2, 1),
  ),
  'up': (
    _UP,
    functools.partial(resample.upsample_conv, form='reference'),
    (1, 2),
  ),
}


def test_two_pixels_lie_in_a_cell():
  x = jnp.arange(8).reshape(1, 1, 4, 2)
  folded = folding.fold(x, 2)
  np.testing.assert_array_equal(folded[0, 0], [[0, 1, 2, 3], [4, 5, 6, 7]])
  np.testing.assert_array_equal(folding.unfold(folded, 2), x)


def test_maps_are_folded_where_they_fill_half_of_the_lanes():
  assert folding.choose(64, 'dilated') == 2
  assert folding.choose(65, 'dilated') == 1
  assert folding.choose(64, 'cheap') == 1


@pytest.mark.slow
@pytest.mark.parametrize('size', [1, 3])
@pytest.mark.parametrize('operation', OPERATIONS)
def test_convolutions_of_folded_maps_are_equal_to_rounding(operation, size):
  fn, reference, folds = OPERATIONS[operation]
  rng = np.random.default_rng(size)
  x = rng.standard_normal((2, 6, 8, 3))
  kernel = rng.standard_normal((size, size, 3, 5))

  def folded(x, kernel):
    y = fn(folding.fold(x, folds[0]), kernel, folds=folds)
    return folding.unfold(y, folds[1])

  g = rng.standard_normal(jax.eval_shape(reference, x, kernel).shape)

  def found(fn, dtype):
    args = (v.astype(dtype) for v in (x, kernel, g))
    return [np.asarray(v) for v in jax.jit(_with_gradients(fn))(*args)]

  with jax.enable_x64(True):
    truth = found(reference, np.float64)
    for dtype, atol in (np.float64, 1e-12), (np.float32, 1e-5):
      for one, true in zip(found(folded, dtype), truth, strict=True):
        assert np.abs(one - true).max() < atol * np.abs(true).max()


def _with_gradients(fn):
  def both(x, kernel, g):
    y, pullback = jax.vjp(fn, x, kernel)
    return y, *pullback(g)

  return both


@pytest.mark.slow
@pytest.mark.parametrize('group_size', [None, 2])
def test_batch_norm_of_a_folded_map(group_size):
  rng = np.random.default_rng(0)
  x = 1 + 2 * rng.standard_normal((4, 3, 6, 5)).astype(np.float32)
  label = np.array([0, 2, 1, 2])
  found = []
  for num in (1, 2):
    layer = norm.BatchNorm(3, group_size, decay=0.0, fold=num)
    params = {
      k: rng.standard_normal((3, 5)).astype(np.float32)
      for k in ('gamma', 'beta')
    }
    if found:
      params = found[0][0]
    stats = {'mean': np.zeros(5), 'var': np.ones(5)}

    def fn(x, params, num=num, layer=layer, stats=stats):
      y, new = layer.apply(
        {'params': params, 'batch_stats': stats},
        folding.fold(x, num),
        label,
        train=True,
        mutable=['batch_stats'],
      )
      y = folding.unfold(y, num)
      return jnp.sum(jnp.sin(y)), (y, new)

    grad = jax.jit(jax.value_and_grad(fn, (0, 1), has_aux=True))
    found.append((params, grad(x, params)))
  for one, other in zip(*map(jax.tree.leaves, found), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('network', ['generator', 'discriminator'])
def test_blocks_of_folded_maps(network):
  rng = np.random.default_rng(0)
  x = rng.standard_normal((2, 8, 8, 3)).astype(np.float32)

  def run(num):
    shared = {'conv': layers.SNConv, 'fold': num}
    down = functools.partial(layers.SNConv, convolve=_DOWN)
    up = functools.partial(layers.SNConv, convolve=_UP)
    if network == 'discriminator':
      block = discriminator.DownBlock(
        4, down=True, first=True, conv_down=down, **shared
      )
      call = functools.partial(block.apply, mutable=['spectral'])
      args = (folding.fold(x, num),)
    else:
      block = generator.UpBlock(4, conv_up=up, norm=norm.BatchNorm, **shared)
      call = functools.partial(
        block.apply, train=True, mutable=['spectral', 'batch_stats']
      )
      args = (x, None)
    kwargs = {'train': False} if network == 'generator' else {}
    variables = block.init(jax.random.key(0), *args, **kwargs)
    y, new = jax.jit(call)(variables, *args)
    return folding.unfold(y, num if network == 'generator' else 1), new

  plain, folded = run(1), run(2)
  assert jax.tree.structure(plain) == jax.tree.structure(folded)
  for one, other in zip(*map(jax.tree.leaves, (plain, folded)), strict=True):
    np.testing.assert_allclose(one, other, atol=1e-5)
