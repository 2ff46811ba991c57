"""Images for people: the same bytes for any number of images and devices.

A program rounds differently from another one for batches of another size, or
cut along a mesh; the last bit of a float may then tip a level of a uint8. Here
every image goes through one program on one device, for `CHUNK` images, and
devices only share the chunks out. The number of threads of a CPU changes no bit
either (1, 2 and 8 compared, on the network for ImageNet).

`sampling.Sampler` is for scores: it shards batches of any size.
"""

import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from sagan_jax.cluster import sharding
from sagan_jax.gan import sampling

CHUNK = 16  # Images that a device makes at a time.
MOMENTS_CHUNK = 64  # Images that moments are of, as on a GPU of the original.
_LATENTS = 256  # Drawn at a time.


class ChunkSampler:
  """Compiled programs around a generator, of one fixed size each.

  Args:
    gan: a `Gan`.
    mesh: the devices of this process.
  """

  def __init__(self, gan, mesh: jax.sharding.Mesh):
    self._gan = gan
    self._mesh = mesh
    self._split = sharding.split_batch(mesh)
    # With decay zero the running moments become those of the one chunk.
    moments_of = gan.generator.clone(bn_decay=0.0, bn_group_size=None)

    def moments(params, stats, z, label):
      _, new = moments_of.apply(
        {'params': params, **stats},
        z,
        label,
        train=True,
        mutable=['batch_stats'],
      )
      return jax.tree.map(lambda x: x[None], new['batch_stats'])

    def generate(batch_moments, params, stats, z, label):
      images = gan.generator.apply(
        {'params': params, **stats}, z, label, train=batch_moments
      )
      return sampling.to_uint8(images), jnp.isfinite(images).all()[None]

    self._moments = self._per_device(moments)
    self._generate = {
      batch_moments: self._per_device(
        functools.partial(generate, batch_moments)
      )
      for batch_moments in (False, True)
    }
    self._draw = jax.jit(
      lambda key, index, truncation: sampling.latents(
        key, index, gan.latent_dim, truncation
      ),
      static_argnames='truncation',
    )

  def latents(
    self,
    key: jax.Array,
    index: np.ndarray,
    truncation: float | None = None,
  ) -> np.ndarray:
    """Draws the latents of numbered images.

    Args:
      key: of the set of images.
      index: integers [n] in [0, 2**32), n >= 1.
      truncation: they are drawn from the normal distribution cut at this many
        deviations (arXiv:1809.11096, section 3.1); None cuts nowhere.

    Returns:
      float32 [n, latent_dim]; a row depends on the key and its index only.
    """
    index = np.asarray(index, np.uint32)
    parts = [
      np.asarray(self._draw(key, part, truncation))
      for part in _padded(index, _LATENTS)
    ]
    return np.concatenate(parts)[: len(index)]

  def images(
    self,
    params,
    stats,
    z: np.ndarray,
    label: np.ndarray,
    *,
    batch_moments: bool = False,
  ) -> Iterator[tuple[np.ndarray, bool]]:
    """Makes images of latents and labels.

    Args:
      params: of the generator; replicated on the mesh.
      stats: its collections.
      z: float32 [n, latent_dim], n >= 1.
      label: int32 [n], or float32 [n, num_classes] of shares of the classes.
      batch_moments: normalise by the moments of consecutive images, in place of
        those in `stats`: of `bn_group_size` of them, or `MOMENTS_CHUNK` where
        that is None.

    Yields:
      (uint8 [m, H, W, 3], whether they are all finite, which uint8 does not
      tell), n images in all.
    """
    chunk = CHUNK
    if batch_moments:
      chunk = self._gan.generator.bn_group_size or MOMENTS_CHUNK
    size = chunk * self._mesh.size
    program = self._generate[batch_moments]
    ahead = None
    left = len(z)
    for part in zip(_padded(z, size), _padded(label, size), strict=True):
      made = program(params, stats, *jax.device_put(part, self._split))
      if ahead:
        yield _on_host(ahead, size)
        left -= size
      ahead = made
    if ahead:
      yield _on_host(ahead, left)

  def standing_stats(self, params, stats, key: jax.Array, num_chunks: int):
    """Statistics with batch-norm moments recomputed for these parameters.

    The moments of chunks of `MOMENTS_CHUNK` images of uniform labels are
    pooled, in float64: their mean, and their mean variance plus the variance of
    the means.

    Args:
      params: of the generator, raw or averaged; replicated on the mesh.
      stats: its collections; `spectral` is used, `batch_stats` is replaced.
      key: of the latents.
      num_chunks: how many.

    Returns:
      `stats` with new `batch_stats`, replicated on the mesh.
    """
    z_key, label_key = jax.random.split(key)
    count = num_chunks * MOMENTS_CHUNK
    z = self.latents(z_key, np.arange(count))
    label = np.asarray(
      jax.random.randint(label_key, (count,), 0, self._gan.num_classes)
    )
    size = MOMENTS_CHUNK * self._mesh.size
    parts = [
      jax.device_get(
        self._moments(params, stats, *jax.device_put(part, self._split))
      )
      for part in zip(_padded(z, size), _padded(label, size), strict=True)
    ]
    chunks = jax.tree.map(
      lambda *x: np.concatenate(x)[:num_chunks].astype(np.float64), *parts
    )
    pooled = jax.tree.map(np.float32, sampling.pool(chunks))
    return {
      **stats,
      'batch_stats': jax.device_put(pooled, sharding.replicated(self._mesh)),
    }

  def _per_device(self, function: Callable) -> Callable:
    """Compiles a function of (params, stats, z, label) for chunks."""
    is_split = (False, False, True, True)
    return jax.jit(sharding.on_each_alone(function, self._mesh, is_split))


def _padded(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
  """Yields parts of `size` rows; the last is filled up from the front."""
  for start in range(0, len(rows), size):
    yield rows[np.arange(start, start + size) % len(rows)]


def _on_host(made, count: int) -> tuple[np.ndarray, bool]:
  images, finite = made
  return np.asarray(images)[:count], bool(np.asarray(finite).all())
