"""A command with the small networks of `tiny`, and with a fault on request.

  python -m tests.support.faulty main FAULT --workdir=...

FAULT is PROCESS:KIND:STEP, of one process (or `*`, all); `none` for none. After
that step, or in that phase, the process does what a function below says.
"""

import ctypes
import os
import resource
import signal
import sys
import time

from sagan_jax import evaluate, main
from sagan_jax.run import command
from tests.support import tiny

COMMANDS = {'main': main.main, 'evaluate': evaluate.main}
SLOW_SECS = 8


def _raise():
  raise KeyError('a fault of the program')


def _hold_the_lock():
  ctypes.PyDLL(None).sleep(1000)  # Which, unlike a CDLL, does not let go of it.


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


KINDS = {
  'raise': _raise,
  'lock': _hold_the_lock,
  'stall': _stall,
  'stop': _stop,
  'kill': _kill,
  'disk': _fill_the_disk,
  'terminate': _terminate,
}


def _before(owner, name, action):
  """Lets a method do something first."""
  method = getattr(owner, name)

  def changed(self, *arguments, **options):
    action(self, *arguments)
    return method(self, *arguments, **options)

  setattr(owner, name, changed)


def _install(kind, step):
  from sagan_jax.evaluation import evaluator
  from sagan_jax.run import checkpoint, loop

  if kind == 'slow':  # In every phase that may be.

    def slow(*_):
      time.sleep(SLOW_SECS)

    _before(loop.Trainer, '_train_from', slow)
    _before(checkpoint.Checkpointer, 'save', slow)
    _before(evaluator.Evaluator, 'of_state', slow)
  elif kind.startswith('evaluation-'):
    act = KINDS[kind.removeprefix('evaluation-')]
    _before(evaluator.Evaluator, 'of_state', lambda *_: act())
  elif kind.startswith('save-'):
    act = KINDS[kind.removeprefix('save-')]
    _before(checkpoint.Checkpointer, 'save', lambda *_: act())
  elif kind.startswith('compile-'):
    act = KINDS[kind.removeprefix('compile-')]
    _before(loop.Trainer, '_train_from', lambda *_: act())
  else:

    def at_step(_, batches, state):
      del batches
      if int(state.step) == step:
        KINDS[kind]()

    _before(loop.Trainer, '_next', at_step)


def _faulty(argv):
  name, fault, *argv = sys.argv[1:]
  process, _, rest = fault.partition(':')
  kind, _, step = rest.partition(':')
  if f'--process_id={process}' in argv or process == '*':
    os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
    if kind == 'differ':
      argv.append('--config.seed=7')
    elif 'SAGAN_JAX_WATCHDOG' in os.environ:  # Not in the watchdog itself.
      _install(kind, int(step or 0))
  with tiny.small_networks():
    return COMMANDS[name](argv)


if __name__ == '__main__':
  command.run(_faulty)
