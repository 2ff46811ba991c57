"""Curves of millions of points as a few thousand, with all their spikes."""

import numpy as np

_MAX = float(np.finfo(np.float32).max)
_CHUNK = 4096  # Rows that are looked at together.
_COLUMNS = 64  # That there may be without fewer buckets.
MAX_COLUMNS = 512  # More are no curves that anyone could look at.


class Curves:
  """Rows of numbers, kept as minimum, mean and maximum of runs of rows.

  Memory does not grow with the rows: when there are too many buckets, two
  neighbours become one. Up to 2 * `capacity` rows are kept as they are, and
  fewer where they have more than 64 columns.

  Args:
    capacity: how many buckets are kept at least, once there were as many rows.
  """

  def __init__(self, capacity=2**14):
    self._capacity = capacity
    self._width = 1  # Rows in a bucket.
    self._index = {}  # {name: column}
    self._waiting = []  # Blocks [n, columns at that time], less than a chunk.
    self._num_waiting = 0
    self._blocks = []  # Of `_Buckets` [n, columns at that time].
    self._num_buckets = 0
    self._strange = np.zeros(MAX_COLUMNS, np.int64)
    self.num_rows = 0

  def add(self, names, values):
    """Adds rows.

    Args:
      names: of the columns; they may differ from those of other rows.
      values: float64 [n, columns]; NaN where a row has none. What float32
        cannot hold is counted and left out.

    Raises:
      ValueError: if there are more than `MAX_COLUMNS` names in all.
    """
    if not len(values):
      return
    fresh = [name for name in names if name not in self._index]
    if len(self._index) + len(fresh) > MAX_COLUMNS:
      raise ValueError(f'there are more than {MAX_COLUMNS} names')
    self._index |= {n: i for i, n in enumerate(fresh, len(self._index))}
    columns = [self._index[name] for name in names]
    infinite = np.abs(values) > _MAX
    self._strange[columns] += infinite.sum(0)
    block = np.full((len(values), len(self._index)), np.nan)
    block[:, columns] = np.where(infinite, np.nan, values)
    self._waiting.append(block)
    self._num_waiting += len(block)
    self.num_rows += len(block)
    if self._num_waiting >= max(_CHUNK, self._width):
      self._reduce()

  def infinite(self, name):
    """How many values of a name were too large to be drawn."""
    return int(self._strange[self._index[name]])

  def buckets(self, most=None):
    """What there is now.

    Args:
      most: how many buckets, at most; None for all that are kept.

    Returns:
      {name: (lowest, mean, highest)}, float64 [n] each, NaN where a bucket has
      no value. The same n for all, in the order of the rows.
    """
    whole = [_Buckets.of(self._stacked(), self._width)] if self._waiting else []
    found = _join([*self._blocks, *whole], len(self._index))
    if most and len(found.low) > most:
      found = found.merged(-(-len(found.low) // most))
    mean = found.mean()
    return {
      name: (found.low[:, i], mean[:, i], found.high[:, i])
      for name, i in self._index.items()
    }

  def _stacked(self):
    return np.concatenate([_padded(x, len(self._index)) for x in self._waiting])

  def _reduce(self):
    rows = self._stacked()
    whole = len(rows) // self._width * self._width
    self._blocks.append(_Buckets.of(rows[:whole], self._width))
    self._num_buckets += whole // self._width
    self._waiting = [rows[whole:]] if whole < len(rows) else []
    self._num_waiting = len(rows) - whole
    columns = max(_COLUMNS, len(self._index))
    while self._num_buckets * columns > 2 * self._capacity * _COLUMNS:
      self._blocks = [_join(self._blocks, len(self._index)).merged(2)]
      self._num_buckets = len(self._blocks[0].low)
      self._width *= 2


class _Buckets:
  """Minimum, sum, maximum and number of the values of buckets of rows."""

  def __init__(self, low, total, high, count):
    self.low, self.total, self.high, self.count = low, total, high, count

  @classmethod
  def of(cls, rows, width):
    """Of rows [n, columns]; the last bucket may have fewer."""
    rows = _in_groups(rows, width, np.nan)
    there = ~np.isnan(rows)
    return cls(
      np.fmin.reduce(rows, axis=1),
      np.where(there, rows, 0).sum(1),
      np.fmax.reduce(rows, axis=1),
      there.sum(1),
    )

  def merged(self, factor):
    """Of so many neighbours each."""
    return _Buckets(
      np.fmin.reduce(_in_groups(self.low, factor, np.nan), axis=1),
      _in_groups(self.total, factor, 0).sum(1),
      np.fmax.reduce(_in_groups(self.high, factor, np.nan), axis=1),
      _in_groups(self.count, factor, 0).sum(1),
    )

  def mean(self):
    """NaN where there is no value."""
    none = self.count == 0
    return np.where(none, np.nan, self.total / np.where(none, 1, self.count))


def _in_groups(x, size, fill):
  """[n, c] as [groups, size, c]; the last is filled up."""
  missing = -len(x) % size
  if missing:
    end = np.full((missing, x.shape[1]), fill, x.dtype)
    x = np.concatenate([x, end])
  return x.reshape(-1, size, x.shape[1])


def _padded(x, columns, fill=np.nan):
  """[n, c] with columns for names that came later."""
  missing = columns - x.shape[1]
  return np.pad(x, ((0, 0), (0, missing)), constant_values=fill)


def _join(blocks, columns):
  if not blocks:
    empty = np.empty((0, columns))
    return _Buckets(empty, empty, empty, empty)
  return _Buckets(
    *(
      np.concatenate([_padded(getattr(b, part), columns, fill) for b in blocks])
      for part, fill in (
        ('low', np.nan),
        ('total', 0),
        ('high', np.nan),
        ('count', 0),
      )
    )
  )
