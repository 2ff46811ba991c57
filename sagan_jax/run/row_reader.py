"""Reads the rows of a log, which may be long, damaged or still growing."""

import itertools
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from etils import epath

from sagan_jax import files
from sagan_jax.pictures import thinning

GAP = 'train/logit_gap'  # Of the logits of real images and of fakes.
_REAL, _FAKE = 'train/d_real_logit', 'train/d_fake_logit'
_OF_EVALUATIONS = ('step', 'perf/eval_secs')
_BLOCK_BYTES = 2**20
_LONGEST_BYTES = 2**24  # Of what has no end of a line.
_MAX_LETTERS = 100  # Of the name of a number.
_NAMED = 5  # Damaged lines that are named one by one.


def read(
  path: epath.Path,
  curves: thinning.Curves,
  evaluations: thinning.Curves,
  last_step: int | None,
  complain: Callable[[str], None],
) -> None:
  """Adds the rows of a log to curves, of which 'step' is one.

  Args:
    path: of metrics.jsonl.
    curves: get the rows of training, by step, and the difference of the logits
      by the name of `GAP`.
    evaluations: get the rows of evaluations, which may be made later; in the
      order of the file.
    last_step: that a row can have; None if that is not known.
    complain: told of lines that are left out, and why.

  Raises:
    OSError: if the file cannot be read.
  """
  reader = Reader(path.name, curves, evaluations, last_step, complain)
  with files.open_file(path) as file:
    for first, lines in _blocks(file):
      reader.add(first, lines)
  reader.finish()


class Reader:
  """Adds lines to curves; the arguments are those of `read`, and a name."""

  def __init__(self, name, curves, evaluations, last_step, complain):
    self._name = name
    self._curves = curves
    self._evaluations = evaluations
    self._last_step = math.inf if last_step is None else last_step
    self._complain = complain
    self._step = -1
    self._num_damaged = 0

  def add(self, first: int, lines: list[Any]) -> None:
    """Adds lines, of which `first` is the number of the first."""
    if lines[-1] is None:
      self._complain(f'{self._name}: the last row is cut short, and left out')
      lines.pop()
    numbered = enumerate(_parsed(lines), first)
    for names, rows in itertools.groupby(
      numbered, lambda pair: _names(pair[1])
    ):
      self._add_alike(names, list(rows))

  def finish(self) -> None:
    """Tells how many lines were not named."""
    if self._num_damaged > _NAMED:
      more = self._num_damaged - _NAMED
      self._complain(f'{self._name}: {more:,} further lines are left out')

  def _refuse(self, number, why):
    self._num_damaged += 1
    if self._num_damaged <= _NAMED:
      self._complain(f'{self._name}, line {number:,}: {why}; it is left out')

  def _add_alike(self, names, rows):
    """Adds rows [(line number, row)] with these names."""
    if (
      names is None
      or 'step' not in names
      or max(map(len, names)) > _MAX_LETTERS
    ):
      for number, _ in rows:
        self._refuse(number, 'it is no row of a log')
      return
    values = [list(row.values()) for _, row in rows]
    try:
      table = np.array(values, np.float64)
    except (ValueError, TypeError, OverflowError):
      bad = [not all(map(_is_number, row)) for row in values]
      for number in (
        n for (n, _), is_bad in zip(rows, bad, strict=True) if is_bad
      ):
        self._refuse(number, 'it holds what is no number')
      rows = [row for row, is_bad in zip(rows, bad, strict=True) if not is_bad]
      if rows:
        self._add_alike(names, rows)
      return
    self._add_known(names, table, [number for number, _ in rows])

  def _add_known(self, names, table, numbers):
    """Adds those whose step can be."""
    curves, steps = self._curves, table[:, names.index('step')]
    keep = (steps >= 0) & (steps <= self._last_step)
    if all(x in _OF_EVALUATIONS or x.startswith('eval/') for x in names):
      curves = self._evaluations
    else:  # It must not be less than those before.
      before = np.maximum.accumulate(
        np.concatenate([[self._step], np.where(keep, steps, -1)])
      )
      keep &= steps >= before[:-1]
      self._step = before[-1]
    for i in np.flatnonzero(~keep):
      self._refuse(numbers[i], f'its step {steps[i]:.0f} cannot come here')
    if _REAL in names and _FAKE in names:
      gap = table[:, names.index(_REAL)] - table[:, names.index(_FAKE)]
      names, table = (*names, GAP), np.column_stack([table, gap])
    try:
      curves.add(names, table[keep])
    except ValueError as e:
      for number in np.array(numbers)[keep]:
        self._refuse(number, e)


def _blocks(file) -> Iterator[tuple[int, list[Any]]]:
  """Yields (number of the first line, lines), about a megabyte at a time.

  What follows the last end of a line is None.
  """
  number, rest = 1, b''
  while block := file.read(_BLOCK_BYTES):
    *lines, rest = (rest + block).split(b'\n')
    if lines:
      yield number, lines
      number += len(lines)
    if len(rest) > _LONGEST_BYTES:  # Nobody's row, and maybe without an end.
      break
  if rest:
    yield number, [None]


def _parsed(lines) -> list[Any]:
  """The objects of lines; None for what is no JSON."""
  try:  # At once is twice as fast.
    found = json.loads(b'[%s]' % b','.join(lines))
    if len(found) == len(lines):
      return found
  except (ValueError, RecursionError):
    pass
  return [_parsed_line(line) for line in lines]


def _parsed_line(line):
  try:
    return json.loads(line)
  except (ValueError, RecursionError):
    return None


def _names(row) -> tuple[str, ...] | None:
  return tuple(row) if isinstance(row, dict) else None


def _is_number(value):
  # What is larger cannot be made a float.
  return isinstance(value, float) or (
    isinstance(value, int) and abs(value) < 10**300
  )
