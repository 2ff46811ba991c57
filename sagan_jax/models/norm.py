"""Batch normalisation over groups of images, plain or with class tables."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import ad_checkpoint

from sagan_jax import errors
from sagan_jax.cluster import sharding

# The name of what devices exchange, for the policies of `jax.checkpoint`.
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
  """

  num_classes: int | None = None
  group_size: int | None = None
  decay: float = 0.999
  eps: float = 1e-5

  @nn.compact
  def __call__(self, x, label=None, *, train):
    """Normalises.

    Args:
      x: [B, H, W, C].
      label: int32 [B], whose rows of the tables are taken; or float32
        [B, num_classes], shares of the classes, by which all rows are blended;
        None without tables.
      train: normalise by the moments of x; otherwise by running ones.

    Returns:
      [B, H, W, C] in x's dtype.
    """
    features = x.shape[-1]
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

    if train:
      mean, var = self._moments(x)  # [G, C]
      if self.is_mutable_collection('batch_stats'):
        keep = self.decay
        for running, new in (running_mean, mean), (running_var, var):
          running.value = keep * running.value + (1 - keep) * new.mean(0)
      images = x.shape[0] // mean.shape[0]
      mean = jnp.repeat(mean, images, 0)
      var = jnp.repeat(var, images, 0)
    else:
      mean, var = running_mean.value[None], running_var.value[None]

    # One multiply and one add per pixel; the factors are [1, C] or [B, C].
    scale = gamma * jax.lax.rsqrt(var + self.eps)
    shift = beta - mean * scale
    scale, shift = scale[:, None, None], shift[:, None, None]
    return (x.astype(jnp.float32) * scale + shift).astype(x.dtype)

  def _moments(self, x):
    """Mean and biased variance of every group, float32 [G, C] each."""
    images = x.shape[0] * sharding.num_shares()
    size = self.group_size or images
    if images % size:
      raise errors.UserError(
        f'a batch of {images} images does not split into groups of {size}; '
        'set --config.generator.bn_group_size, or --config.eval.batch_size if '
        'an evaluation asks for the moments of its batches'
      )
    here = min(size, x.shape[0])

    def over_group(x):
      devices = size // here
      total = sharding.sum_over_neighbors(x, devices)
      return ad_checkpoint.checkpoint_name(total / devices, EXCHANGED)

    x = x.astype(jnp.float32).reshape(-1, here, *x.shape[1:])
    mean = over_group(x.mean((1, 2, 3), keepdims=True))
    # Not E[x^2] - E[x]^2: with a mean of 100 deviations that is 6 % off.
    var = over_group(jnp.square(x - mean).mean((1, 2, 3)))
    return mean[:, 0, 0, 0], var


def _rows(table, label):
  """The rows [B, C] of a table [K, C] by labels [B], or by shares [B, K]."""
  if jnp.issubdtype(label.dtype, jnp.floating):
    return jnp.matmul(label, table, precision=jax.lax.Precision.HIGHEST)
  return table[label]
