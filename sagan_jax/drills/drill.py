"""One drill in one directory, and the trials that it is made of.

DIR/undisturbed holds the run that all others are compared with, DIR/CASE the
runs of a case (removed when it has passed), DIR/logs what all processes said.
"""

import functools
import itertools
import os
import pathlib
import random
import shutil
import sys
import threading
import time
import weakref

from sagan_jax import errors
from sagan_jax.cluster import children
from sagan_jax.config import schema
from sagan_jax.drills import evidence, processes
from sagan_jax.drills.outcomes import Failed

TRAINER = (sys.executable, '-m', 'sagan_jax.main')
FAULTY = (sys.executable, '-m', 'sagan_jax.drills.child', 'main')
_FIRST_SECS = 3600  # For a run that compiles everything.
_LIMIT_SECS = 120  # For another one, and that many times the undisturbed:
_TIMES = 10


class Drill:
  """What all trials share.

  Args:
    workdir: local directory, a `pathlib.Path`.
    config: name or path of a config.
    overrides: {key: text} of all that differs from it.
    seed: of the moments and places of faults.
    kills: how many `kill -9` at random moments.
    programs: directory of compiled programs; None for the usual one.
    trainer: command that trains.
    faulty: the same, which takes a fault of `faults` first.

  Attributes:
    secs: that an undisturbed run takes when nothing needs to be compiled.
    config: a `Config`.
    ended: whether no more processes are started.
  """

  def __init__(
    self,
    workdir,
    config,
    overrides,
    *,
    seed=0,
    kills=3,
    programs=None,
    trainer=TRAINER,
    faulty=FAULTY,
  ):
    self.workdir = pathlib.Path(workdir)
    self.seed = seed
    self.kills = kills
    self.config = schema.load(config, overrides)
    self.secs = _FIRST_SECS / _TIMES
    self._flags = [
      f'--config={config}',
      *(f'--config.{key}={value}' for key, value in overrides.items()),
    ]
    if programs:
      self._flags.append(f'--compilation_cache={programs}')
    self._commands = trainer, faulty
    self._children = weakref.WeakSet()
    self._starting = threading.Lock()
    self.ended = False
    (self.workdir / 'logs').mkdir(parents=True, exist_ok=True)

  def start(
    self, log, workdir, fault=None, flags=(), launcher=(), environment=None
  ):
    """Starts a process that trains; returns a `processes.Child`."""
    trainer, faulty = self._commands
    argv = [
      *launcher,
      *([*faulty, fault] if fault else trainer),
      f'--workdir={workdir}',
      *self._flags,
      *flags,
    ]
    with self._starting:
      if self.ended:
        raise Failed('the drill was ended')
      child = processes.Child(
        argv,
        workdir,
        self.workdir / 'logs' / f'{log}.log',
        os.environ | (environment or {}),
        _LIMIT_SECS + _TIMES * self.secs,
      )
      self._children.add(child)
    return child

  def kill_all(self):
    """Kills all processes, and starts no more."""
    with self._starting:
      self.ended = True
      for child in list(self._children):
        children.kill(child.process)

  @functools.cached_property
  def undisturbed(self):
    """The `Evidence` of the run that nothing disturbs, which is made now.

    Raises:
      UserError: if it does not come to its end: there is nothing to drill.
    """
    path = self.workdir / 'undisturbed'
    child = self.start('undisturbed', path)
    try:
      child.end(0)
    except Failed as e:
      raise errors.UserError(
        f'the config does not train without any fault: {e}'
      ) from e
    again = self.workdir / 'warm'  # Compiles nothing; the same bits, too.
    began = time.monotonic()
    self.start('warm', again).end(0)
    self.secs = time.monotonic() - began
    wanted = evidence.of(path)
    if lines := evidence.differences(evidence.of(again), wanted):
      raise errors.UserError(
        'two undisturbed runs of the config differ, so that nothing can be '
        f'compared: {"; ".join(lines)}'
      )
    shutil.rmtree(again)
    return wanted


class Trial:
  """One case, with its own directory and its own random numbers.

  Attributes:
    drill: a `Drill`.
    folder: of all its runs.
    workdir: of the run that is disturbed.
    draw: a `random.Random`.
  """

  def __init__(self, drill, name):
    self.drill = drill
    self.name = name
    self.folder = drill.workdir / name
    self.workdir = self.folder / 'run'
    self.draw = random.Random(f'{drill.seed} {name}')
    self._numbers = itertools.count(1)
    self.fresh()

  def fresh(self):
    """Begins anew in an empty directory."""
    shutil.rmtree(self.workdir, ignore_errors=True)

  def start(self, fault=None, *, workdir=None, flags=(), **options):
    """Starts the run, or goes on with it; returns a `processes.Child`.

    Args:
      fault: as of `faults`, in its process; None for none.
      workdir: another one than that of the trial.
      flags: besides those of the config.
      **options: of `Drill.start`.
    """
    log = f'{self.name}-{next(self._numbers)}'
    workdir = workdir or self.workdir
    return self.drill.start(log, workdir, fault, flags, **options)

  def finish(self, *flags, told='', wanted=None, **options):
    """Runs the same command to its end, and compares what is there then.

    Args:
      *flags: as of `start`.
      told: pattern of what it must say.
      wanted: `Evidence` of a run that is not the undisturbed one.
      **options: as of `start`.

    Returns:
      What it said.

    Raises:
      Failed: if it does not end, or anything differs.
    """
    _, output = self.start(flags=flags, **options).end(0, told=told)
    self.compare(wanted)
    return output

  def compare(self, wanted=None):
    """Raises `Failed` if the run is not as the undisturbed one, or another."""
    found = evidence.of(self.workdir)
    wanted = wanted or self.drill.undisturbed
    if lines := evidence.differences(found, wanted):
      raise Failed(
        f'{self.workdir} is not as the undisturbed run: {"; ".join(lines)}'
      )

  def copy(self):
    """Begins with a copy of the undisturbed run."""
    self.fresh()
    shutil.copytree(self.drill.workdir / 'undisturbed', self.workdir)

  def rewind(self):
    """Begins with the undisturbed run as it was before its last save.

    Returns:
      The step of its newest checkpoint.
    """
    self.copy()
    saved = sorted(self.checkpoints())
    shutil.rmtree(self.workdir / 'checkpoints' / str(saved[-1]))
    for path in (self.workdir / 'samples').iterdir():
      if int(path.name.split('_')[0]) > saved[-2]:
        path.unlink()
    return saved[-2]

  def checkpoints(self):
    """The steps of all checkpoints."""
    entries = (self.workdir / 'checkpoints').iterdir()
    return [int(path.name) for path in entries if path.name.isdigit()]
