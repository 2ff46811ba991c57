"""The SAGAN generator (self-attention-gan generator.py:generator_test)."""

import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from sagan_jax.models import blocks, folding, layers, macs, norm

# Widths in units of ch: of the 4x4 map, then of the output of every block.
_WIDTHS = {
  32: (4, 4, 4, 4),
  64: (16, 8, 4, 2, 1),
  128: (16, 16, 8, 4, 2, 1),
  256: (16, 16, 8, 8, 4, 2, 1),
}


class UpBlock(nn.Module):
  """Residual block that doubles the resolution and sets the width.

  [B, H, W, I] -> [B, 2H, 2W, features]; the skip is always learned.

  Attributes:
    fold: of the result, see `folding`.
  """

  features: int
  conv: Callable[..., nn.Module]
  conv_up: Callable[..., nn.Module]
  norm: Callable[..., nn.Module]
  fold: int = 1

  @nn.compact
  def __call__(self, x, label, *, train):
    conv_up = functools.partial(self.conv_up, folds=(1, self.fold))
    conv = functools.partial(self.conv, folds=(self.fold, self.fold))
    h = jax.nn.relu(self.norm(name='norm1')(x, label, train=train))
    h = conv_up(self.features, name='conv1')(h)
    h = self.norm(fold=self.fold, name='norm2')(h, label, train=train)
    h = conv(self.features, name='conv2')(jax.nn.relu(h))
    return conv_up(self.features, kernel_size=1, name='skip')(x) + h


class Generator(blocks.Network):
  """Maps latents and labels to images.

  Attributes (beside those of `blocks.Network`):
    bn_group_size: images per batch-norm group, see `norm.BatchNorm`.
    bn_decay: of the running moments, see `norm.BatchNorm`.
    bn_eps: added to variances.
  """

  IMAGE_SIZES = tuple(_WIDTHS)

  bn_group_size: int | None = None
  bn_decay: float = 0.999
  bn_eps: float = 1e-5

  @staticmethod
  def stages(image_size, ch):
    """See `blocks.Network`; the first is the 4x4 map that precedes block 1."""
    return [
      blocks.Stage(4 * 2**i, width * ch, resampled=i > 0)
      for i, width in enumerate(_WIDTHS[image_size])
    ]

  @nn.nowrap
  def macs(self, latent_dim):
    """Multiply-adds per image, forward, see `models.macs`."""
    stem, *stages = self.stages(self.image_size, self.ch)
    inputs = stem.channels
    total = latent_dim * stem.resolution**2 * inputs
    for stage in stages:
      size, width = stage.resolution, stage.channels
      total += macs.conv(size, 3, inputs, width) + macs.conv(
        size, 3, width, width
      )
      total += macs.conv(size, 1, inputs, width)
      total += self.long_range_macs(stage)
      inputs = width
    return total + macs.conv(self.image_size, 3, inputs, 3)

  @nn.compact
  def __call__(self, z, label, *, train):
    """Generates images.

    Args:
      z: float32 [B, latent_dim].
      label: int32 [B] in [0, num_classes), or float32 [B, num_classes] of
        shares of the classes, see `norm.BatchNorm`.
      train: normalise by the moments of this batch; otherwise by running ones.

    Returns:
      float32 [B, image_size, image_size, 3] in (-1, 1).
    """
    batch_norm = functools.partial(
      norm.BatchNorm,
      group_size=self.bn_group_size,
      decay=self.bn_decay,
      eps=self.bn_eps,
    )
    tables = self.num_classes if self.num_classes > 1 else None
    stem, *stages = self.stages(self.image_size, self.ch)
    shape = (stem.resolution, stem.resolution, stem.channels)
    x = self.normalized(layers.SNDense)(math.prod(shape), name='dense')(
      z.astype(self.dtype)
    )
    x = x.reshape(-1, *shape)
    # Only the last map is large and narrow enough to be worth folding.
    fold = self.fold(stages[-1])
    for i, stage in enumerate(stages, 1):
      block = UpBlock(
        stage.channels,
        fold=fold if stage is stages[-1] else 1,
        conv=self.conv(),
        conv_up=self.conv_up(),
        norm=functools.partial(batch_norm, num_classes=tables),
        name=f'block{i}',
      )
      x = self.through(block, stage, x, label, train=train)
      x = self.long_range(x, stage)
    x = jax.nn.relu(batch_norm(fold=fold, name='norm')(x, train=train))
    x = self.conv()(3, folds=(fold, fold), name='conv_out')(x)
    return jnp.tanh(folding.unfold(x, fold).astype(jnp.float32))
