"""What may go wrong inside a process that trains, on request.

A fault is written as ACTION:STEP, before the step after that; as
POINT-ACTION:N, at a point of the program when it comes there for the Nth time
(the first by default); or as one of the data, KIND:STEP, for `poison` with the
seed of the config, poison:STEP,SEED. PROCESS: before it is that of a run of
several, or `*` for all, which it is without.
"""

import ctypes
import importlib
import itertools
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

from sagan_jax import errors

MARK = 'fault at'  # What is printed before an action, with the time.


def _raise():
  raise KeyError('a fault of the program')


def _hold_the_lock():
  while True:  # A signal ends the sleep, which, of a PyDLL, holds the lock.
    ctypes.PyDLL(None).sleep(1000)


def _terminate():
  os.kill(os.getpid(), signal.SIGTERM)
  time.sleep(1.5)  # Until it is agreed where all stop, so that this is here.


ACTIONS: dict[str, Callable[[], Any]] = {
  'raise': _raise,
  'crash': lambda: ctypes.string_at(0),
  'lock': _hold_the_lock,
  'stall': lambda: time.sleep(1000),
  'stop': lambda: os.kill(os.getpid(), signal.SIGSTOP),
  'kill': lambda: os.kill(os.getpid(), signal.SIGKILL),
  'disk': lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)),
  'terminate': _terminate,
}
# {point: (module, what in it, whether the action comes after it)}.
POINTS = {
  'compile': ('gan.build', 'lower_step', False),
  'save': ('checkpoints.checkpoint', 'Checkpointer.save', False),
  'saving': ('checkpoints.checkpoint', 'Checkpointer.save', True),
  'saved': ('checkpoints.retention', 'delete_old', False),
  'wait': ('checkpoints.checkpoint', 'Checkpointer.wait', False),
  'picture': ('pictures.labelled_grid', 'save', False),
  'evaluation': ('evaluation.evaluator', 'Evaluator.of_state', False),
  'record': ('evaluation.protocol', 'append', False),
  'recorded': ('evaluation.protocol', 'append', True),
  'report': ('run.reporting', 'at_end', False),
}


def addressed(fault: str, argv: list[str]) -> tuple[bool, str]:
  """Whether a fault is of this process, and the fault without the process.

  Args:
    fault: as above.
    argv: of this process.
  """
  process, colon, rest = fault.partition(':')
  if process == '*':
    return True, rest
  if colon and process.isdecimal():
    return f'--process_id={process}' in argv, rest
  return True, fault


def install(fault: str) -> None:
  """Prepares this process for a fault.

  Args:
    fault: as above.
  """
  kind, _, where = fault.partition(':')
  if kind in DATA:
    DATA[kind](*map(int, where.split(',')))
    return
  point, _, action = kind.rpartition('-')
  if not point:
    _at_step(int(where), action)
    return
  left = itertools.count(int(where or 1), -1)
  surround(point, lambda: next(left) == 1 and act(action))


def act(action: str) -> None:
  """Does an action, after a line that tells when."""
  os.write(2, f'{MARK} {time.time()}\n'.encode())
  ACTIONS[action]()


def surround(point: str, action: Callable[[], Any]) -> None:
  """Has a function called at a point, each time."""
  module, path, after = POINTS[point]
  holder, name = owner(module, path)
  function = getattr(holder, name)

  def changed(*arguments, **options):
    if not after:
      action()
    result = function(*arguments, **options)
    if after:
      action()
    return result

  setattr(holder, name, changed)


def owner(module: str, path: str) -> tuple[Any, str]:
  """The module or class that holds a function, and its name there."""
  holder = importlib.import_module(f'sagan_jax.{module}')
  *parts, name = path.split('.')
  for part in parts:
    holder = getattr(holder, part)
  return holder, name


def _at_step(step, action):
  from sagan_jax.run import batches

  after = batches.Batches.after

  def changed(self, state):
    if int(state.step) == step:
      act(action)
    return after(self, state)

  batches.Batches.after = changed


def _end_batches(step: int, end: Callable[[], None]) -> None:
  """Lets batches be there up to a step."""
  from sagan_jax.gan import build

  make = build.host_batches

  def until(source, config, start) -> Iterator:
    yield from itertools.islice(make(source, config, start), step - start)
    os.write(2, f'{MARK} {time.time()}\n'.encode())
    end()

  build.host_batches = until


def _refuse():
  raise errors.UserError('cannot read x.png')


def _poison(step, seed=0):
  """In the batch of a step; 0 for none, with the same networks."""
  from sagan_jax import data, models
  from sagan_jax.drills import poison

  for name, pair in models.NETWORKS.items():
    models.NETWORKS[name] = models.Architecture(
      pair.generator, poison.poisonable(pair.discriminator)
    )
  make_source = data.make_source

  def poisoned(*arguments, **options):
    source = make_source(*arguments, **options)
    poison.whiten(source, step - 1, seed)
    return source

  data.make_source = poisoned


DATA = {
  'unreadable': lambda step: _end_batches(step, _refuse),
  'dry': lambda step: _end_batches(step, ACTIONS['stall']),
  'poison': _poison,
}
