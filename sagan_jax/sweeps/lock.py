"""Who trains in a directory: a lock that ends with its process.

The lock is inherited by the process that trains, so that it is held as long as
that lives, also when the sweep that started it was killed. The kernel gives it
up; no file is left to be removed.
"""

import contextlib
import fcntl
import json
import os
import socket
import time

from sagan_jax import files

_NAME = '.sweep.lock'
# It is emptied: what a link leads to must not be.
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
_TRIES, _PAUSE_SECS = 5, 0.02


def acquire(directory):
  """Takes the lock of a directory.

  Args:
    directory: local, exists.

  Returns:
    A file descriptor, which holds the lock while it or a copy of it is open;
    None if another process has it.
  """
  with files.writing(directory):
    descriptor = os.open(directory / _NAME, _FLAGS, 0o666)
  for _ in range(_TRIES):  # Whoever looks at a lock holds it for an instant.
    with files.writing(directory):
      taken = _lock(descriptor, fcntl.LOCK_EX)
    if taken:
      os.ftruncate(descriptor, 0)  # The process that it names has ended.
      return descriptor
    time.sleep(_PAUSE_SECS)
  os.close(descriptor)
  return None


def sign(descriptor, pid):
  """Writes into a lock that was acquired which process it is for."""
  content = json.dumps({'pid': pid, 'host': socket.gethostname()}).encode()
  os.pwrite(descriptor, content, 0)


def is_held(directory):
  """Whether a process trains in a local directory."""
  path = directory / _NAME
  if files.is_remote(path) or not path.exists():
    return False
  descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
  try:
    return not _lock(descriptor, fcntl.LOCK_SH)
  finally:
    os.close(descriptor)


def holder(directory):
  """Who has signed the lock: (process, whether it is of this machine)."""
  # Also of what is no JSON, which is a UserError.
  with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError):
    signed = files.read_json(directory / _NAME)
    return int(signed['pid']), signed['host'] == socket.gethostname()
  return None, False  # It has not signed yet.


def is_used(directory):
  """Whether runs are started in a directory by a sweep on a machine."""
  return (directory / _NAME).exists()


def _lock(descriptor, kind):
  try:
    fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  return True
