"""The SAGAN discriminator (self-attention-gan discriminator.py)."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from sagan_jax.models import blocks, folding, layers, macs

# Output width of every block in units of ch, and how many of them, from the
# first, halve the resolution.
_WIDTHS = {
  32: ((2, 2, 2, 2), 2),
  64: ((1, 2, 4, 8, 16), 4),
  128: ((1, 2, 4, 8, 16, 16), 5),
  256: ((1, 2, 4, 8, 8, 16, 16), 6),
}


class DownBlock(nn.Module):
  """Residual block that sets the width and may halve the resolution.

  [B, H, W, I] -> [B, H', W', features]. The skip leaves from x before the
  ReLU; it is x itself where neither width nor resolution changes.

  Attributes:
    first: the block sees images, so there is no ReLU in front.
    fold: of x and of the map within, see `folding`; only with `down`.
  """

  features: int
  down: bool
  conv: Callable[..., nn.Module]
  conv_down: Callable[..., nn.Module]
  first: bool = False
  fold: int = 1

  @nn.compact
  def __call__(self, x):
    conv_last = self.conv_down if self.down else self.conv
    conv_last = functools.partial(conv_last, folds=(self.fold, 1))
    h = x if self.first else jax.nn.relu(x)
    h = self.conv(self.features, folds=(self.fold, self.fold), name='conv1')(h)
    h = conv_last(self.features, name='conv2')(jax.nn.relu(h))
    if self.down or x.shape[-1] != self.features:
      x = conv_last(self.features, kernel_size=1, name='skip')(x)
    return x + h


class Discriminator(blocks.Network):
  """Maps images and labels to logits: projection of arXiv:1802.05637."""

  IMAGE_SIZES = tuple(_WIDTHS)

  @staticmethod
  def stages(image_size, ch):
    """See `blocks.Network`."""
    widths, num_down = _WIDTHS[image_size]
    return [
      blocks.Stage(
        image_size // 2 ** min(i, num_down), width * ch, resampled=i <= num_down
      )
      for i, width in enumerate(widths, 1)
    ]

  @nn.nowrap
  def macs(self):
    """Multiply-adds per image, forward, see `models.macs`."""
    total, size, inputs = 0, self.image_size, 3
    for i, stage in enumerate(self.stages(self.image_size, self.ch)):
      width = stage.channels
      total += macs.conv(size, 3, inputs, width) + macs.conv(
        size, 3, width, width
      )
      if i == 0:  # The reference averages the image before its 1x1 skip.
        total += macs.conv(stage.resolution, 1, inputs, width)
      elif stage.resampled or inputs != width:
        total += macs.conv(size, 1, inputs, width)
      total += self.long_range_macs(stage)
      size, inputs = stage.resolution, width
    return total + inputs

  @nn.compact
  def __call__(self, x, label):
    """Scores images.

    Args:
      x: float32 [B, image_size, image_size, 3] in [-1, 1].
      label: int32 [B] in [0, num_classes).

    Returns:
      float32 [B]; positive means real.
    """
    stages = self.stages(self.image_size, self.ch)
    # Only the first map is large and narrow enough to be worth folding.
    fold = folding.choose(stages[0].channels, self.resample)
    x = folding.fold(x.astype(self.dtype), fold)
    for i, stage in enumerate(stages, 1):
      block = DownBlock(
        stage.channels,
        fold=fold if i == 1 else 1,
        down=stage.resampled,
        conv=self.conv(),
        conv_down=self.conv_down(),
        first=i == 1,
        name=f'block{i}',
      )
      x = self.through(block, stage, x)
      x = self.long_range(x, stage)
    h = jax.nn.relu(x).astype(jnp.float32).sum((1, 2))  # [B, C]
    logit = self.normalized(layers.SNDense)(1, name='dense')(h)
    logit = logit[:, 0]
    if self.num_classes > 1:
      class_vector = self.normalized(layers.SNEmbed)(
        self.num_classes, h.shape[-1], name='embedding'
      )(label)
      logit += jnp.sum(class_vector * h, -1)
    return logit
