"""A command with the small networks of `tiny`, and with a fault on request.

  python -m tests.support.faulty main FAULT --workdir=...

FAULT is PROCESS:KIND:STEP, of one process (or `*`, all); `none` for none. After
that step, or in that phase, the process does what a function below says.

`poison` is of the data of a step, for which all have a discriminator that finds
NaN in it.
"""

import ctypes
import itertools
import os
import resource
import signal
import sys
import time

from sagan_jax import errors, evaluate, main
from sagan_jax.run import command

COMMANDS = {'main': main.main, 'evaluate': evaluate.main}
SLOW_SECS = 11


def _raise():
  raise KeyError('a fault of the program')


def _raise_as_if_another_had_died():
  raise ValueError('Gloo AllReduce failed: Connection closed by peer')


def _hold_the_lock():
  while True:  # A signal ends the sleep, which, of a PyDLL, holds the lock.
    ctypes.PyDLL(None).sleep(1000)


def _stall():
  time.sleep(1000)


def _stop():
  os.kill(os.getpid(), signal.SIGSTOP)


def _kill():
  os.kill(os.getpid(), signal.SIGKILL)


def _fill_the_disk():
  resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))


def _terminate():
  os.kill(os.getpid(), signal.SIGTERM)
  time.sleep(1.5)  # Until it is agreed where all stop, so that this is here.


KINDS = {
  'raise': _raise,
  'accuse': _raise_as_if_another_had_died,
  'lock': _hold_the_lock,
  'stall': _stall,
  'stop': _stop,
  'kill': _kill,
  'disk': _fill_the_disk,
  'terminate': _terminate,
}


def _act(kind):
  os.write(2, f'fault at {time.time()}\n'.encode())
  KINDS[kind]()


def _before(owner, name, action):
  """Lets a method, or a function of a module, do something first."""
  method = getattr(owner, name)

  def changed(self, *arguments, **options):
    action(self, *arguments)
    return method(self, *arguments, **options)

  setattr(owner, name, changed)


def _end_batches(build, step):
  """Lets batches be readable up to a step."""
  make = build.host_batches

  def until(source, config, start):
    yield from itertools.islice(make(source, config, start), step - start)
    os.write(2, f'fault at {time.time()}\n'.encode())
    raise errors.UserError('cannot read x.png')

  build.host_batches = until


def _damage_for_this_one(checkpoint, step):
  """Lets this process read a checkpoint otherwise than it is."""
  restore = checkpoint.Checkpointer.restore

  def changed(self, target, found):
    state = restore(self, target, found)
    if found == step:
      raise checkpoint.checkpoint_damage.Damaged(self.directory, 'misread')
    return state

  checkpoint.Checkpointer.restore = changed


def _install(kind, where):
  from sagan_jax import data
  from sagan_jax.checkpoints import checkpoint
  from sagan_jax.evaluation import evaluator
  from sagan_jax.gan import build
  from sagan_jax.run import loop
  from tests.support import tiny

  if kind == 'poison':
    make_source = data.make_source

    def poisoned(*arguments, **options):
      source = make_source(*arguments, **options)
      tiny.poison(source, int(where) - 1)
      return source

    data.make_source = poisoned
    return
  phases = {
    'compile': (build, 'lower_step'),
    'save': (checkpoint.Checkpointer, 'save'),
    'evaluation': (evaluator.Evaluator, 'of_state'),
  }
  if kind == 'unreadable':
    _end_batches(build, int(where))
    return
  if kind == 'misread':
    _damage_for_this_one(checkpoint, int(where))
    return
  phase, _, rest = kind.rpartition('-')
  if kind == 'slow':  # Once in every phase that may be.
    for owner, name in phases.values():
      left = [SLOW_SECS]
      _before(
        owner, name, lambda *_, left=left: left and time.sleep(left.pop())
      )
  elif phase:
    _before(*phases[phase], lambda *_: _act(rest))
  else:

    def at_step(_, batches, state):
      del batches
      if int(state.step) == int(where):
        _act(kind)

    _before(loop.Loop, '_next', at_step)


def _faulty(argv):
  name, fault, *argv = sys.argv[1:]
  process, _, rest = fault.partition(':')
  kind, _, where = rest.partition(':')
  concerned = process == '*' or f'--process_id={process}' in argv
  if concerned and kind == 'differ':
    argv.append('--config.seed=7')
  index = [a.split('=')[1] for a in argv if a.startswith('--process_id=')]
  if index and 'SAGAN_JAX_WATCHDOG' not in os.environ:
    return COMMANDS[name](argv)  # The watchdog itself, which imports nothing.
  if concerned and kind == 'cd':  # Into a directory of its own.
    os.chdir(os.path.join(where, *index))
  elif concerned and kind != 'differ':
    _install(kind, where)
  from tests.support import tiny

  discriminator = tiny.Discriminator
  if kind == 'poison':
    discriminator = tiny.PoisonedDiscriminator
  with tiny.small_networks(discriminator):
    return COMMANDS[name](argv)


if __name__ == '__main__':
  command.run(_faulty)
