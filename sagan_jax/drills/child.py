"""A command with a fault in it: the seam by which a drill reaches inside.

  python -m sagan_jax.drills.child main FAULT --workdir=...

FAULT is as of `faults`. Everything else is as of `python -m sagan_jax.main`.
"""

import os
import runpy
import sys

from sagan_jax.drills import faults
from sagan_jax.run import program_cache


def main():
  """Prepares the fault, and becomes the command."""
  name, fault, *rest = sys.argv[1:]
  watched = [a for a in rest if a.startswith(('--watchdog', '--process_id'))]
  # A watchdog runs the same command again, as its child.
  concerned, fault = faults.addressed(fault, rest)
  # Before jax is imported, which `install` does.
  program_cache.use(_value(rest, '--compilation_cache='))
  if concerned and (not watched or 'SAGAN_JAX_WATCHDOG' in os.environ):
    faults.install(fault)
  sys.argv = [name, *rest]
  runpy.run_module(f'sagan_jax.{name}', run_name='__main__', alter_sys=True)


def _value(argv, flag):
  found = [each.removeprefix(flag) for each in argv if each.startswith(flag)]
  return found[-1] if found else None


if __name__ == '__main__':
  main()
