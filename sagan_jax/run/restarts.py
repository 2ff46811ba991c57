"""Refuses to start a run again and again that never gets any further."""

import contextlib
import json

from sagan_jax import errors, files
from sagan_jax.cluster import agree

MAX_STARTS = 3
_FILE = 'restarts.json'


class NoProgress(Exception):
  """A run was restarted several times and has not saved a further state."""


@contextlib.contextmanager
def counted(workdir, step):
  """Counts a start of a run, unless that ends and tells why.

  Args:
    workdir: of the run.
    step: that it starts from.

  Raises:
    NoProgress: if it has started from there `MAX_STARTS` times before, and
      every time ended before a further state was saved. The next one counts
      from the beginning.
  """
  starts = 0
  group = agree.group()
  if not group or group.index == 0:
    path = workdir / _FILE
    if path.exists():
      starts = _starts(path, step)
    if starts < MAX_STARTS:
      files.write(path, json.dumps({'step': step, 'starts': starts + 1}))
    else:
      path.unlink()
  starts = agree.decide('starts', starts)
  if starts >= MAX_STARTS:
    raise NoProgress(
      f'{workdir} was started {starts} times from step {step} and has saved no '
      'further state; look at how those ended, then run the same command again'
    )
  try:
    yield
  except errors.UserError:
    _forget(workdir)
    raise
  _forget(workdir)


def _starts(path, step):
  """How often a run was started from a step; 0 if the file is damaged."""
  try:
    before = files.read_json(path)
  except errors.UserError:
    return 0  # It is written anew: no run is lost with it.
  if not isinstance(before, dict) or before.get('step') != step:
    return 0
  starts = before.get('starts')
  return starts if isinstance(starts, int) and starts > 0 else 0


def _forget(workdir):
  group = agree.group()
  if not group or group.index == 0:
    (workdir / _FILE).unlink(missing_ok=True)
