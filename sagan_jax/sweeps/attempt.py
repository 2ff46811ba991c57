"""The last attempt at a run, as the sweep that started it records it."""

import dataclasses
import json
import time
import typing

from sagan_jax import errors, files

_NAME = 'attempt.json'
LOG = 'output.log'


@dataclasses.dataclass(frozen=True)
class Attempt:
  """What is known of the last process that trained in a directory."""

  num_steps: int | None = None  # That it was to reach.
  started: float | None = None  # Seconds since 1970.
  exit_code: int | None = None  # None: it runs, or nobody saw it end.
  secs: float = 0.0  # Of all attempts that have ended.
  message: str = ''  # Why it failed.
  halted: int | None = None  # The rung of successive halving.


_KINDS = typing.get_type_hints(Attempt)


def read(directory):
  """Returns the `Attempt` of a directory, an empty one if there was none."""
  path = directory / _NAME
  if not path.exists():
    return Attempt()
  found = files.read_json(path)
  if isinstance(found, dict) and all(
    name in _KINDS and _fits(value, _KINDS[name])
    for name, value in found.items()
  ):
    return Attempt(**found)
  raise errors.UserError(
    f'{path} is damaged: it is no record of an attempt; remove it: the run '
    'itself needs it not'
  )


def _fits(value, kind):
  if isinstance(value, (int, float)):
    return str not in typing.get_args(kind) + (kind,) and abs(value) < 1e15
  return isinstance(value, kind)


def begin(directory, num_steps):
  """Records that a process starts."""
  secs = total_secs(directory, read(directory), running=False)
  write(directory, Attempt(num_steps=num_steps, started=time.time(), secs=secs))


def end(directory, exit_code, message=''):
  """Records how it has ended."""
  last = read(directory)
  write(
    directory,
    dataclasses.replace(
      last,
      exit_code=exit_code,
      message=message,
      secs=total_secs(directory, last, running=True),
    ),
  )


def total_secs(directory, last, *, running):
  """Seconds of all attempts.

  Args:
    directory: of the run.
    last: the last attempt.
    running: whether it still runs.
  """
  if last.started is None or last.exit_code is not None:
    return last.secs
  log = directory / LOG
  ended = time.time()
  if not running:  # Nobody saw it end; its last words say when.
    ended = log.stat().mtime if log.exists() else last.started
  return last.secs + max(0.0, ended - last.started)


def halt(directory, rung):
  """Marks a run as one that successive halving does not go on with."""
  write(directory, dataclasses.replace(read(directory), halted=rung))


def write(directory, attempt):
  """Writes an `Attempt`, whole or not at all."""
  content = json.dumps(dataclasses.asdict(attempt), indent=2) + '\n'
  files.write(directory / _NAME, content)
