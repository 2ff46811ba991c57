"""What the attention blocks of a network look at: their maps, as arrays.

A map has a row per query, which is a pixel of the block's input, [H, W]. The
row is over the keys, a grid [h, w] over the same image: by the formula 'code'
they are pooled 2x2, so that h = H/2, by 'paper' h = H.
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sagan_jax.gan import state as state_lib

_BATCH_BYTES = 64 << 20  # Of the largest map of a batch.
_LARGEST_BATCH = 32  # Images.


@dataclasses.dataclass(frozen=True)
class Maps:
  """The attention of one block on some images."""

  rows: np.ndarray  # float32 [n, H, W, h, w]; rows[i, y, x] sums to one.
  # float32 [n]: ||gate * o|| / ||x||, what the block adds against its input.
  share: np.ndarray
  gate: float  # The scalar that the block's output is multiplied with.


@dataclasses.dataclass(frozen=True)
class View:
  """Images, and what a network attends to in them."""

  network: str  # 'generator' or 'discriminator'.
  # Where the images are from: 'ema' or 'raw', the weights of the generator that
  # made them, or 'real'.
  source: str
  images: np.ndarray  # uint8 [n, S, S, 3]
  labels: np.ndarray  # int32 [n]
  blocks: dict[str, Maps]


class Observer:
  """Compiled programs around both networks of a GAN, which keep the maps.

  All work is done on one device. Numbers do not depend on how many images are
  asked for.

  Args:
    gan: a `Gan`.
    batch_size: images at a time; None for what fits.

  Attributes:
    batch_size: images at a time.
  """

  def __init__(self, gan: state_lib.Gan, batch_size: int | None = None):
    self._gan = gan
    self.batch_size = batch_size or _batch_size(gan)
    self._device = jax.local_devices()[0]

    @jax.jit
    def generate(variables, key, index, label):
      keys = jax.vmap(jax.random.fold_in, (None, 0))(key, index)
      z = jax.vmap(lambda k: jax.random.normal(k, (gan.latent_dim,)))(keys)
      images, sown = gan.generator.apply(
        variables, z, label, train=False, mutable=['intermediates']
      )
      return images, _blocks(sown)

    @jax.jit
    def discriminate(variables, images, label):
      _, sown = gan.discriminator.apply(
        variables, images, label, mutable=['intermediates']
      )
      return _blocks(sown)

    self._generate = generate
    self._discriminate = discriminate

  def generator(
    self, params, stats, key: jax.Array, labels: np.ndarray
  ) -> Iterator[tuple[np.ndarray, dict[str, Maps]]]:
    """Makes images, as `sampling.Sampler` does, and keeps the maps.

    Args:
      params: of the generator.
      stats: its collections.
      key: of the images: latent i comes from `fold_in(key, i)`.
      labels: int32 [n].

    Yields:
      (float32 [b, S, S, 3] in (-1, 1), {name of a block: its maps}) of the
      images in their order.
    """
    variables = jax.device_put({'params': params, **stats}, self._device)
    key = jax.device_put(key, self._device)
    for index in self._indices(len(labels)):
      count = min(len(index), len(labels) - index[0])
      label = np.asarray(labels, np.int32)[index % len(labels)]
      images, found = self._generate(
        variables, key, index.astype(np.uint32), label
      )
      yield np.asarray(images)[:count], _maps(variables, found, count)

  def discriminator(
    self, variables, images: np.ndarray, labels: np.ndarray
  ) -> Iterator[dict[str, Maps]]:
    """Shows images to the discriminator and keeps the maps.

    Args:
      variables: of the discriminator.
      images: float32 [n, S, S, 3] in [-1, 1], or uint8.
      labels: int32 [n].

    Yields:
      {name of a block: its maps} of the next images, in their order.
    """
    variables = jax.device_put(variables, self._device)
    if images.dtype == np.uint8:
      images = images.astype(np.float32) / np.float32(127.5) - 1
    for index in self._indices(len(labels)):
      count = min(len(index), len(labels) - index[0])
      index %= len(labels)
      found = self._discriminate(
        variables, images[index], np.asarray(labels, np.int32)[index]
      )
      yield _maps(variables, found, count)

  def _indices(self, count):
    """Numbers of images, batch by batch; those past the end fill the last."""
    for first in range(0, count, self.batch_size):
      yield first + np.arange(self.batch_size)


def blocks(network: nn.Module) -> dict[str, tuple[int, int]]:
  """The attention blocks of a network: {name: (H of queries, h of keys)}."""
  pooled = 2 if network.attention_formula == 'code' else 1
  return {
    f'attention_{size}': (size, size // pooled)
    for size in sorted(network.attention)
  }


def join_views(parts: Iterable[View]) -> View:
  """Puts views of one network and source together."""
  parts = list(parts)
  return dataclasses.replace(
    parts[0],
    images=np.concatenate([part.images for part in parts]),
    labels=np.concatenate([part.labels for part in parts]),
    blocks=join([part.blocks for part in parts]),
  )


def join(parts: Iterable[dict[str, Maps]]) -> dict[str, Maps]:
  """Puts the maps of consecutive images together."""
  parts = list(parts)
  return {
    name: Maps(
      rows=np.concatenate([part[name].rows for part in parts]),
      share=np.concatenate([part[name].share for part in parts]),
      gate=parts[0][name].gate,
    )
    for name in parts[0]
  }


def _batch_size(gan):
  sizes = [
    (queries * keys) ** 2 * 4
    for network in (gan.generator, gan.discriminator)
    for queries, keys in blocks(network).values()
  ]
  return max(1, min(_LARGEST_BATCH, _BATCH_BYTES // max(sizes, default=1)))


def _blocks(sown):
  """{name: (map [b, N, K], share [b])} of what a network has sown."""

  def norm(x):
    return jnp.sqrt(jnp.square(x.astype(jnp.float32)).sum((1, 2, 3)))

  found = {}
  for name, block in sown.get('intermediates', {}).items():
    if 'attention_map' in block:
      (rows,), (x,), (update,) = (
        block[key] for key in ('attention_map', 'input', 'update')
      )
      found[name] = rows, norm(update) / norm(x)
  return found


def _maps(variables, found, count):
  maps = {}
  # As `blocks` orders them; jit has sorted the names as text.
  ordered = sorted(found.items(), key=lambda item: item[1][0].shape[1])
  for name, (rows, share) in ordered:
    rows = np.asarray(rows)[:count]
    height, keys = (math.isqrt(size) for size in rows.shape[1:])
    maps[name] = Maps(
      rows=rows.reshape(count, height, height, keys, keys),
      share=np.asarray(share)[:count],
      gate=float(variables['params'][name]['gate']),
    )
  return maps
