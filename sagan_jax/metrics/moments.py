"""Streaming mean and covariance in float64, in memory of O(D^2).

Batches are centred before their outer products are summed, and combined by the
pairwise update of Chan, Golub and LeVeque (1983), so nothing cancels when the
mean is large against the spread, and the split into batches, devices or
processes moves the result in the last digits only.
"""

import dataclasses

import numpy as np

from sagan_jax.metrics import checks


@dataclasses.dataclass(frozen=True)
class Moments:
  """First two moments of a set of features."""

  count: int
  mean: np.ndarray  # float64 [D]
  cov: np.ndarray  # float64 [D, D], unbiased: divided by count - 1


class MomentsAccumulator:
  """Gathers `Moments` batch by batch.

  A batch costs one [D, D] product and a pass over the [D, D] sum: give batches
  of some hundred rows, not single ones.
  """

  def __init__(self, dims):
    self.count = 0
    self._mean = np.zeros(dims, np.float64)
    self._scatter = np.zeros((dims, dims), np.float64)

  def update(self, features, mask=None):
    """Adds a batch.

    Args:
      features: float [N, D].
      mask: bool [N], rows that count; None counts all. Padding is dropped here.

    Raises:
      ValueError: if the features are not finite [N, D], or the mask has another
        length.
    """
    features = np.asarray(features)
    if mask is not None:
      mask = np.asarray(mask, bool)
      if mask.shape != features.shape[:1]:
        raise ValueError(
          f'a mask of shape {mask.shape} does not fit features '
          f'{features.shape}; give one value a row'
        )
      if not mask.any():
        return
      features = features[mask]
    features = checks.check_features('batch', features)
    if features.shape[1] != len(self._mean):
      raise ValueError(
        f'features have {features.shape[1]} dimensions; this accumulator was '
        f'made for {len(self._mean)}'
      )
    features = features.astype(np.float64)
    mean = features.mean(axis=0)
    features -= mean
    self._combine(len(features), mean, features.T @ features)

  def merge(self, other):
    """Adds what another accumulator, of another process, has gathered."""
    if other.count:
      self._combine(other.count, other._mean, other._scatter)

  def finish(self):
    """Returns the `Moments`; more batches may follow.

    Raises:
      ValueError: if fewer than two samples were given.
    """
    if self.count < 2:
      raise ValueError(
        f'a covariance needs at least 2 samples, not {self.count}'
      )
    return Moments(
      self.count, self._mean.copy(), self._scatter / (self.count - 1)
    )

  def _combine(self, count, mean, scatter):
    total = self.count + count
    delta = mean - self._mean
    self._scatter += scatter
    self._scatter += np.outer(delta * (self.count * count / total), delta)
    self._mean += delta * (count / total)
    self.count = total


def combine(parts):
  """Returns the `Moments` of several disjoint sets together.

  Args:
    parts: iterable of `Moments` of the same dimensions, each of two samples or
      more.
  """
  whole = None
  for part in parts:
    if whole is None:
      whole = MomentsAccumulator(len(part.mean))
    whole._combine(part.count, part.mean, part.cov * (part.count - 1))
  return whole.finish()


def from_features(features, block_rows=4096):
  """Returns the `Moments` of features that are all at hand.

  Args:
    features: float [N, D].
    block_rows: rows in float64 at a time.

  Raises:
    ValueError: if the features are not finite or fewer than two.
  """
  features = checks.check_features('given', features)
  accumulator = MomentsAccumulator(features.shape[1])
  for start in range(0, len(features), block_rows):
    accumulator.update(features[start : start + block_rows])
  return accumulator.finish()
