"""Spectrally normalised convolution, dense and embedding layers.

Each layer keeps its raw weight in `params` and, in the collection `spectral`,
the vector `u` of its power iteration and the last `sigma` stored with it.
Every call normalises with one fresh iteration from the stored `u`; the result
is stored only where the caller makes `spectral` mutable. However often a
network is called between two such calls, it sees the same weights. Where
`spectral` holds no `u`, its `sigma` is taken as it is: see `spectral.iterate`.

Weights and their normalisation are float32; only the normalised weight is
cast to the dtype of the layer's input.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from sagan_jax.models import convolution, spectral

INITIALIZERS = {
  'glorot_uniform': nn.initializers.glorot_uniform(),
  'orthogonal': nn.initializers.orthogonal(),
  'normal': nn.initializers.normal(0.02),  # As DCGAN and BigGAN.
}


def _normalized(layer, weight, gradient):
  """Returns weight / sigma and stores u, sigma if `spectral` is mutable."""
  if gradient is None:
    return weight
  has = functools.partial(layer.has_variable, 'spectral')
  if has('sigma') and not has('u'):
    return spectral.divide(weight, layer.get_variable('spectral', 'sigma'))
  u = layer.variable(
    'spectral',
    'u',
    # self-attention-gan ops.py: truncated normal, cut at two deviations.
    lambda: jax.random.truncated_normal(
      layer.make_rng('params'), -2.0, 2.0, weight.shape[-1:], jnp.float32
    ),
  )
  last_sigma = layer.variable('spectral', 'sigma', jnp.ones, (), jnp.float32)
  weight, new_u, sigma = spectral.normalize(weight, u.value, gradient=gradient)
  if layer.is_mutable_collection('spectral') and not layer.is_initializing():
    u.value = new_u
    last_sigma.value = jax.lax.stop_gradient(sigma)
  return weight


@jax.named_scope('bias')
def add(x, y):
  """Adds float32 values to activations, [B, ..., C], in the dtype of x.

  The sum is float32 and so is its gradient with respect to y, a sum over the
  whole batch and map that bfloat16 would get wrong.
  """
  return (x.astype(jnp.float32) + y).astype(x.dtype)


class SNConv(nn.Module):
  """Spectrally normalised convolution, [B, H, W, I] -> [B, H', W', O].

  Attributes:
    features: O.
    kernel_size: k, odd.
    use_bias: whether a bias [O] is added after the normalised convolution.
    gradient: of sigma, see `spectral.sigma`; None takes the weight as it is,
      normalised already by `spectral.normalize_all`.
    initializer: of the kernel, a key of `INITIALIZERS`.
    convolve: what to do with (x, kernel): plain, or with a resampling.
    folds: of x and of the result, see `folding.conv`.
  """

  features: int
  kernel_size: int = 3
  use_bias: bool = True
  gradient: str = 'constant'
  initializer: str = 'glorot_uniform'
  convolve: Callable[[jax.Array, jax.Array], jax.Array] = convolution.conv
  folds: tuple[int, int] = (1, 1)

  @nn.compact
  def __call__(self, x):
    inputs = x.shape[-1] // self.folds[0]
    shape = (self.kernel_size, self.kernel_size, inputs, self.features)
    kernel = self.param('kernel', INITIALIZERS[self.initializer], shape)
    convolve = self.convolve
    if self.folds != (1, 1):
      convolve = functools.partial(convolve, folds=self.folds)
    x = convolve(x, _normalized(self, kernel, self.gradient))
    if self.use_bias:
      bias = self.param('bias', nn.initializers.zeros, (self.features,))
      x = add(x, jnp.tile(bias, self.folds[1])[None, None, None])
    return x


class SNDense(nn.Module):
  """Spectrally normalised affine map, [B, I] -> [B, O]."""

  features: int
  gradient: str = 'constant'
  initializer: str = 'glorot_uniform'

  @nn.compact
  def __call__(self, x):
    kernel = self.param(
      'kernel',
      INITIALIZERS[self.initializer],
      (x.shape[-1], self.features),
    )
    kernel = _normalized(self, kernel, self.gradient)
    bias = self.param('bias', nn.initializers.zeros, (self.features,))
    return add(x @ kernel.astype(x.dtype), bias[None])


class SNEmbed(nn.Module):
  """Spectrally normalised class table, int32 [B] -> float32 [B, features].

  The table [num_classes, features] counts as a map from features to classes,
  so `u` has one entry per class (self-attention-gan ops.py:sn_embedding).
  """

  num_classes: int
  features: int
  gradient: str = 'constant'
  initializer: str = 'glorot_uniform'

  @nn.compact
  def __call__(self, label):
    table = self.param(
      'embedding',
      INITIALIZERS[self.initializer],
      (self.num_classes, self.features),
    )
    return _normalized(self, table.T, self.gradient).T[label]
