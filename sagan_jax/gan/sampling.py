"""Images from a generator: batches that do not depend on how they are cut.

Image i is made from `fold_in(key, i)`, so that a set of images is the same for
any batch size and any mesh.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from sagan_jax.cluster import agree, sharding


class Sampler:
  """Two compiled programs around a generator, for batches of one size.

  Args:
    gan: a `Gan`; moments are those of batches placed by its `batch_sharding`,
      over all processes.
    batch_size: images per batch; a multiple of the devices of its mesh.
    share: images that this process makes at a time; None for a whole batch.
    share_sharding: how they are placed on the devices of this process; None
      for `batch_sharding`.
  """

  def __init__(self, gan, batch_size, share=None, share_sharding=None):
    self.batch_size = batch_size
    self._share = batch_size if share is None else share
    self._gan = gan
    # With decay zero the running moments become those of the one batch.
    moments_of = gan.generator.clone(bn_decay=0.0, bn_group_size=None)
    split = functools.partial(_constrain, gan.batch_sharding)
    split_share = functools.partial(
      _constrain, share_sharding or gan.batch_sharding
    )
    whole = None
    if gan.batch_sharding is not None:
      whole = sharding.replicated(gan.batch_sharding.mesh)

    @functools.partial(jax.jit, out_shardings=whole)
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
      z = latents(key, index, gan.latent_dim, truncation)
      images = gan.generator.apply(
        {'params': params, **stats},
        *split_share((z, label)),
        train=batch_moments,
      )
      return to_uint8(images), jnp.isfinite(images).all()

    self._moments = moments
    self._generate = generate

  def standing_stats(self, params, stats, key, num_batches):
    """Statistics with batch-norm moments recomputed for these parameters.

    The moments of `num_batches` batches of uniform labels are pooled: their
    mean, and their mean variance plus the variance of the means. All processes
    make the batches together.

    Args:
      params: of the generator, raw or averaged; on the mesh of all processes.
      stats: its collections; `spectral` is used, `batch_stats` is replaced.
      key: of the latents.
      num_batches: how many.

    Returns:
      `stats` with new `batch_stats`.

    Raises:
      Stopped: on all processes, if they were asked to stop.
    """
    agree.enter()
    batches = [
      self._moments(params, stats, jax.random.fold_in(key, i))
      for i in range(num_batches)
    ]
    batches = jax.tree.map(lambda *x: jnp.stack(x), *batches)
    return {**stats, 'batch_stats': pool(batches)}

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
      params: of the generator; on the devices of this process.
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
      (uint8 [b, H, W, 3], labels int32 [m]), m images of which count; b is the
      share of this process, or with `batch_moments` a whole batch.
    """
    size = self.batch_size if batch_moments else self._share
    labels = np.asarray(labels, np.int32)
    stop = len(labels) if stop is None else stop
    for first in range(start, stop, size):
      part = labels[first : min(first + size, stop)]
      index = first + np.arange(size, dtype=np.uint32)
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


def on_mesh(gan, mesh, batch_size):
  """A `Sampler` whose processes make their shares of each batch.

  Args:
    gan: a `Gan`.
    mesh: of all processes.
    batch_size: images per batch, over all of them.

  Returns:
    A `Sampler`.
  """
  share = sharding.local_share(mesh, batch_size)
  placed = sharding.split_or_replicate(mesh, batch_size)
  return Sampler(
    dataclasses.replace(gan, batch_sharding=placed),
    batch_size,
    share,
    sharding.split_or_replicate(sharding.local_mesh(mesh), share),
  )


def to_uint8(images):
  """[-1, 1] to 0..255, truncated as in sngan_projection evaluation.py."""
  return jnp.clip(images * 127.5 + 127.5, 0, 255).astype(jnp.uint8)


def latents(key, index, dim, truncation):
  """Draws the latents of numbered images of a set.

  Args:
    key: of the set.
    index: uint32 [n].
    dim: of a latent.
    truncation: deviations at which their distribution is cut, or None.

  Returns:
    float32 [n, dim].
  """
  keys = jax.vmap(jax.random.fold_in, (None, 0))(key, index)
  return jax.vmap(lambda k: _latent(k, dim, truncation))(keys)


def _latent(key, dim, truncation):
  if truncation is None:
    return jax.random.normal(key, (dim,))
  return jax.random.truncated_normal(key, -truncation, truncation, (dim,))


def pool(batches):
  """Pools moments {'mean', 'var'} stacked along axis 0, layer by layer."""
  if 'mean' in batches:
    mean, var = batches['mean'], batches['var']
    return {'mean': mean.mean(0), 'var': var.mean(0) + mean.var(0)}
  return {name: pool(layer) for name, layer in batches.items()}


def _constrain(placed, arrays):
  if placed is None:
    return arrays
  return jax.lax.with_sharding_constraint(arrays, placed)
