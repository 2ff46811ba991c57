"""`metrics.jsonl`: a JSON object per logged step, on a disk or in a bucket."""

import io
import json
import math
import os
import re
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from etils import epath

from sagan_jax import errors, files

# A bucket takes whole objects only: a row is at risk for so long, unless
# `flush` is called, as it is with each checkpoint.
_REMOTE_SECS = 30.0

# The end of a file in which a row is looked for that may be there already.
# More than a step's rows need, of its losses, grid and evaluation.
_END_BYTES = 2**16
_END_ROWS = 100

# A whole row, found without parsing: a long run has a million.
_ROW = re.compile(rb'\{"step": (\d{1,18})(?:, [^{\0]*)?\}\n')


class LocalRows:
  """Appends rows to a file.

  With a `start_step`, a row that the end of the file holds already is not
  written again: what a killed run has not finished is done anew.

  Args:
    path: of the file; made if need be.
    start_step: rows beyond it, left by a run that died, are dropped; None keeps
      all.
    say: told of a last row that was cut short, which is dropped.

  Raises:
    UserError: if a row is damaged, naming its line, or the file cannot be read
      or written.
  """

  def __init__(
    self,
    path: epath.Path,
    start_step: int | None,
    say: Callable[[str], None],
  ):
    self._path = path
    self._written = 0  # Bytes of a row that is not complete.
    with files.writing(path):
      files.check_own(path)
    if path.exists() and not (start_step is None and _is_whole(path)):
      _drop_after(path, start_step, say)
    with files.writing(path):
      # Unbuffered: a row that a full disk refuses must not come again, as
      # another error, when the file is closed.
      self._file = files.open_to_append(path)
    self._end = set() if start_step is None else _end(path)

  def append(self, row: bytes) -> None:
    """Writes a row; raises UserError if the disk refuses it.

    Of a full disk, which is `DiskFull`, it is to be called with this row again.
    """
    if row in self._end:
      return
    with files.writing(self._path):
      while self._written < len(row):  # A full disk may take a part of it.
        self._written += self._file.write(row[self._written :])
    self._written = 0

  def holds(self, step: int, name: str) -> bool:
    """Whether the end of the file, as it was opened, has such a row."""
    return _holds(self._end, step, name)

  def flush(self) -> None:
    """Returns when all rows are on the disk."""
    with files.writing(self._path):
      os.fsync(self._file.fileno())

  def close(self) -> None:
    """Closes the file."""
    self._file.close()


class RemoteRows:
  """Rows of an object in a bucket, which is written anew every 30 seconds.

  Repeated rows, args and errors are those of `LocalRows`.
  """

  def __init__(
    self,
    path: epath.Path,
    start_step: int | None,
    say: Callable[[str], None],
  ):
    self._path = path
    self._rows: list[bytes] = []
    if path.exists():
      with _reading(path):
        content = io.BytesIO(path.read_bytes())
      scanned = _scan(content, path, start_step, say)
      self._rows += [row for row, keep in scanned if keep]
    self._end = set() if start_step is None else {*self._rows[-_END_ROWS:]}
    self._changed = True
    self.flush()

  def append(self, row: bytes) -> None:
    """Adds a row; raises UserError if the bucket refuses it."""
    if row in self._end:
      return
    self._rows.append(row)
    self._changed = True
    if time.monotonic() - self._written > _REMOTE_SECS:
      self.flush()

  def holds(self, step: int, name: str) -> bool:
    """Whether the end of the file, as it was opened, has such a row."""
    return _holds(self._end, step, name)

  def flush(self) -> None:
    """Returns when all rows are in the bucket."""
    if self._changed:
      files.write(self._path, b''.join(self._rows))
    self._changed, self._written = False, time.monotonic()

  def close(self) -> None:
    """Writes what is left; raises UserError if the bucket refuses it."""
    self.flush()


class _reading:  # noqa: N801 - reads as a verb where it is used.
  def __init__(self, path):
    self._path = path

  def __enter__(self):
    return self

  def __exit__(self, kind, error, traceback):
    if isinstance(error, OSError):
      raise errors.UserError(
        f'cannot read {self._path}: {error.strerror or error}'
      ) from error


def _is_whole(path):
  """Whether a file ends with a row; its trainer may be at work on it."""
  with _reading(path), files.open_file(path) as file:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 1))
    return file.read() in (b'', b'\n')


def last_step(path: epath.Path) -> int:
  """The largest step in the last rows of a log; 0 if there is none.

  Raises:
    UserError: if it cannot be read.
  """
  if not path.exists():
    return 0
  return max((_step(row) or 0 for row in _end(path)), default=0)


def _holds(rows, step, name):
  begin, inside = f'{{"step": {step}, '.encode(), f'{json.dumps(name)}: '
  return any(x.startswith(begin) and inside.encode() in x for x in rows)


def _end(path):
  """The last rows of a file."""
  with _reading(path), files.open_file(path) as file:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END_BYTES))
    return set(file.read().splitlines(keepends=True))


def _drop_after(path, start_step, say):
  """Cuts a file after the last row to keep, and rows to drop out of it."""
  position = kept = end = 0  # Bytes: read, to keep, kept without a gap.
  with _reading(path), files.open_file(path) as file:
    for row, keep in _scan(file, path, start_step, say):
      position += len(row)
      if keep:
        kept += len(row)
      if kept == position:
        end = kept
    size = file.tell()
  if kept == size:
    return
  with files.writing(path):
    if kept == end:
      os.truncate(path, end)
      return
    with files.open_file(path) as file, files.replacing(path) as target:
      for row, keep in _scan(file, path, start_step, lambda _: None):
        if keep:
          target.write(row)


def _scan(
  file: BinaryIO,
  path: epath.Path,
  start_step: int | None,
  say: Callable[[str], None],
) -> Iterator[tuple[bytes, bool]]:
  """Yields rows, and whether each is of a step up to `start_step`."""
  limit = math.inf if start_step is None else start_step
  for number, line in enumerate(files.lines(file), 1):
    if not line.endswith(b'\n'):  # Of a process that was killed.
      say(f'{path}: the last row was cut short and is dropped')
      return
    step = _step(line)
    if step is None:
      raise errors.UserError(
        f'{path}:{number} is damaged: it is no row of a log; mend or delete '
        'the line'
      )
    yield line, step <= limit


def _step(line: bytes) -> int | None:
  """The step of a row, or None if it is damaged."""
  row = _ROW.fullmatch(line)
  if row:
    return int(row[1])
  try:
    step = files.parse_json(line)['step']
  except (ValueError, KeyError, TypeError):
    return None
  return step if type(step) is int and 0 <= step < 2**63 else None
