"""Batch normalisation over groups of images, plain or with class tables."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import ad_checkpoint

from sagan_jax import errors
from sagan_jax.cluster import sharding
from sagan_jax.models import moments

# The name of what devices exchange, for policies of `jax.checkpoint`.
EXCHANGED = 'moments'


class BatchNorm(nn.Module):
  """Normalises [B, H, W, C] by moments over (B, H, W) of groups of images.

  Under `jit` with the batch sharded over a mesh, and within
  `sharding.on_every_device`, the moments are those of the global batch. They
  are float32 whatever the input.

  The collection `batch_stats` holds running `mean` and `var` [C]. They move
  only when `train` is set and the collection is mutable.

  Attributes:
    num_classes: rows of the tables gamma (ones) and beta (zeros), gathered by
      label; None for one pair shared by all (self-attention-gan
      ops.py:ConditionalBatchNorm). The tables are never spectrally normalised:
      doing so is a known way to ruin the generator (BigGAN-PyTorch layers.py).
    group_size: images per group, consecutive along B; None for the whole batch.
      The released SAGAN normalises over the 64 images of one GPU.
    decay: of the running moments, per step.
    eps: added to the variance.
    fold: pixels in a cell of x, see `folding`.
  """

  num_classes: int | None = None
  group_size: int | None = None
  decay: float = 0.999
  eps: float = 1e-5
  fold: int = 1

  @nn.compact
  def __call__(self, x, label=None, *, train):
    """Normalises.

    Args:
      x: [B, H, W, C], folded.
      label: int32 [B], whose rows of the tables are taken; or float32
        [B, num_classes], shares of the classes, by which all rows are blended;
        None without tables.
      train: normalise by the moments of x; otherwise by running ones.

    Returns:
      As x.
    """
    features = x.shape[-1] // self.fold
    running_mean = self.variable('batch_stats', 'mean', jnp.zeros, (features,))
    running_var = self.variable('batch_stats', 'var', jnp.ones, (features,))
    shape = (
      (features,)
      if self.num_classes is None
      else (
        self.num_classes,
        features,
      )
    )
    gamma = self.param('gamma', nn.initializers.ones, shape)
    beta = self.param('beta', nn.initializers.zeros, shape)
    if self.num_classes is None:
      gamma, beta = gamma[None], beta[None]  # [1, C]
    else:
      gamma, beta = _rows(gamma, label), _rows(beta, label)  # [B, C]

    if not train:
      return _affine(
        x,
        running_mean.value[None],
        running_var.value[None],
        gamma,
        beta,
        self.eps,
      )
    y, mean, var = _normalize(x, gamma, beta, self._size(x), self.eps)
    if self.is_mutable_collection('batch_stats'):
      keep = self.decay
      for running, new in (running_mean, mean), (running_var, var):
        running.value = keep * running.value + (1 - keep) * new.mean(0)
    return y

  def _size(self, x):
    """Images per group."""
    images = x.shape[0] * sharding.num_shares()
    size = self.group_size or images
    if images % size:
      raise errors.UserError(
        f'a batch of {images} images does not split into groups of {size}; '
        'set --config.generator.bn_group_size, or --config.eval.batch_size if '
        'an evaluation asks for the moments of its batches'
      )
    return size


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def _normalize(x, gamma, beta, size, eps):
  """Normalises x by the moments of groups of images.

  Its gradient takes two passes over x and one sum over the images of a group;
  derived by JAX it would take a sum for the mean and one for the variance.

  Args:
    x: [B, H, W, C], or folded: C are the channels of gamma then.
    gamma: float32 [1, C] or [B, C].
    beta: as gamma.
    size: images per group.
    eps: added to the variance.

  Returns:
    (y as x, mean and biased variance of the groups,
    float32 [G, C]); the moments carry no gradient.
  """
  return _forward(x, gamma, beta, size, eps)[0]


def _forward(x, gamma, beta, size, eps):
  # The pixels of a folded map in their order of C channels are as many images.
  num = x.shape[-1] // gamma.shape[-1]
  parts = (m.reshape(-1, gamma.shape[-1]) for m in moments.of_images(x))
  sums = _sum_over_groups(moments.summands(*parts), num * size)
  mean, var = moments.of_sums(sums, num * size)
  y = _affine(
    x, *(_spread(m, x.shape[0]) for m in (mean, var)), gamma, beta, eps
  )
  return (y, mean, var), (x, gamma, mean, var)


def _backward(size, eps, residuals, cotangents):
  x, gamma, mean, var = residuals
  g = cotangents[0].astype(jnp.float32)
  rate = _spread(jax.lax.rsqrt(var + eps), x.shape[0])
  mean = _spread(mean, x.shape[0])
  centred = x.astype(jnp.float32) - _per_pixel(mean, x)
  beta_grad, gamma_grad = (
    v.sum((1, 2)).reshape(x.shape[0], -1, gamma.shape[-1]).sum(1)
    for v in (g, g * centred)
  )  # [B, C]
  gamma_grad *= rate

  pixels = size * (x[0].size // gamma.shape[-1])
  both = jnp.stack([gamma * beta_grad, gamma * gamma_grad * rate])
  both = _sum_over_groups(both, size) / pixels
  shift, slope = (_spread(m, x.shape[0]) * rate for m in both)
  x_grad = (
    g * _per_pixel(gamma * rate, x)
    - x.astype(jnp.float32) * _per_pixel(slope, x)
    + _per_pixel(mean * slope - shift, x)
  ).astype(x.dtype)
  if gamma.shape[0] == 1:
    gamma_grad, beta_grad = (
      v.sum(0, keepdims=True) for v in (gamma_grad, beta_grad)
    )
  return x_grad, gamma_grad, beta_grad


_normalize.defvjp(_forward, _backward)


def _sum_over_groups(x, size):
  """Sums over the images of each group: [n, B, C] -> [n, G, C].

  Within `sharding.on_every_device` a group may lie on several devices.
  """
  here = min(size, x.shape[1])
  sums = x.reshape(x.shape[0], -1, here, x.shape[-1]).sum(2)
  sums = sharding.sum_over_neighbors(sums, size // here)
  return ad_checkpoint.checkpoint_name(sums, EXCHANGED)


def _spread(x, num_images):
  """What groups have, for each of their images: [G, C] -> [B, C]."""
  return jnp.repeat(x, num_images // x.shape[0], 0)


def _affine(x, mean, var, gamma, beta, eps):
  """One multiply and one add per pixel; the factors are [1, C] or [B, C]."""
  scale = gamma * jax.lax.rsqrt(var + eps)
  shift = beta - mean * scale
  scale, shift = _per_pixel(scale, x), _per_pixel(shift, x)
  return (x.astype(jnp.float32) * scale + shift).astype(x.dtype)


def _per_pixel(v, x):
  """Values [1, C] or [B, C] as they meet the pixels of x, folded or not."""
  return jnp.tile(v, x.shape[-1] // v.shape[-1])[:, None, None]


def _rows(table, label):
  """The rows [B, C] of a table [K, C] by labels [B], or by shares [B, K]."""
  if jnp.issubdtype(label.dtype, jnp.floating):
    return jnp.matmul(label, table, precision=jax.lax.Precision.HIGHEST)
  return table[label]
