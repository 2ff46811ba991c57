"""The Inception network of 2015-12-05, on which FID, IS and KID are defined.

This is the graph of `classify_image_graph_def.pb`, not the Inception v3 of
later model zoos: 3x3 average pools do not count their padding, the pool branch
of mixed_10 is a max pool, batch norm has epsilon 1e-3 and no gamma, and there
are 1008 outputs. Batch norm is folded into each convolution when weights are
loaded (`convert`), so a layer is `relu(conv(x) + bias)`.

Parameters are one flat tree named after the nodes of that graph:
`{'mixed_4/tower_1/conv_2': {'kernel': HWIO, 'bias': [O]}, ..., 'softmax':
...}`. The wiring is the table `STAGES`; names and shapes are written nowhere
else.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from sagan_jax.inception import resize

BATCH_NORM_EPSILON = 1e-3
NUM_LOGITS = 1008  # 1000 classes, a background class, 7 that were never used
SPATIAL_CHANNELS = 7  # ADM's sFID keeps these of the 17x17 map: 2023 values


class Conv(NamedTuple):
  """A convolution, its bias and its ReLU."""

  name: str  # TF node
  features: int
  kernel: tuple[int, int] = (1, 1)
  stride: int = 1
  padding: str = 'SAME'


class Pool(NamedTuple):
  """A 3x3 pool."""

  kind: str  # 'max' or 'avg'; 'avg' divides by the pixels inside the image
  stride: int = 1
  padding: str = 'SAME'


_REDUCE = Pool('max', stride=2, padding='VALID')


def _chain(scope, *convs):
  """Returns `scope/conv`, `scope/conv_1`, ... of (features, kernel, ...)."""
  return tuple(
    Conv(f'{scope}/conv' + (f'_{i}' if i else ''), *conv)
    for i, conv in enumerate(convs)
  )


def _block_35(name, pool_features):
  """Returns the branches of a 35x35 block."""
  return (
    _chain(name, (64,)),
    _chain(f'{name}/tower', (48,), (64, (5, 5))),
    _chain(f'{name}/tower_1', (64,), (96, (3, 3)), (96, (3, 3))),
    (Pool('avg'), *_chain(f'{name}/tower_2', (pool_features,))),
  )


def _block_17(name, width):
  """Returns the branches of a 17x17 block, factorised into 1x7 and 7x1."""
  row, column = (1, 7), (7, 1)
  return (
    _chain(name, (192,)),
    _chain(f'{name}/tower', (width,), (width, row), (192, column)),
    _chain(
      f'{name}/tower_1',
      (width,),
      (width, column),
      (width, row),
      (width, column),
      (192, row),
    ),
    (Pool('avg'), *_chain(f'{name}/tower_2', (192,))),
  )


def _block_8(name, pool):
  """Returns the branches of an 8x8 block; a branch may end in a fork."""

  def fork(scope):
    row, column = _chain(f'{scope}/mixed', (384, (1, 3)), (384, (3, 1)))
    return ((row,), (column,))

  return (
    _chain(name, (320,)),
    (*_chain(f'{name}/tower', (384,)), fork(f'{name}/tower')),
    (
      *_chain(f'{name}/tower_1', (448,), (384, (3, 3))),
      fork(f'{name}/tower_1'),
    ),
    (Pool(pool), *_chain(f'{name}/tower_2', (192,))),
  )


# Stage -> branches, concatenated on channels; in the order of computation.
STAGES = {
  'pool': (
    (
      Conv('conv', 32, (3, 3), 2, 'VALID'),
      Conv('conv_1', 32, (3, 3), 1, 'VALID'),
      Conv('conv_2', 64, (3, 3)),
      _REDUCE,
    ),
  ),
  'pool_1': (
    (
      Conv('conv_3', 80, (1, 1), 1, 'VALID'),
      Conv('conv_4', 192, (3, 3), 1, 'VALID'),
      _REDUCE,
    ),
  ),
  'mixed': _block_35('mixed', 32),
  'mixed_1': _block_35('mixed_1', 64),
  'mixed_2': _block_35('mixed_2', 64),
  'mixed_3': (
    _chain('mixed_3', (384, (3, 3), 2, 'VALID')),
    _chain('mixed_3/tower', (64,), (96, (3, 3)), (96, (3, 3), 2, 'VALID')),
    (_REDUCE,),
  ),
  'mixed_4': _block_17('mixed_4', 128),
  'mixed_5': _block_17('mixed_5', 160),
  'mixed_6': _block_17('mixed_6', 160),
  'mixed_7': _block_17('mixed_7', 192),
  'mixed_8': (
    _chain('mixed_8/tower', (192,), (320, (3, 3), 2, 'VALID')),
    _chain(
      'mixed_8/tower_1',
      (192,),
      (192, (1, 7)),
      (192, (7, 1)),
      (192, (3, 3), 2, 'VALID'),
    ),
    (_REDUCE,),
  ),
  'mixed_9': _block_8('mixed_9', 'avg'),
  'mixed_10': _block_8('mixed_10', 'max'),
}

# Tap -> (stage after which it is known, dimensions).
TAPS: Mapping[str, tuple[str, int]] = {
  '64': ('pool', 64),
  '192': ('pool_1', 192),
  'spatial': ('mixed_6', 17 * 17 * SPATIAL_CHANNELS),
  '768': ('mixed_7', 768),
  '1280': ('mixed_8', 1280),  # not a published tap
  '2048': ('mixed_10', 2048),  # pool_3
  'logits': ('mixed_10', NUM_LOGITS),
  'logits_unbiased': ('mixed_10', NUM_LOGITS),  # improved-gan's, no bias
}
_LOGIT_TAPS = ('logits', 'logits_unbiased')
_POOLED_TAPS = {
  stage: tap
  for tap, (stage, _) in TAPS.items()
  if tap != 'spatial' and tap not in _LOGIT_TAPS
}
_SPATIAL_NODE = 'mixed_6/conv'


class Inception(nn.Module):
  """The network from scaled pixels to the asked-for taps.

  Computes, and has parameters for, the stages up to the deepest tap only.

  Attributes:
    taps: names from `TAPS`, at least one.
    dtype: of the convolutions, float32 or bfloat16. Taps are float32 always.
  """

  taps: tuple[str, ...]
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x):
    """Computes the taps.

    Args:
      x: float32 [B, 299, 299, 3], `resize.inception_input` of the images.

    Returns:
      dict of tap -> float32 [B, dims]. Numbered taps are spatial means.

    Raises:
      ValueError: if a tap is unknown or none is asked for.
    """
    last_stage = _last_stage(self.taps)
    found = {}

    def step(x, op):
      if isinstance(op, Pool):
        return _pool(x, op)
      if not isinstance(op, Conv):
        return merge(x, op)
      x = self._conv(op)(x)
      x = nn.relu(x)
      if op.name == _SPATIAL_NODE:
        found['spatial'] = (
          x[..., :SPATIAL_CHANNELS].reshape(len(x), -1).astype(jnp.float32)
        )
      return x

    def merge(x, branches):
      outputs = [functools.reduce(step, branch, x) for branch in branches]
      return jnp.concatenate(outputs, axis=-1)

    x = x.astype(self.dtype)
    for stage, branches in STAGES.items():
      x = merge(x, branches)
      if stage in _POOLED_TAPS:
        found[_POOLED_TAPS[stage]] = x.astype(jnp.float32).mean(axis=(1, 2))
      if stage == last_stage:
        break
    if set(self.taps) & set(_LOGIT_TAPS):
      found.update(_Softmax(name='softmax')(found['2048']))
    return {tap: found[tap] for tap in self.taps}

  def _conv(self, op):
    return nn.Conv(
      op.features,
      op.kernel,
      op.stride,
      op.padding,
      dtype=self.dtype,
      # Accelerators multiply float32 in fewer bits unless told otherwise.
      precision=(
        jax.lax.Precision.HIGHEST if self.dtype == jnp.float32 else None
      ),
      name=op.name,
    )


class _Softmax(nn.Module):
  """The last layer, without its softmax; float32 always."""

  @nn.compact
  def __call__(self, x):
    kernel = self.param(
      'kernel', nn.initializers.lecun_normal(), (x.shape[-1], NUM_LOGITS)
    )
    bias = self.param('bias', nn.initializers.zeros, (NUM_LOGITS,))
    logits = jnp.dot(x, kernel, precision=jax.lax.Precision.HIGHEST)
    return {'logits_unbiased': logits, 'logits': logits + bias[None]}


def param_shapes(taps):
  """Returns the parameters that the taps need.

  Args:
    taps: names from `TAPS`.

  Returns:
    dict of layer -> {'kernel': shape, 'bias': shape}, all float32.

  Raises:
    ValueError: if a tap is unknown or none is asked for.
  """
  size = resize.INCEPTION_SIZE
  variables = jax.eval_shape(
    Inception(tuple(taps)).init,
    jax.random.key(0),
    jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32),
  )
  return jax.tree.map(lambda leaf: leaf.shape, variables['params'])


def _last_stage(taps):
  """Returns the deepest stage that `taps` need."""
  unknown = sorted(set(taps) - set(TAPS))
  if unknown or not taps:
    raise ValueError(
      f'Inception taps {list(taps)} must be one or more of {list(TAPS)}'
    )
  stages = list(STAGES)
  return max((TAPS[tap][0] for tap in taps), key=stages.index)


def _pool(x, op):
  """Applies a 3x3 pool."""
  window, strides = (3, 3), (op.stride, op.stride)
  if op.kind == 'max':
    return nn.max_pool(x, window, strides, op.padding)
  return nn.avg_pool(x, window, strides, op.padding, count_include_pad=False)
