"""What a run has left, to be compared with what another one has left."""

import hashlib
import json
import threading
from typing import NamedTuple

from sagan_jax import errors
from sagan_jax.checkpoints import checkpoint
from sagan_jax.gan import state as state_lib
from sagan_jax.run import directory
from sagan_jax.run.run import Run

_SHOWN = 3  # Differences of a kind.
_lock = threading.Lock()


class Evidence(NamedTuple):
  """All that is a function of the config alone."""

  states: dict[str, str]  # {'checkpoints/12': digest}, the last; and the best.
  rows: list[dict]  # Of the log, without perf/.
  records: list[dict]  # Of evaluations, without their time.
  files: dict[str, str]  # {'samples/x.png': digest}; also plots and tables.

  def count(self) -> str:
    """How much there is, in words."""
    pictures = sum(name.startswith('samples/') for name in self.files)
    return (
      f'{len(self.rows)} rows, {pictures} pictures, {len(self.records)} '
      f'evaluations, {len(self.states)} states'
    )


def of(workdir) -> Evidence:
  """Reads the evidence of a run, of its states on the CPU.

  Raises:
    UserError: if something of it is damaged or missing.
  """
  return Evidence(
    states(workdir), rows(workdir), records(workdir), files(workdir)
  )


def states(workdir) -> dict[str, str]:
  """Digests of all leaves of the last state and of the best."""
  found = {}
  with _lock:
    for name in directory.CHECKPOINTS, directory.BEST:
      with reader(workdir, name) as checkpoints:
        for step in checkpoints.steps()[-1:]:
          digest = state_lib.digest(checkpoints.restore(step))
          found[f'{name}/{step}'] = digest
  return found


class reader:  # noqa: N801 - reads as a function where it is used.
  """The checkpoints of a run, as a context; it prints nothing.

  Args:
    workdir: of the run.
    name: of the directory in it.
  """

  def __init__(self, workdir, name=directory.CHECKPOINTS):
    self._run = Run.open(workdir)
    self._checkpointer = checkpoint.Checkpointer(
      workdir / name, keep_last=1, writes=False, log=lambda _: None
    )

  def __enter__(self):
    return self

  def __exit__(self, *error):
    self._checkpointer.close()

  def steps(self) -> list[int]:
    """As of `Checkpointer`."""
    return self._checkpointer.steps()

  def restore(self, step: int):
    """The state of a step, on the CPU; raises UserError if it is damaged."""
    return self._checkpointer.restore(self._run.shapes, step)


def rows(workdir) -> list[dict]:
  """The complete rows of a log, without what tells the time."""
  return [
    {k: v for k, v in row.items() if not k.startswith('perf/')}
    for row in _lines(workdir / directory.LOG)
  ]


def records(workdir) -> list[dict]:
  """The records of all evaluations, without how long they took."""
  return [
    {k: v for k, v in record.items() if k != 'secs'}
    for record in _lines(workdir / 'evaluations.jsonl')
  ]


def files(workdir) -> dict[str, str]:
  """Digests of grids, and of tables and plots of scores."""
  return {
    str(path.relative_to(workdir)): hashlib.sha256(
      path.read_bytes()
    ).hexdigest()
    for name in ('samples', 'scores')
    for path in sorted((workdir / name).glob('*'))
    if path.name != 'curves.png'  # Of speeds, too.
  }


def _lines(path):
  lines = path.read_text().split('\n')[:-1] if path.exists() else []
  try:
    return [json.loads(line) for line in lines]
  except ValueError as e:
    raise errors.UserError(f'{path} is damaged: {e}') from e


def differences(found: Evidence, wanted: Evidence) -> list[str]:
  """What differs between two runs, in lines; none if nothing does."""
  lines = []
  for kind in ('states', 'files'):
    ours, theirs = getattr(found, kind), getattr(wanted, kind)
    names = sorted({*ours, *theirs})
    wrong = [x for x in names if ours.get(x) != theirs.get(x)]
    lines += [f'{kind}: {x}' for x in wrong[:_SHOWN]]
  for kind in ('rows', 'records'):
    ours, theirs = getattr(found, kind), getattr(wanted, kind)
    if ours != theirs:
      lost = [x for x in theirs if x not in ours]
      added = [x for x in ours if x not in theirs]
      lines.append(
        f'{kind}: {len(ours)} instead of {len(theirs)}, {len(lost)} lost, '
        f'{len(added)} others; {str((lost or added or ours)[0])[:150]}'
      )
  return lines
