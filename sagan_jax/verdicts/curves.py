"""The columns of a log as curves without noise, for those who judge them."""

import numpy as np

# Rows that one median is of. The accuracy of a batch of 16 images is known to
# 0.12 (one deviation), the median of ten batches to 0.05.
BLOCK_ROWS = 10


class Curves:
  """What a log holds, by step.

  Args:
    rows: {name: float [n]} over logged rows, NaN where a row has no such
      number; `step` is one of the names. Any order.

  Attributes:
    steps: int [blocks], the first step of each block of `BLOCK_ROWS` rows that
      have losses; the last block ends with the last row, and up to nine rows
      at the beginning are in none.
    last_step: of all rows; 0 if there are none.
  """

  def __init__(self, rows: dict[str, np.ndarray]):
    self._rows = rows
    step = np.asarray(rows.get('step', ()), float)
    # Rows of evaluations may be added later; NaN comes last.
    order = np.argsort(step, kind='stable')[: np.isfinite(step).sum()]
    self._order = order
    self._step = step[order].astype(int)
    losses = [self._column(f'train/{x}_loss') for x in 'dg']
    trained = np.flatnonzero(np.isfinite(losses).all(0))
    self._trained = trained[len(trained) % BLOCK_ROWS :]
    self.steps = self._step[self._trained].reshape(-1, BLOCK_ROWS)[:, 0]
    self.last_step = int(self._step[-1]) if len(order) else 0

  def names(self, prefix: str) -> list[str]:
    """The columns whose name begins so, in order."""
    return sorted(name for name in self._rows if name.startswith(prefix))

  def points(self, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The finite values of a column: (steps int [m], values float [m])."""
    values = self._column(name)
    there = np.isfinite(values)
    return self._step[there], values[there]

  def not_finite(self, name: str) -> np.ndarray:
    """The steps at which a column is infinite, or NaN in a row of training."""
    values = self._column(name)
    trained = np.zeros(values.shape, bool)
    for other in self.names('train/'):
      trained |= ~np.isnan(self._column(other))
    return self._step[trained & ~np.isfinite(values)]

  def medians(self, name: str) -> np.ndarray:
    """The median of a column in each block: float [blocks], or NaN."""
    return np.median(self._blocks(name), 1)

  def spans(self, name: str) -> np.ndarray:
    """The largest less the smallest value in each block: float [blocks]."""
    return np.ptp(self._blocks(name), 1)

  def _blocks(self, name):
    return self._column(name)[self._trained].reshape(-1, BLOCK_ROWS)

  def _column(self, name):
    if name not in self._rows:
      return np.full(self._step.shape, np.nan)
    return np.asarray(self._rows[name], float)[self._order]


def since(steps: np.ndarray, holds: np.ndarray, blocks: int = 2) -> int | None:
  """Since which step something holds without a break, until the end.

  Args:
    steps: int [n], where each block begins.
    holds: bool [n], whether it holds in a block.
    blocks: how many at least, so that it is no chance.

  Returns:
    The step, or None if it does not hold at the end or for too short a time.
  """
  broken = np.flatnonzero(~holds)
  first = broken[-1] + 1 if len(broken) else 0
  return int(steps[first]) if len(holds) - first >= blocks else None
