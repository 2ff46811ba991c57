"""A command with the small networks of `tiny`, and with a fault on request.

  python -m tests.support.faulty main FAULT --workdir=...

FAULT is as of `drills.faults`, or one of those below; `none` for none.

`poison` is of the data of a step, for which all have a discriminator that finds
NaN in it.
"""

import os
import sys
import time

from sagan_jax import evaluate, main
from sagan_jax.drills import faults
from sagan_jax.run import command

COMMANDS = {'main': main.main, 'evaluate': evaluate.main}
SLOW_SECS = 11


def _raise_as_if_another_had_died():
  raise ValueError('Gloo AllReduce failed: Connection closed by peer')


def _damage_for_this_one(step):
  """Lets this process read a checkpoint otherwise than it is."""
  from sagan_jax.checkpoints import checkpoint

  restore = checkpoint.Checkpointer.restore

  def changed(self, target, found):
    state = restore(self, target, found)
    if found == step:
      raise checkpoint.checkpoint_damage.Damaged(self.directory, 'misread')
    return state

  checkpoint.Checkpointer.restore = changed


def _install(fault):
  kind, _, where = fault.partition(':')
  if kind == 'misread':
    _damage_for_this_one(int(where))
  elif kind == 'slow':  # Once in every phase that may be.
    for point in 'compile', 'save', 'evaluation':
      left = [SLOW_SECS]
      faults.surround(point, lambda left=left: left and time.sleep(left.pop()))
  elif kind != 'none':
    faults.ACTIONS['accuse'] = _raise_as_if_another_had_died
    faults.install(fault)


def _faulty(argv):
  name, fault, *argv = sys.argv[1:]
  concerned, fault = faults.addressed(fault, argv)
  kind, _, where = fault.partition(':')
  if concerned and kind == 'differ':
    argv.append('--config.seed=7')
  index = [a.split('=')[1] for a in argv if a.startswith('--process_id=')]
  if index and 'SAGAN_JAX_WATCHDOG' not in os.environ:
    return COMMANDS[name](argv)  # The watchdog itself, which imports nothing.
  if concerned and kind == 'cd':  # Into a directory of its own.
    os.chdir(os.path.join(where, *index))
  elif concerned and kind != 'differ':
    _install(fault)
  from tests.support import tiny

  discriminator = tiny.Discriminator
  if kind == 'poison':
    discriminator = tiny.PoisonedDiscriminator
  with tiny.small_networks(discriminator):
    return COMMANDS[name](argv)


if __name__ == '__main__':
  command.run(_faulty)
