"""Images from a generator: batches that do not depend on how they are cut.

Image i is made from `fold_in(key, i)`, so that a set of images is the same for
any batch size and any mesh.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np


class Sampler:
  """Two compiled programs around a generator, for batches of one size.

  Args:
    gan: a `Gan`.
    batch_size: images per call; a multiple of the devices of its mesh.
  """

  def __init__(self, gan, batch_size):
    self.batch_size = batch_size
    self._gan = gan
    # With decay zero the running moments become those of the one batch.
    moments_of = gan.generator.clone(bn_decay=0.0, bn_group_size=None)
    split = functools.partial(_constrain, gan.batch_sharding)

    @jax.jit
    def moments(params, stats, key):
      z_key, label_key = jax.random.split(key)
      z = jax.random.normal(z_key, (batch_size, gan.latent_dim))
      label = jax.random.randint(label_key, (batch_size,), 0, gan.num_classes)
      _, new = moments_of.apply(
        {'params': params, **stats},
        *split((z, label)),
        train=True,
        mutable=['batch_stats'],
      )
      return new['batch_stats']

    @functools.partial(jax.jit, static_argnames=('truncation', 'batch_moments'))
    def generate(params, stats, key, index, label, truncation, batch_moments):
      keys = jax.vmap(jax.random.fold_in, (None, 0))(key, index)
      z = jax.vmap(lambda k: _latent(k, gan.latent_dim, truncation))(keys)
      images = gan.generator.apply(
        {'params': params, **stats}, *split((z, label)), train=batch_moments
      )
      return to_uint8(images), jnp.isfinite(images).all()

    self._moments = moments
    self._generate = generate

  def standing_stats(self, params, stats, key, num_batches):
    """Statistics with batch-norm moments recomputed for these parameters.

    The moments of `num_batches` batches of uniform labels are pooled: their
    mean, and their mean variance plus the variance of the means.

    Args:
      params: of the generator, raw or averaged.
      stats: its collections; `spectral` is used, `batch_stats` is replaced.
      key: of the latents.
      num_batches: how many.

    Returns:
      `stats` with new `batch_stats`.
    """
    batches = [
      self._moments(params, stats, jax.random.fold_in(key, i))
      for i in range(num_batches)
    ]
    batches = jax.tree.map(lambda *x: jnp.stack(x), *batches)
    return {**stats, 'batch_stats': _pool(batches)}

  def batches(
    self,
    params,
    stats,
    key,
    labels,
    *,
    start=0,
    stop=None,
    truncation=None,
    batch_moments=False,
    finite=None,
  ):
    """Makes image i of label i for start <= i < stop, in batches on the device.

    Args:
      params: of the generator.
      stats: its collections.
      key: of the set of images.
      labels: int [n], of all images of the set; any n >= 1.
      start: first image to make.
      stop: where to end; None for n.
      truncation: latents are drawn from the normal distribution cut at this
        many deviations (arXiv:1809.11096, section 3.1); None cuts nowhere.
      batch_moments: normalise by the moments of each batch in place of those
        in `stats`; then images do depend on the batch size.
      finite: list that gets for each batch a bool on the device, whether all
        its images are finite, which uint8 does not tell; None for no such.

    Yields:
      (uint8 [batch_size, H, W, 3], labels int32 [m]), m images of which count.
    """
    labels = np.asarray(labels, np.int32)
    stop = len(labels) if stop is None else stop
    for first in range(start, stop, self.batch_size):
      part = labels[first : min(first + self.batch_size, stop)]
      index = first + np.arange(self.batch_size, dtype=np.uint32)
      # Past the end the labels begin anew, as those of a longer set might.
      label = labels[index % len(labels)]
      images, all_finite = self._generate(
        params, stats, key, index, label, truncation, batch_moments
      )
      if finite is not None:
        finite.append(all_finite)
      yield images, part

  def generate(self, params, stats, key, labels, **kwargs):
    """Makes the images of `batches` as one uint8 NumPy array [n, H, W, 3]."""
    return np.concatenate(
      [
        np.asarray(images)[: len(part)]
        for images, part in self.batches(params, stats, key, labels, **kwargs)
      ]
    )


def to_uint8(images):
  """[-1, 1] to 0..255, truncated as in sngan_projection evaluation.py."""
  return jnp.clip(images * 127.5 + 127.5, 0, 255).astype(jnp.uint8)


def _latent(key, dim, truncation):
  if truncation is None:
    return jax.random.normal(key, (dim,))
  return jax.random.truncated_normal(key, -truncation, truncation, (dim,))


def _pool(batches):
  """Pools moments stacked along axis 0, layer by layer."""
  if 'mean' in batches:
    mean, var = batches['mean'], batches['var']
    return {'mean': mean.mean(0), 'var': var.mean(0) + mean.var(0)}
  return {name: _pool(layer) for name, layer in batches.items()}


def _constrain(sharding, arrays):
  if sharding is None:
    return arrays
  return jax.lax.with_sharding_constraint(arrays, sharding)
