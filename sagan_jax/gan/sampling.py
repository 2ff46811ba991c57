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
from sagan_jax.models import spectral


class Sampler:
  """Compiled programs around a generator, for batches of one size.

  Args:
    gan: a `Gan`; moments are those of batches placed by its `batch_sharding`,
      over all processes.
    batch_size: images per batch.
    share: images that this process makes at a time, a multiple of its devices;
      None for a whole batch.
    share_sharding: how they are placed on the devices of this process; None
      for `batch_sharding`.
  """

  def __init__(self, gan, batch_size, share=None, share_sharding=None):
    self.batch_size = batch_size
    self._share = batch_size if share is None else share
    self._gan = gan
    # With decay zero the running moments become those of the one batch.
    moments_of = gan.generator.clone(bn_decay=0.0, bn_group_size=None)
    self._split_share = functools.partial(
      _constrain, share_sharding or gan.batch_sharding
    )
    self._ready = gan.generator.clone(spectral_gradient=None)

    def of_share(batch, params, stats):
      _, new = moments_of.apply(
        {'params': params, **stats},
        *batch,
        train=True,
        mutable=['batch_stats'],
      )
      return new['batch_stats']

    moments_of_batch, whole = of_share, None
    if gan.batch_sharding is not None:
      mesh = gan.batch_sharding.mesh
      whole = sharding.replicated(mesh)
      # One order of sums, as in training, for any number of processes.
      if mesh.size > 1 and batch_size % mesh.size == 0:
        moments_of_batch = sharding.on_every_device(of_share, mesh)

    @functools.partial(jax.jit, out_shardings=whole)
    def moments(params, stats, key):
      z_key, label_key = jax.random.split(key)
      z = jax.random.normal(z_key, (batch_size, gan.latent_dim))
      label = jax.random.randint(label_key, (batch_size,), 0, gan.num_classes)
      # The compiler pads what does not divide, and lets no padding count.
      batch = _constrain(gan.batch_sharding, (z, label))
      return moments_of_batch(batch, params, stats)

    self._moments = moments
    self._images = jax.jit(
      self.images, static_argnames=('truncation', 'batch_moments')
    )

  @functools.cached_property
  def normalized(self):
    """Compiled: (params, stats) to what `images` takes as `variables`.

    The weights are normalised once for all batches that are made of them.
    """

    def normalize(params, stats):
      return {
        'params': spectral.normalize_all(params, stats['spectral']),
        'batch_stats': stats['batch_stats'],
      }

    return jax.jit(normalize)

  def images(self, variables, key, index, label, truncation, batch_moments):
    """Makes numbered images; to be called within a compiled program.

    Args:
      variables: of the generator, from `normalized`.
      key: of the set of images.
      index: uint32 [b].
      label: int32 [b].
      truncation: as in `batches`.
      batch_moments: as in `batches`.

    Returns:
      (uint8 [b, H, W, 3], bool [b], which of them are finite).
    """
    z = latents(key, index, self._gan.latent_dim, truncation)
    images = self._ready.apply(
      variables, *self._split_share((z, label)), train=batch_moments
    )
    return to_uint8(images), jnp.isfinite(images).all((1, 2, 3))

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

    Yields:
      (uint8 [b, H, W, 3], labels int32 [m]), m images of which count; b is the
      share of this process, or with `batch_moments` a whole batch.
    """
    size = self.batch_size if batch_moments else self._share
    variables = self.normalized(params, stats)
    for index, label, count in numbered(labels, start, stop, size):
      images, _ = self._images(
        variables, key, index, label, truncation, batch_moments
      )
      yield images, label[:count]

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
  return Sampler(
    dataclasses.replace(gan, batch_sharding=sharding.split_batch(mesh)),
    batch_size,
    sharding.local_share(mesh, batch_size),
    sharding.split_batch(sharding.local_mesh(mesh)),
  )


def numbered(labels, start, stop, size):
  """Cuts numbered images into batches of one size.

  Args:
    labels: int [n], of all images of a set.
    start: first image.
    stop: where to end; None for n.
    size: images per batch.

  Yields:
    (index uint32 [size], label int32 [size], how many of them count).
  """
  labels = np.asarray(labels, np.int32)
  stop = len(labels) if stop is None else stop
  for first in range(start, stop, size):
    index = first + np.arange(size, dtype=np.uint32)
    # Past the end the labels begin anew, as those of a longer set might.
    yield index, labels[index % len(labels)], min(size, stop - first)


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
