"""What generator and discriminator share: their settings and their layers."""

import functools

import flax.linen as nn
import jax.numpy as jnp

from sagan_jax.models import attention, layers, resample


class Network(nn.Module):
  """Settings common to both networks. Abstract: the two networks are final.

  Attributes:
    image_size: H = W of the images: 32, 64, 128 or 256.
    num_classes: rows of the class tables; 1 makes the network unconditional.
    ch: width unit; every layer has a small multiple of it.
    attention: resolutions (H of the map) that get a `SelfAttention` block.
    residual: resolutions that get a `ResidualControl` block instead.
    attention_formula: 'code' or 'paper', see `SelfAttention`.
    resample: 'reference' or 'cheap', see `models.resample`.
    spectral_gradient: 'constant' or 'full', see `spectral.sigma`.
    initializer: of kernels and the class table, see `layers.INITIALIZERS`.
    dtype: of activations and of the weights that meet them. Parameters,
      spectral and batch norms, softmax and the discriminator's head stay
      float32.
  """

  image_size: int
  num_classes: int
  ch: int = 64
  attention: tuple[int, ...] = (32,)
  residual: tuple[int, ...] = ()
  attention_formula: str = 'code'
  resample: str = 'cheap'
  spectral_gradient: str = 'constant'
  initializer: str = 'glorot_uniform'
  dtype: jnp.dtype = jnp.float32

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

  def long_range(self, x):
    """Applies the blocks, if any, that belong at x's resolution."""
    size = x.shape[1]
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
