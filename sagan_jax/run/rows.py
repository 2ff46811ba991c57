"""`metrics.jsonl`: a JSON object per logged step, on a disk or in a bucket."""

import io
import json
import math
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator

from etils import epath

from sagan_jax import errors, files

# A bucket takes whole objects only: a row is at risk for so long, unless
# `flush` is called, as it is with each checkpoint.
_REMOTE_SECS = 30.0

_START = re.compile(rb'\{"step": (\d+)[,}]')


class LocalRows:
  """Appends rows to a file.

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
    if path.exists() and not (start_step is None and _is_whole(path)):
      _drop_after(path, start_step, say)
    with files.writing(path):
      # Unbuffered: a row that a full disk refuses must not come again, as
      # another error, when the file is closed.
      self._file = open(path, 'ab', buffering=0)

  def append(self, row: bytes) -> None:
    """Writes a row; raises UserError if the disk refuses it."""
    with files.writing(self._path):
      while row:
        row = row[self._file.write(row) :]

  def flush(self) -> None:
    """Returns when all rows are on the disk."""
    with files.writing(self._path):
      os.fsync(self._file.fileno())

  def close(self) -> None:
    """Closes the file."""
    self._file.close()


class RemoteRows:
  """Rows of an object in a bucket, which is written anew every 30 seconds.

  Args and errors are those of `LocalRows`.
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
      self._rows += _kept(content, path, start_step, say)
    self._changed = True
    self.flush()

  def append(self, row: bytes) -> None:
    """Adds a row; raises UserError if the bucket refuses it."""
    self._rows.append(row)
    self._changed = True
    if time.monotonic() - self._written > _REMOTE_SECS:
      self.flush()

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
  with _reading(path), open(path, 'rb') as file:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 1))
    return file.read() in (b'', b'\n')


def _drop_after(path, start_step, say):
  """Rewrites a file without the rows to drop, if there are any."""
  with _reading(path), open(path, 'rb') as file:
    size = sum(len(row) for row in _kept(file, path, start_step, say))
    if size == file.tell():
      return
  with (
    files.writing(path),
    open(path, 'rb') as file,
    files.replacing(path) as target,
  ):
    target.writelines(_kept(file, path, start_step, lambda _: None))


def _kept(
  lines: Iterable[bytes],
  path: epath.Path,
  start_step: int | None,
  say: Callable[[str], None],
) -> Iterator[bytes]:
  """Yields the rows up to a step."""
  limit = math.inf if start_step is None else start_step
  for number, line in enumerate(lines, 1):
    if not line.endswith(b'\n'):  # Of a process that was killed.
      say(f'{path}: the last row was cut short and is dropped')
      return
    step = _step(line)
    if step is None:
      raise errors.UserError(
        f'{path}:{number} is damaged: it is no row of a log; mend or delete '
        'the line'
      )
    if step <= limit:
      yield line


def _step(line: bytes) -> int | None:
  """The step of a row, or None if it is damaged."""
  start = _START.match(line)
  # Without parsing, where a row looks whole: a long run has a million.
  if start and line.endswith(b'}\n') and line.count(b'{') == 1:
    if b'\0' not in line:
      return int(start[1])
  try:
    step = json.loads(line)['step']
  except (ValueError, KeyError, TypeError):
    return None
  return step if isinstance(step, int) else None
