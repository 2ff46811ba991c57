"""Precision, recall, density and coverage: nearest-neighbour manifolds.

A set's manifold is the union of balls around its points, each with the distance
to the point's k-th nearest neighbour as radius.

Products round, and exact ties are real (a fake that is a copy of a training
image lies exactly on the rim of its neighbours' balls): pairs within rounding
of a radius, and the radii themselves, are computed again as the sum of squared
differences, for which equal distances are equal numbers.
"""

from typing import NamedTuple

import numpy as np

from sagan_jax.metrics import checks, neighbours


class Prdc(NamedTuple):
  """Four scores; precision and recall in [0, 1], coverage too."""

  precision: float
  recall: float
  density: float  # may exceed 1
  coverage: float
  precision_recall_k: int
  density_coverage_k: int


def prdc(real, fake, precision_recall_k=3, density_coverage_k=5):
  """Computes precision, recall, density and coverage in one pass.

  Precision: share of fakes within some real ball (`distance <= radius`);
  recall: share of reals within some fake ball (Kynkaanniemi et al.,
  arXiv:1904.06991, k = 3). Density: real balls that hold a fake, counted over
  all pairs, divided by k and the number of fakes; coverage: share of real balls
  that hold some fake, both with `distance < radius` (Naeem et al.,
  arXiv:2002.09797, k = 5).

  Limits: published precision and recall use 50,000 samples of VGG16 features;
  values move with counts and features, so compare none across either. Time is
  O((N + M)^2 D): three products, 10^13 operations each at 50,000 x 2048.

  Args:
    real: float [N, D].
    fake: float [M, D].
    precision_recall_k: neighbours for precision and recall.
    density_coverage_k: neighbours for density and coverage.

  Returns:
    Prdc.

  Raises:
    ValueError: if the features are unfit, or k is not in [1, rows - 1].

  Warns:
    FewSamplesWarning: if either set has under 10,000 rows.
  """
  real, fake = checks.check_pair(real, fake)
  largest_k = max(precision_recall_k, density_coverage_k)
  if not 1 <= largest_k < min(len(real), len(fake)) or (
    min(precision_recall_k, density_coverage_k) < 1
  ):
    raise ValueError(
      f'k of {precision_recall_k} and {density_coverage_k} neighbours do not '
      f'fit {len(real)} real and {len(fake)} fake samples; use 1 to '
      f'{min(len(real), len(fake)) - 1}'
    )
  checks.warn_if_few('precision and recall', len(real), len(fake))
  origin = real.mean(axis=0, dtype=np.float64)
  real, fake = neighbours.Points(real, origin), neighbours.Points(fake, origin)
  real_radii = _squared_radii(real, (precision_recall_k, density_coverage_k))
  (fake_radii,) = _squared_radii(fake, (precision_recall_k,))
  counts = _count_inside(real, fake, *real_radii, fake_radii)
  in_real, in_fake, balls_of_fake, fakes_of_ball = counts
  return Prdc(
    precision=float(in_real.mean()),
    recall=float(in_fake.mean()),
    density=float(balls_of_fake / (density_coverage_k * len(fake.rows))),
    coverage=float(fakes_of_ball.mean()),
    precision_recall_k=precision_recall_k,
    density_coverage_k=density_coverage_k,
  )


def _squared_radii(points, ks):
  """Returns, for each k, squared distances [N] to the k-th neighbour."""
  # The point itself is its own nearest.
  _, squared = neighbours.nearest(points, points, max(ks) + 1)
  return [squared[:, k] for k in ks]


def _count_inside(real, fake, real_pr, real_dc, fake_pr):
  """Counts which points lie in which balls.

  Args:
    real: `Points` [N].
    fake: `Points` [M].
    real_pr: squared radii [N] for precision.
    real_dc: squared radii [N] for density and coverage.
    fake_pr: squared radii [M] for recall.

  Returns:
    (bool [M], in some real ball; bool [N], in some fake ball; int, pairs of a
    fake and a real ball that holds it; bool [N], real balls that hold a fake).
  """
  in_real = np.zeros(len(fake.rows), bool)
  in_fake = np.zeros(len(real.rows), bool)
  covered = np.zeros(len(real.rows), bool)
  pairs = 0
  for start in fake.starts(neighbours.TILE_ROWS):
    a, a_norms = fake.tile(start, neighbours.TILE_ROWS)
    rows = slice(start, start + len(a))
    for column in real.starts(neighbours.TILE_COLUMNS):
      b, b_norms = real.tile(column, neighbours.TILE_COLUMNS)
      columns = slice(column, column + len(b))
      tile, error = neighbours.tile_distances(a, a_norms, b, b_norms)
      radii = (real_pr[columns], real_dc[columns], fake_pr[rows, None])
      near = np.zeros(tile.shape, bool)
      for squared_radius in radii:
        near |= (tile >= squared_radius - error) & (
          tile <= squared_radius + error
        )
      i, j = np.nonzero(near)
      tile[i, j] = neighbours.pair_distances(
        (fake.rows, i + start), (real.rows, j + column)
      )
      in_real[rows] |= (tile <= radii[0]).any(axis=1)
      inside = tile < radii[1]
      pairs += np.count_nonzero(inside)
      covered[columns] |= inside.any(axis=0)
      in_fake[columns] |= (tile <= radii[2]).any(axis=0)
  return in_real, in_fake, pairs, covered
