"""What generator and discriminator share: stages, settings and layers."""

import functools
from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from sagan_jax.models import (
  attention,
  folding,
  layers,
  macs,
  norm,
  resample,
)

# Devices would have to exchange these again.
_KEPT = jax.checkpoint_policies.save_only_these_names(norm.EXCHANGED)


class Stage(NamedTuple):
  """A map within a network, [B, resolution, resolution, channels]."""

  resolution: int
  channels: int
  # Whether its block changed the resolution; attention may follow only then,
  # so that there is at most one such block per resolution.
  resampled: bool = True


class Network(nn.Module):
  """What is common to generators and discriminators. Abstract.

  A network says by `stages` what maps it has. All else follows from them: its
  layers, its multiply-adds, where attention may be and what sizes exist.

  Attributes:
    IMAGE_SIZES: those that the network has stages for.
    image_size: H = W of the images, one of `IMAGE_SIZES`.
    num_classes: rows of the class tables; 1 makes the network unconditional.
    ch: width unit; every layer has a small multiple of it.
    attention: resolutions (H of the map) that get a `SelfAttention` block.
    residual: resolutions that get a `ResidualControl` block instead.
    remat: resolutions whose blocks keep only their input, and are computed again
      for the backward pass.
    attention_formula: 'code' or 'paper', see `SelfAttention`.
    resample: one of `resample.FORMS`.
    spectral_gradient: 'constant' or 'full', see `spectral.sigma`; None if the
      weights are normalised already, by `spectral.normalize_all`.
    initializer: of kernels and the class table, see `layers.INITIALIZERS`.
    dtype: of activations and of the weights that meet them. Parameters,
      spectral and batch norms, softmax and the discriminator's head stay
      float32.
  """

  IMAGE_SIZES: ClassVar[tuple[int, ...]] = ()

  image_size: int
  num_classes: int
  ch: int = 64
  attention: tuple[int, ...] = (32,)
  residual: tuple[int, ...] = ()
  remat: tuple[int, ...] = ()
  attention_formula: str = 'code'
  resample: str = 'cheap'
  spectral_gradient: str | None = 'constant'
  initializer: str = 'glorot_uniform'
  dtype: jnp.dtype = jnp.float32

  @staticmethod
  def stages(image_size, ch):
    """The maps after each block, from the input to the output.

    Args:
      image_size: one of `IMAGE_SIZES`.
      ch: width unit.

    Returns:
      A list of `Stage`.
    """
    raise NotImplementedError

  def normalized(self, layer):
    """One of the layers of `layers` with this network's settings."""
    return functools.partial(
      layer, gradient=self.spectral_gradient, initializer=self.initializer
    )

  def conv(self):
    """Makes spectrally normalised convolutions: call with the features."""
    return self.normalized(layers.SNConv)

  def conv_up(self):
    """The same, doubling the resolution before it convolves."""
    up = functools.partial(resample.upsample_conv, form=self.resample)
    return functools.partial(self.conv(), convolve=up)

  def conv_down(self):
    """The same, halving the resolution after it has convolved."""
    down = functools.partial(resample.conv_downsample, form=self.resample)
    return functools.partial(self.conv(), convolve=down)

  def fold(self, stage):
    """Pixels in a cell of the map of a stage, see `folding`."""
    if stage.resolution in (*self.attention, *self.residual):
      return 1
    return folding.choose(stage.channels, self.resample)

  def through(self, block, stage, *args, **kwargs):
    """Returns block(*args, **kwargs), rematerialised if `remat` says so.

    Args:
      block: a module.
      stage: the `Stage` of its output.
      *args: arrays.
      **kwargs: other arguments.
    """

    def call(block, *args):
      return block(*args, **kwargs)

    if stage.resolution in self.remat:
      call = nn.remat(call, policy=_KEPT)
    return call(block, *args)

  def long_range(self, x, stage):
    """Applies the blocks, if any, that follow x, the map of a stage."""
    if not stage.resampled:
      return x
    size = stage.resolution
    if size in self.attention:
      x = attention.SelfAttention(
        conv=self.conv(),
        formula=self.attention_formula,
        name=f'attention_{size}',
      )(x)
    if size in self.residual:
      x = attention.ResidualControl(conv=self.conv(), name=f'residual_{size}')(
        x
      )
    return x

  @nn.nowrap
  def long_range_macs(self, stage):
    """Multiply-adds of what `long_range` adds to a stage, per image."""
    total = 0
    if stage.resampled and stage.resolution in self.attention:
      total += macs.attention(stage, self.attention_formula)
    if stage.resampled and stage.resolution in self.residual:
      total += macs.residual(stage)
    return total
