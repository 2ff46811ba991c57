"""Frechet distances: FID, sFID and intra-class FID.

  d2 = |m1 - m2|^2 + Tr(S1) + Tr(S2) - 2 Tr (S1 S2)^(1/2)

(Heusel et al., arXiv:1706.08500) with unbiased covariances, in float64. sFID
(Nash et al., arXiv:2103.03841) is the same distance on the spatial tap.

The root is never formed. From moments, Tr (S1 S2)^(1/2) is the sum of the roots
of the eigenvalues of the symmetric A^T S2 A with A A^T = S1. From features it
is the nuclear norm of X1 X2^T / sqrt((n1 - 1)(n2 - 1)) with centred rows:
exact, and cheaper, when samples are fewer than dimensions. Both agree to 1e-5
on canonical features with n < D; a float32 root is off by 0.3 there.

Limits: biased upward by about 1 / N, so only equal counts compare; assumes
nothing of the distributions but sees only two moments of them.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np

from sagan_jax.evaluation import checks, moments

_BLOCK_ROWS = 4096


def frechet_distance(real, fake):
  """Returns the squared Frechet distance of two sets of moments.

  Args:
    real: `moments.Moments`.
    fake: `moments.Moments` of the same dimensions.

  Returns:
    float >= 0 up to rounding. Symmetric in its arguments.

  Raises:
    ValueError: if the dimensions differ or a moment is not finite.

  Warns:
    FewSamplesWarning: if either count is under 10,000.
  """
  for name, side in (('real', real), ('fake', fake)):
    if not (np.isfinite(side.mean).all() and np.isfinite(side.cov).all()):
      raise ValueError(f'the {name} moments hold NaN or infinite values')
  if real.mean.shape != fake.mean.shape:
    raise ValueError(
      f'real moments have {len(real.mean)} dimensions and fake moments '
      f'{len(fake.mean)}; both must come from the same tap'
    )
  checks.warn_if_few('FID', real.count, fake.count)
  return _distance(
    real.mean - fake.mean,
    np.trace(real.cov) + np.trace(fake.cov),
    _trace_root_of_product(real, fake),
  )


def frechet_distance_from_features(real, fake):
  """Returns the squared Frechet distance of two sets of features.

  Uses the nuclear-norm form if either set has no more samples than dimensions,
  and `frechet_distance` otherwise.

  Args:
    real: float [N, D].
    fake: float [M, D].

  Returns:
    float.

  Raises:
    ValueError: if a set is not finite, has fewer than two rows, or the
      dimensions differ.

  Warns:
    FewSamplesWarning: if either set has under 10,000 rows.
  """
  real, fake = checks.check_pair(real, fake)
  checks.warn_if_few('FID', len(real), len(fake))
  return _distance_from_features(real, fake)


@dataclasses.dataclass(frozen=True)
class IntraClassFid:
  """FID of each class and their mean."""

  mean: float
  per_class: dict[int, float]  # class -> FID, in the order given
  num_real: dict[int, int]  # class -> samples
  num_fake: dict[int, int]


def intra_class_fid(classes):
  """Computes intra-class FID: the mean over classes of each class's own FID.

  The published protocol (Miyato and Koyama, arXiv:1802.05637) takes 5,000 fakes
  a class against all training images of it. Classes come one at a time, so that
  only one class's features need be in memory. No warning is given: a class of
  ImageNet has 1,300 images.

  Args:
    classes: iterable of (class, real float [N, D], fake float [M, D]); no
      class twice.

  Returns:
    IntraClassFid.

  Raises:
    ValueError: if there is no class, one comes twice, or one's features are
      unfit (then with the class).
  """
  per_class, num_real, num_fake = {}, {}, {}
  for label, real, fake in classes:
    label = int(label)
    if label in per_class:
      raise ValueError(f'class {label} was given twice')
    try:
      real, fake = checks.check_pair(real, fake)
      per_class[label] = _distance_from_features(real, fake)
    except ValueError as e:
      raise ValueError(f'class {label}: {e}') from e
    num_real[label], num_fake[label] = len(real), len(fake)
  if not per_class:
    raise ValueError('intra-class FID needs at least one class')
  mean = float(np.mean(list(per_class.values())))
  return IntraClassFid(mean, per_class, num_real, num_fake)


def split_by_class(real, real_labels, fake, fake_labels) -> Iterable:
  """Yields what `intra_class_fid` takes, from features with labels.

  Args:
    real: float [N, D].
    real_labels: int [N].
    fake: float [M, D].
    fake_labels: int [M].

  Yields:
    (class, real rows, fake rows) in the order of the classes of `fake`.

  Raises:
    ValueError: if labels and features differ in length.
  """
  for name, features, labels in (
    ('real', real, real_labels),
    ('fake', fake, fake_labels),
  ):
    if len(features) != len(labels):
      raise ValueError(f'{len(features)} {name} features, {len(labels)} labels')
  real_labels, fake_labels = np.asarray(real_labels), np.asarray(fake_labels)
  for label in np.unique(fake_labels):
    yield int(label), real[real_labels == label], fake[fake_labels == label]


def _distance(mean_difference, trace_sum, trace_root):
  return float(mean_difference @ mean_difference + trace_sum - 2 * trace_root)


def _distance_from_features(real, fake):
  """Chooses the form; the features have been checked."""
  for name, features in (('real', real), ('fake', fake)):
    if len(features) < 2:
      raise ValueError(
        f'a covariance needs at least 2 samples, not {len(features)} {name}'
      )
  if min(len(real), len(fake)) > real.shape[1]:
    a, b = moments.from_features(real), moments.from_features(fake)
    return _distance(
      a.mean - b.mean,
      np.trace(a.cov) + np.trace(b.cov),
      _trace_root_of_product(a, b),
    )
  real_mean, real_rows = _centred_rows(real)
  fake_mean, fake_rows = _centred_rows(fake)
  return _distance(
    real_mean - fake_mean,
    np.sum(real_rows**2) + np.sum(fake_rows**2),
    np.linalg.svd(real_rows @ fake_rows.T, compute_uv=False).sum(),
  )


def _centred_rows(features):
  """Returns (mean, R) with R^T R the covariance and at most D rows in R."""
  mean = features.mean(axis=0, dtype=np.float64)
  rows = np.empty((0, features.shape[1]))
  for start in range(0, len(features), _BLOCK_ROWS):
    block = features[start : start + _BLOCK_ROWS].astype(np.float64) - mean
    rows = np.concatenate([rows, block])
    if len(rows) > features.shape[1]:  # R^T R is all that is needed of them.
      rows = np.linalg.qr(rows, mode='r')
  return mean, rows / np.sqrt(len(features) - 1)


def _trace_root_of_product(a, b):
  """Returns Tr (A B)^(1/2) of two covariances."""
  if b.count < a.count:  # The factor of lower rank makes the smaller problem.
    a, b = b, a
  values, vectors = np.linalg.eigh(a.cov)  # ascending
  # n samples span n - 1 directions; the rest of the spectrum is rounding, whose
  # roots would add up.
  rank = min(len(values), a.count - 1)
  values, vectors = values[-rank:], vectors[:, -rank:]
  factor = vectors * np.sqrt(np.clip(values, 0.0, None))
  products = np.linalg.eigvalsh(factor.T @ b.cov @ factor)
  return np.sqrt(np.clip(products, 0.0, None)).sum()
