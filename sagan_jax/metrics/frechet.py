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

from sagan_jax.metrics import checks, moments


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

  Exact and cheap where samples are few: with no more samples than dimensions
  in both sets by the nuclear norm, in one set by the eigenvalues of
  X1 S2 X1^T, and in none as `frechet_distance` does.

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
  small, large = sorted((real, fake), key=len)
  dims = real.shape[1]
  if len(small) > dims:
    a, b = moments.from_features(small), moments.from_features(large)
    small_mean, small_trace = a.mean, np.trace(a.cov)
    large_mean, large_trace = b.mean, np.trace(b.cov)
    trace_root = _trace_root_of_product(a, b)
  else:
    small_mean, small_rows = _centred_rows(small)
    small_trace = np.sum(small_rows**2)
    if len(large) > dims:
      b = moments.from_features(large)
      large_mean, large_trace = b.mean, np.trace(b.cov)
      trace_root = _trace_root(
        small_rows @ b.cov @ small_rows.T, len(small) - 1
      )
    else:
      large_mean, large_rows = _centred_rows(large)
      large_trace = np.sum(large_rows**2)
      # Its singular values are the roots themselves.
      products = small_rows @ large_rows.T
      trace_root = np.linalg.svd(products, compute_uv=False).sum()
  return _distance(
    small_mean - large_mean, small_trace + large_trace, trace_root
  )


def _centred_rows(features):
  """Returns (mean, R), both float64, with R^T R the covariance."""
  features = features.astype(np.float64)
  mean = features.mean(axis=0)
  return mean, (features - mean) / np.sqrt(len(features) - 1)


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
  return _trace_root(factor.T @ b.cov @ factor, rank)


def _trace_root(matrix, rank):
  """Returns the trace of the root of a positive matrix of known rank."""
  values = np.linalg.eigvalsh(matrix)[-rank:]
  return np.sqrt(np.clip(values, 0.0, None)).sum()
