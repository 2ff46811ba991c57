"""What all commands share: one boundary for errors, and how they stop."""

import os
import sys

from sagan_jax import errors
from sagan_jax.run import stop


def run(main):
  """Runs a command and ends the process with its exit code.

  0: finished. 2: refused or failed for a reason that the user can mend, which
  is told on stderr without a traceback. 75: stopped by a signal, with nothing
  lost. 1, with a traceback: a fault of this package.

  Args:
    main: takes the arguments (None for those of the process), returns an exit
      code or None, and raises `errors.UserError` or `stop.Stopped`.
  """
  stop.install()
  sys.exit(exit_code(main))


def exit_code(main, argv=None):
  """Runs a command; returns its exit code, as `run` tells."""
  try:
    return main(argv) or 0
  except errors.UserError as e:
    print(f'error: {e}', file=sys.stderr)
    return 2
  except stop.Stopped as e:
    print(f'{e}; run the same command again to go on', file=sys.stderr)
    return stop.EXIT_CODE
  except BrokenPipeError:  # Whoever read our output has gone, as `head` does.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1
