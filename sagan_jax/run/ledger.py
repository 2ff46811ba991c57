"""Where the time of a run has gone, over all its restarts: `time.jsonl`.

A row tells how many seconds of an interval went where, and the last step at its
end. The intervals of a process follow each other without a gap; its first row
has `start`, the step that it starts from. A row is written after every
checkpoint, at the end, and otherwise twice a minute: what a kill leaves unsaid
counts as time that the run was down.
"""

import json
import time
from collections.abc import Callable, Iterator

from etils import epath

from sagan_jax import errors, files, progress

FILE = 'time.jsonl'
KINDS = (
  'steps',
  'compile',
  'data',
  'eval',
  'sample',
  'checkpoint',
  'other',
  'report',
)
# Not in the rows, but told by them.
LOST, DOWN = 'lost', 'down'
TITLES = {
  'steps': 'steps',
  'compile': 'compiling',
  'data': 'waiting for data',
  'eval': 'evaluation',
  'sample': 'sampling',
  'checkpoint': 'saving',
  'other': 'start and other',
  'report': 'report',
  LOST: 'steps lost and repeated',
  DOWN: 'down',
}
_ROW_SECS = 30.0
_MAX_NUMBER = 1e15  # Seconds and steps are less; NaN is not.
_PHASES = {'step': 'steps'}  # What the loop calls them.

_process_began = None


def begin_process():
  """Lets the time of the first ledger of this process begin now."""
  global _process_began
  _process_began = time.time()


class Ledger:
  """Writes the rows of one process; on all but one process it does nothing.

  A disk that refuses a row ends nothing: the next row has its seconds too.

  Args:
    directory: of the run, a path or URL.
    writes: whether this process writes.
  """

  def __init__(self, directory: epath.PathLike, writes: bool):
    global _process_began
    now, clock = time.time(), time.perf_counter()
    before = 0.0 if _process_began is None else now - _process_began
    _process_began = None
    self._path = epath.Path(directory) / FILE
    self._writes = writes
    self._start: int | None = None
    self._step = 0
    self._zero = now - clock  # Of the clock, which nobody sets.
    self._from = clock - before
    self._since = self._from
    self._kind = 'other'
    self._secs: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    self._rows = b''  # All of them, where a file cannot be appended to.
    self._open = False

  def open(self, start_step: int) -> None:
    """From now on rows are written: there are steps to be made."""
    self._start = self._step = start_step
    if self._writes and files.is_remote(self._path):
      with files.writing(self._path):
        self._rows = self._path.read_bytes() if self._path.exists() else b''
    self._open = self._writes

  def phase(self, name: str, step: int | None = None) -> None:
    """Time goes there from now on.

    Args:
      name: a kind, or what the loop calls it; any other one is 'other'.
      step: the last one launched; None as before.
    """
    now = time.perf_counter()
    self._secs[self._kind] += now - self._since
    self._since = now
    if now - self._from > _ROW_SECS:
      self._write()
    kind = _PHASES.get(name, name)
    self._kind = kind if kind in KINDS else 'other'
    if step is not None:
      self._step = step

  def flush(self) -> None:
    """Writes a row of the time up to now."""
    self.phase(self._kind)
    self._write()

  def _write(self):
    if not self._open:
      return
    row = {'step': self._step, 'from': self._zero + self._from}
    row['to'] = self._zero + self._since
    if self._start is not None:
      row['start'] = self._start
    row |= {k: round(v, 6) for k, v in self._secs.items() if v}
    try:
      self._append(json.dumps(row).encode() + b'\n')
    except (OSError, errors.UserError):
      return
    self._start, self._from = None, self._since
    self._secs = dict.fromkeys(KINDS, 0.0)

  def _append(self, row):
    if files.is_remote(self._path):
      files.write(self._path, self._rows + row)
      self._rows += row
      return
    with files.open_to_append(self._path) as file:
      size = file.tell()
      if size and not _ends_a_row(self._path, size):
        row = b'\n' + row  # A process was killed in the midst of one.
      if file.write(row) != len(row):
        file.truncate(size)
        raise OSError(f'{self._path} takes no more')


def _ends_a_row(path, size):
  with open(path, 'rb') as file:
    file.seek(size - 1)
    return file.read() == b'\n'


def read(directory: epath.PathLike) -> dict[str, float] | None:
  """Sums the rows of a run.

  Time that led to steps which a later start made anew is `LOST`, whatever it
  went into. The sum of all is the time from the first start to the last row.

  Args:
    directory: of the run.

  Returns:
    {kind: seconds} with `LOST` and `DOWN`; None if there are no rows. Lines that
    are no rows are passed over, their time is `DOWN`.

  Raises:
    OSError: if the file cannot be read.
  """
  path = epath.Path(directory) / FILE
  if not path.exists():
    return None
  found: dict[str, float] = dict.fromkeys((*KINDS, LOST, DOWN), 0.0)
  kept: list[tuple[int, dict[str, float]]] = []  # (last step, seconds)
  end = None
  for row in _rows(path):
    if 'start' in row:
      while kept and kept[-1][0] > row['start']:
        found[LOST] += sum(kept.pop()[1].values())
    if end is not None:
      found[DOWN] += max(0.0, row['from'] - end)
    end = row['to']
    kept.append((row['step'], {k: row[k] for k in KINDS if k in row}))
  for _, secs in kept:
    for kind, value in secs.items():
      found[kind] += value
  return found if end is not None else None


def _rows(path) -> Iterator[dict]:
  with files.open_file(path) as file:
    yield from filter(None, map(_row, files.lines(file)))


def _row(line) -> dict | None:
  try:
    row = files.parse_json(line)
    numbers = [row[name] for name in ('step', 'from', 'to')]
    numbers += [row[name] for name in ('start', *KINDS) if name in row]
    return row if all(abs(x) < _MAX_NUMBER for x in numbers) else None
  except (ValueError, KeyError, TypeError):
    return None


def shares(secs: dict[str, float]) -> list[tuple[str, float]]:
  """What took at least a thousandth of the time: [(title, share)]."""
  total = sum(secs.values())
  return [
    (TITLES[kind], value / total)
    for kind, value in secs.items()
    if total and value >= total / 1000
  ]


def line(secs: dict[str, float]) -> str:
  """Where the time went, in a line."""
  parts = ', '.join(f'{title} {share:.1%}' for title, share in shares(secs))
  return f'{progress.duration(sum(secs.values()))}: {parts}'


def tell(directory: epath.PathLike, say: Callable[[str], None]) -> None:
  """Says where the time of a run went, if that is known."""
  try:
    secs = read(directory)
  except OSError as e:
    say(f'  time: {FILE} cannot be read: {e.strerror or e}')
    return
  if secs:
    say(f'  time: {line(secs)}')
