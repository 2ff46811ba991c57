"""What every metric asks of its features, in one place."""

import warnings

import numpy as np

# Below this FID and its kin are dominated by bias: two halves of one data set
# of 1,835 images already differ by 23.
FEW_SAMPLES = 10_000

_BLOCK_ROWS = 4096


class FewSamplesWarning(UserWarning):
  """A metric was computed from fewer than `FEW_SAMPLES` samples."""


def check_features(name, features):
  """Refuses features that no metric can use.

  Args:
    name: what they are, for the error text: 'real', 'fake', 'logits'.
    features: array-like [N, D] of floats.

  Returns:
    numpy array [N, D], the same memory where possible.

  Raises:
    ValueError: if the rank is not 2, there is no row, or a value is NaN or
      infinite; then with the number of such values and rows, and the first row.
  """
  features = np.asarray(features)
  if features.ndim != 2 or 0 in features.shape:
    raise ValueError(
      f'{name} features have shape {features.shape}; give [samples, dimensions]'
    )
  # By blocks, so that the mask is never as long as the features.
  bad_values, bad_rows, first_row = 0, 0, None
  for start in range(0, len(features), _BLOCK_ROWS):
    finite = np.isfinite(features[start : start + _BLOCK_ROWS])
    if finite.all():
      continue
    rows = np.flatnonzero(~finite.all(axis=1))
    bad_values += int(np.count_nonzero(~finite))
    bad_rows += len(rows)
    if first_row is None:
      first_row = start + int(rows[0])
  if bad_values:
    raise ValueError(
      f'{name} features hold {bad_values:,} NaN or infinite values in '
      f'{bad_rows:,} of {len(features):,} rows, first in row {first_row}; the '
      'images or the extractor diverged'
    )
  return features


def check_pair(real, fake):
  """Checks two sets of features of the same extractor.

  Args:
    real: array-like [N, D].
    fake: array-like [M, D].

  Returns:
    (real, fake) as numpy arrays.

  Raises:
    ValueError: as `check_features`, or if the dimensions differ.
  """
  real = check_features('real', real)
  fake = check_features('fake', fake)
  if real.shape[1] != fake.shape[1]:
    raise ValueError(
      f'real features have {real.shape[1]} dimensions and fake features '
      f'{fake.shape[1]}; both must come from the same tap'
    )
  return real, fake


def warn_if_few(metric, *counts):
  """Warns when a count is under `FEW_SAMPLES`.

  Args:
    metric: name for the text.
    *counts: numbers of samples.
  """
  if min(counts) < FEW_SAMPLES:
    warnings.warn(
      f'{metric} from {min(counts):,} samples is biased and noisy; compare it '
      f'only with the same count, and use {FEW_SAMPLES:,} or more to publish',
      FewSamplesWarning,
      stacklevel=3,
    )
