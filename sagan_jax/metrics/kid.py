"""KID: the kernel Inception distance."""

from typing import NamedTuple

import numpy as np

from sagan_jax.metrics import checks


class Kid(NamedTuple):
  """Mean and standard deviation over subsets."""

  mean: float  # may be negative: the estimator is unbiased
  std: float  # population form (ddof 0); of one subset, not of the mean
  num_subsets: int
  subset_size: int


def kid(real, fake, num_subsets=100, subset_size=1000, seed=2020):
  """Computes KID as the mean MMD^2 over random subsets.

  Binkowski et al. (arXiv:1801.01401). Each subset draws `subset_size` rows of
  each set without replacement. `RandomState(seed)` draws fakes, then reals, as
  torch-fidelity with its seed 2020, so that equal features give its numbers.

  Limits: unbiased at any count, but its standard deviation falls with the
  subset size only; a subset of another size has the same mean in expectation.

  Args:
    real: float [N, D].
    fake: float [M, D].
    num_subsets: at least 1.
    subset_size: at least 2, at most N and M.
    seed: of the draws.

  Returns:
    Kid.

  Raises:
    ValueError: if the features are unfit, or a subset is larger than a set or
      smaller than 2.

  Warns:
    FewSamplesWarning: if either set has under 10,000 rows.
  """
  real, fake = checks.check_pair(real, fake)
  if not 2 <= subset_size <= min(len(real), len(fake)) or num_subsets < 1:
    raise ValueError(
      f'{num_subsets} subsets of {subset_size} cannot be drawn from '
      f'{len(real)} real and {len(fake)} fake samples; use subset_size 2 to '
      f'{min(len(real), len(fake))} and num_subsets of at least 1'
    )
  checks.warn_if_few('KID', len(real), len(fake))
  rng = np.random.RandomState(seed)
  values = []
  for _ in range(num_subsets):
    fake_rows = rng.choice(len(fake), subset_size, replace=False)
    real_rows = rng.choice(len(real), subset_size, replace=False)
    values.append(polynomial_mmd2(real[real_rows], fake[fake_rows]))
  return Kid(
    float(np.mean(values)), float(np.std(values)), num_subsets, subset_size
  )


def polynomial_mmd2(x, y):
  """Returns the unbiased MMD^2 under the kernel (x . y / D + 1)^3.

  Args:
    x: float [N, D], N >= 2.
    y: float [M, D], M >= 2.

  Returns:
    float: mean of k(x, x') over pairs of different rows, plus that of y, minus
    twice the mean of k(x, y) over all pairs; float64.
  """
  x, y = x.astype(np.float64), y.astype(np.float64)
  return float(
    _mean_off_diagonal(_kernel(x, x))
    + _mean_off_diagonal(_kernel(y, y))
    - 2.0 * _kernel(x, y).mean()
  )


def _kernel(x, y):
  return (x @ y.T / x.shape[1] + 1.0) ** 3


def _mean_off_diagonal(kernel):
  n = len(kernel)
  return (kernel.sum() - np.trace(kernel)) / (n * (n - 1))
