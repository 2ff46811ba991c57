"""Programs that do not outlive the one that has started them."""

import os
import signal
import subprocess
import sys

# By a program: what runs between fork and exec must not meet JAX's threads.
_END_WITH_PARENT = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
os.execvp(sys.argv[1], sys.argv[1:])
"""


def start(argv: list[str], **options) -> subprocess.Popen:
  """Starts a program in a session of its own.

  On Linux the kernel kills it when the thread that has started it ends.

  Args:
    argv: of the program.
    **options: of `subprocess.Popen`.
  """
  if sys.platform == 'linux':
    argv = [sys.executable, '-I', '-S', '-c', _END_WITH_PARENT, *argv]
  return subprocess.Popen(argv, start_new_session=True, **options)


def kill(process: subprocess.Popen) -> None:
  """Kills a program that `start` has started, with all of its session."""
  if process.poll() is None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
