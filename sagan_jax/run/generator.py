"""A trained generator of a run, to make images with."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from sagan_jax import errors
from sagan_jax.cluster import sharding
from sagan_jax.gan import chunks

WEIGHTS = ('ema', 'raw')
STATISTICS = ('standing', 'running', 'batch')


def check(weights: str, statistics: str) -> None:
  """Raises `UserError` unless there are such weights and statistics."""
  for name, value, known in (
    ('weights', weights, WEIGHTS),
    ('statistics', statistics, STATISTICS),
  ):
    if value not in known:
      raise errors.UserError(
        f'{name}={value!r} must be one of {", ".join(known)}'
      )


def check_seed(seed: int) -> None:
  """Raises `UserError` unless a seed is one of latents."""
  if not isinstance(seed, int) or not 0 <= seed < 2**31:
    raise errors.UserError(f'seed={seed!r} must be an integer in [0, 2**31)')


@dataclasses.dataclass(frozen=True)
class Generator:
  """A generator of one checkpoint: `Run.generator` makes it.

  An image depends on its latent and label only, to the byte: not on the other
  images, how many are made at once, or the number of devices. With the
  statistics 'batch' it depends on its neighbours too.
  """

  step: int  # of the checkpoint
  weights: str  # one of WEIGHTS
  statistics: str  # of the batch norms, one of STATISTICS
  image_size: int  # H = W of the images, pixels
  num_classes: int
  sampler: chunks.ChunkSampler
  variables: tuple[Any, Any]  # (params, stats), on the devices of this process

  def latents(
    self,
    index: Sequence[int] | np.ndarray,
    *,
    seed: int = 0,
    truncation: float | None = None,
  ) -> np.ndarray:
    """Draws latents.

    Args:
      index: numbers of the images, each in [0, 2**32).
      seed: of the set of images, in [0, 2**31).
      truncation: deviations at which their normal distribution is cut, > 0;
        None cuts nowhere.

    Returns:
      float32 [n, latent_dim]; each depends on the seed and its number only.

    Raises:
      UserError: if a number, the seed or the truncation cannot be.
    """
    check_seed(seed)
    if truncation is not None and not 0 < truncation < float('inf'):
      raise errors.UserError(
        f'truncation={truncation!r} must be a number of deviations above 0; '
        'leave it out to cut nowhere'
      )
    if not len(index) or not all(0 <= i < 2**32 for i in index):
      raise errors.UserError('images are numbered from 0 to 2**32 - 1')
    if truncation is not None:
      truncation = float(truncation)
    index = np.asarray(index, np.uint32)
    return self.sampler.latents(jax.random.key(seed), index, truncation)

  def sample(
    self,
    labels: np.ndarray,
    *,
    seed: int = 0,
    truncation: float | None = None,
    index: Sequence[int] | np.ndarray | None = None,
  ) -> np.ndarray:
    """Makes images of fresh latents.

    Args:
      labels: as in `images`.
      seed: as in `latents`.
      truncation: as in `latents`.
      index: as in `latents`; None for 0, 1, ...

    Returns:
      uint8 [n, H, W, 3].

    Raises:
      UserError: as `latents` and `images`, or if there are not as many labels.
    """
    index = range(len(labels)) if index is None else index
    if len(index) != len(labels):
      raise errors.UserError(
        f'{len(labels)} labels need as many numbers in index, not {len(index)}'
      )
    z = self.latents(index, seed=seed, truncation=truncation)
    return np.concatenate([*self.images(z, labels)])

  def images(self, z: np.ndarray, labels: np.ndarray) -> Iterator[np.ndarray]:
    """Makes the images of latents and labels, some at a time.

    Args:
      z: float32 [n, latent_dim], n >= 1.
      labels: int32 [n], or float32 [n, num_classes] of shares of the classes,
        by which the rows of the conditional batch norms are blended.

    Yields:
      uint8 [m, H, W, 3], n images in all.

    Raises:
      UserError: if an image is not finite.
    """
    made = self.sampler.images(
      *self.variables, z, labels, batch_moments=self.statistics == 'batch'
    )
    for images, finite in made:
      if not finite:
        raise errors.UserError(
          f'the generator of step {self.step} makes NaN or infinite images '
          f'with {self.weights} weights and {self.statistics} statistics: it '
          'has diverged; set --step to an earlier checkpoint'
        )
      yield images


def of_state(
  sampler: chunks.ChunkSampler, state, config, mesh, weights, statistics
) -> Generator:
  """Makes the `Generator` of a state.

  Args:
    sampler: of the generator network, on the devices of this process.
    state: a `GanState`, replicated on the mesh.
    config: the `Config` of its run.
    mesh: of all processes.
    weights: one of `WEIGHTS`.
    statistics: one of `STATISTICS`.
  """
  params, stats = sharding.localize(
    state.generator_variables(weights), sharding.local_mesh(mesh)
  )
  if statistics == 'standing':
    stats = sampler.standing_stats(
      params, stats, jax.random.key(0), config.eval.standing_batches
    )
  return Generator(
    int(state.step),
    weights,
    statistics,
    config.image_size,
    config.num_classes,
    sampler,
    (params, stats),
  )
