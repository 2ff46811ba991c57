"""Nearest neighbours in feature spaces.

Squared distances come from matrix products in float64, tile by tile, so that
memory is a few tiles beside the features.
"""

import numpy as np

TILE_ROWS = 1024
TILE_COLUMNS = 4096
_PAIRS_AT_ONCE = 4096


class Points:
  """Features, read in float64 relative to an origin.

  Distances do not depend on the origin; rounding does, through the norms.
  """

  def __init__(self, rows, origin):
    self.rows = rows
    self._origin = origin

  def tile(self, start, size):
    """Returns (points, squared norms) of some rows."""
    points = self.rows[start : start + size].astype(np.float64) - self._origin
    return points, np.einsum('nd,nd->n', points, points)

  def starts(self, size):
    return range(0, len(self.rows), size)


def tile_distances(a, a_norms, b, b_norms):
  """Returns squared distances [A, B] and a bound of their error []."""
  distances = a @ b.T
  distances *= -2.0
  distances += a_norms[:, None]
  distances += b_norms
  # A dot product of D terms errs by D epsilon |a| |b| at most.
  largest = a_norms.max() + b_norms.max()
  return distances, 4 * a.shape[1] * np.finfo(np.float64).eps * largest


def pair_distances(x, y):
  """Returns squared distances of pairs, as sums of squared differences."""
  out = np.empty(len(x[1]))
  for start in range(0, len(out), _PAIRS_AT_ONCE):
    pairs = slice(start, start + _PAIRS_AT_ONCE)
    difference = x[0][x[1][pairs]].astype(np.float64)
    difference -= y[0][y[1][pairs]]
    out[pairs] = np.square(difference, out=difference).sum(axis=1)
  return out


def nearest(queries, points, k):
  """Finds the nearest points.

  Args:
    queries: `Points` [M, D].
    points: `Points` [N, D], of the same origin.
    k: neighbours of each, in [1, N].

  Returns:
    (int64 [M, k], which points; float64 [M, k], squared distances as sums of
    squared differences, ascending).
  """
  index = np.empty((len(queries.rows), k), np.int64)
  squared = np.empty(index.shape)
  for start in queries.starts(TILE_ROWS):
    a, a_norms = queries.tile(start, TILE_ROWS)
    best = np.empty((len(a), 0))
    best_index = np.empty((len(a), 0), np.int64)
    for column in points.starts(TILE_COLUMNS):
      b, b_norms = points.tile(column, TILE_COLUMNS)
      tile, _ = tile_distances(a, a_norms, b, b_norms)
      size = min(k, tile.shape[1])
      closest = np.argpartition(tile, size - 1, axis=1)[:, :size]
      tile = np.take_along_axis(tile, closest, axis=1)
      best = np.concatenate([best, tile], axis=1)
      best_index = np.concatenate([best_index, closest + column], axis=1)
      closest = np.argsort(best, axis=1)[:, :k]
      best = np.take_along_axis(best, closest, axis=1)
      best_index = np.take_along_axis(best_index, closest, axis=1)
    rows = np.repeat(np.arange(start, start + len(a)), k)
    exact = pair_distances(
      (queries.rows, rows), (points.rows, best_index.reshape(-1))
    ).reshape(len(a), k)
    order = np.argsort(exact, axis=1, kind='stable')
    place = slice(start, start + len(a))
    index[place] = np.take_along_axis(best_index, order, axis=1)
    squared[place] = np.take_along_axis(exact, order, axis=1)
  return index, squared
