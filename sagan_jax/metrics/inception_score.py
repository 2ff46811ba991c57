"""Inception Score from logits."""

from typing import NamedTuple

import numpy as np

from sagan_jax.metrics import checks

_BLOCK_ROWS = 4096


class InceptionScore(NamedTuple):
  """Mean and standard deviation over splits."""

  mean: float
  std: float  # population form (ddof 0); 0 for one split
  num_splits: int


def inception_score(logits, num_splits=10, shuffle_seed=None):
  """Computes exp(mean KL(p(y|x) || p(y))) per split.

  Salimans et al. (arXiv:1606.03498). The published protocol takes 50,000
  samples in 10 splits and the 1008 logits without bias; TF-GAN and SAGAN take
  one split. Both count: 10 splits score lower. Split i holds rows i N / k to (i
  + 1) N / k, so the order matters: shuffle samples that are sorted by class.

  Limits: sees no real images, rewards what ImageNet has classes for, and ranks
  only models of the same data set, count and split.

  Args:
    logits: float [N, classes].
    num_splits: k, at most N.
    shuffle_seed: of NumPy's `RandomState`, whose permutation is applied first;
      None keeps the order. torch-fidelity shuffles with 2020.

  Returns:
    InceptionScore.

  Raises:
    ValueError: if the logits are not finite [N, classes], or there are fewer
      rows than splits.

  Warns:
    FewSamplesWarning: if there are fewer than 10,000 rows.
  """
  logits = checks.check_features('logits', logits)
  num_rows = len(logits)
  if not 1 <= num_splits <= num_rows:
    raise ValueError(
      f'{num_splits} splits of {num_rows} samples are not possible; use 1 to '
      f'{num_rows}'
    )
  checks.warn_if_few('Inception Score', num_rows)
  order = np.arange(num_rows)
  if shuffle_seed is not None:
    order = np.random.RandomState(shuffle_seed).permutation(num_rows)
  scores = []
  for i in range(num_splits):
    start, stop = i * num_rows // num_splits, (i + 1) * num_rows // num_splits
    scores.append(_score(logits, order[start:stop]))
  return InceptionScore(
    float(np.mean(scores)), float(np.std(scores)), num_splits
  )


def _score(logits, rows):
  """Returns exp(H(y) - mean H(y|x)) of some rows, by blocks in float64."""
  mean_p = np.zeros(logits.shape[1])
  mean_p_log_p = 0.0
  for start in range(0, len(rows), _BLOCK_ROWS):
    log_p = _log_softmax(logits[rows[start : start + _BLOCK_ROWS]])
    p = np.exp(log_p)
    mean_p += p.sum(axis=0) / len(rows)
    mean_p_log_p += np.sum(p * log_p) / len(rows)
  seen = mean_p > 0  # 0 log 0 = 0, for classes whose probability underflows
  return np.exp(mean_p_log_p - np.sum(mean_p[seen] * np.log(mean_p[seen])))


def _log_softmax(logits):
  logits = logits.astype(np.float64)
  logits -= logits.max(axis=1, keepdims=True)
  return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
