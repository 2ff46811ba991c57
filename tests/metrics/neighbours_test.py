"""Nearest neighbours against all distances."""

import numpy as np
import pytest

from sagan_jax.metrics import neighbours


@pytest.mark.parametrize('k', [1, 4])
@pytest.mark.parametrize('tile', [3, 100])
def test_neighbours_are_the_nearest_points(monkeypatch, tile, k):
  monkeypatch.setattr(neighbours, 'TILE_ROWS', tile)
  monkeypatch.setattr(neighbours, 'TILE_COLUMNS', tile)
  rng = np.random.default_rng(0)
  points = rng.standard_normal((20, 6)).astype(np.float32)
  queries = rng.standard_normal((7, 6)).astype(np.float32)
  queries[2] = points[11]  # A copy.
  origin = points.mean(0, dtype=np.float64)
  index, squared = neighbours.nearest(
    neighbours.Points(queries, origin), neighbours.Points(points, origin), k
  )
  difference = queries[:, None].astype(np.float64) - points
  every = np.square(difference).sum(-1)
  np.testing.assert_array_equal(index, np.argsort(every, 1)[:, :k])
  np.testing.assert_allclose(squared, np.sort(every, 1)[:, :k], rtol=1e-14)
  assert index[2, 0] == 11 and squared[2, 0] == 0
