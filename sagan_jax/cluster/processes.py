"""Whether a process that signed a file lives: known on its own machine only."""

import os
import re
import sys


def identity():
  """What tells this process from all others, a dict for JSON."""
  return {
    'pid': os.getpid(),
    'started': _started(os.getpid()),
    'machine': _machine(),
  }


def lives(found):
  """Whether a process lives.

  Args:
    found: its `identity`, from a file.

  Returns:
    True or False; None if that cannot be known here: it is of another machine,
    or of another container, where numbers mean other processes.
  """
  machine, pid = found.get('machine'), found.get('pid')
  if machine is None or machine != _machine() or not isinstance(pid, int):
    return None
  try:
    os.kill(pid, 0)
  except ProcessLookupError:
    return False
  except (PermissionError, OverflowError):
    pass  # It is somebody else's, or none.
  return _started(pid) == found.get('started')


def _machine():
  """The boot of this machine and the space of its numbers; None if unknown."""
  if sys.platform != 'linux':
    return os.uname().nodename
  try:
    with open('/proc/sys/kernel/random/boot_id') as file:
      return f'{file.read().strip()} {os.readlink("/proc/self/ns/pid")}'
  except OSError:
    return None


def _started(pid):
  """When a process was started, in ticks since the boot; None if unknown."""
  try:
    with open(f'/proc/{pid}/stat') as file:
      text = file.read()
  except OSError:
    return None
  # The name, in brackets, may hold anything.
  return int(re.sub(r'.*\)', '', text, flags=re.DOTALL).split()[19])
