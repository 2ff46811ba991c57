"""The SAGAN generator (self-attention-gan generator.py:generator_test)."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from sagan_jax.models import blocks, layers, norm

# Widths in units of ch: of the 4x4 map, then of the output of every block.
MULTIPLIERS = {
  32: (4, 4, 4, 4),
  64: (16, 8, 4, 2, 1),
  128: (16, 16, 8, 4, 2, 1),
  256: (16, 16, 8, 8, 4, 2, 1),
}


class UpBlock(nn.Module):
  """Residual block that doubles the resolution and sets the width.

  [B, H, W, I] -> [B, 2H, 2W, features]; the skip is always learned.
  """

  features: int
  conv: Callable[..., nn.Module]
  conv_up: Callable[..., nn.Module]
  norm: Callable[..., nn.Module]

  @nn.compact
  def __call__(self, x, label, *, train):
    h = jax.nn.relu(self.norm(name='norm1')(x, label, train=train))
    h = self.conv_up(self.features, name='conv1')(h)
    h = jax.nn.relu(self.norm(name='norm2')(h, label, train=train))
    h = self.conv(self.features, name='conv2')(h)
    return self.conv_up(self.features, kernel_size=1, name='skip')(x) + h


class Generator(blocks.Network):
  """Maps latents and labels to images.

  Attributes (beside those of `blocks.Network`):
    bn_group_size: images a batch-norm group, see `norm.BatchNorm`.
    bn_decay: of the running moments, see `norm.BatchNorm`.
    bn_eps: added to variances.
  """

  bn_group_size: int | None = None
  bn_decay: float = 0.999
  bn_eps: float = 1e-5

  @nn.compact
  def __call__(self, z, label, *, train):
    """Generates images.

    Args:
      z: float32 [B, latent_dim].
      label: int32 [B] in [0, num_classes).
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
    first, *widths = MULTIPLIERS[self.image_size]
    x = self.normalized(layers.SNDense)(4 * 4 * first * self.ch, name='dense')(
      z.astype(self.dtype)
    )
    x = x.reshape(-1, 4, 4, first * self.ch)
    for i, width in enumerate(widths, 1):
      x = UpBlock(
        width * self.ch,
        conv=self.conv(),
        conv_up=self.conv_up(),
        norm=functools.partial(batch_norm, num_classes=tables),
        name=f'block{i}',
      )(x, label, train=train)
      x = self.long_range(x)
    x = jax.nn.relu(batch_norm(name='norm')(x, train=train))
    x = self.conv()(3, name='conv_out')(x)
    return jnp.tanh(x.astype(jnp.float32))
