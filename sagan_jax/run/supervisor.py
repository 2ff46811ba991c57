"""The watchdog: a command as the child of a small process that looks on.

It sees what the child itself cannot: that its main thread is stuck, that the
lock of the interpreter is held, that it was stopped. It passes on signals and
exit codes, and ends a child that is silent for too long with 76, after it has
told in which phase that stood and has made it print the stacks of its threads.
"""

import contextlib
import ctypes
import faulthandler
import os
import signal
import subprocess
import sys
import time

from sagan_jax.cluster import exit_codes
from sagan_jax.run import pulse, stop

DEFAULT_SECS = 600
# The phases in which steps should follow each other; others may take longer.
STEPPING = ('step', 'data')
JOINING = 'join'
_PATIENCE = 6
# Of threads that only need the lock of the interpreter, whatever the phase.
_ALIVE_SECS = 60
_DEAD_SECS = 3  # The same of one that makes no progress either.
_DUMP_SECS = 3
_VARIABLE = 'SAGAN_JAX_WATCHDOG'
_PR_SET_PDEATHSIG = 1


def adopted():
  """Lets the watchdog that started this process see it.

  Returns:
    The file descriptor that the signals of the watchdog come by; None if no
    watchdog has started this process.
  """
  text = os.environ.pop(_VARIABLE, None)  # Not for children of its own.
  if text is None:
    return None
  memory, signals, parent = map(int, text.split(','))
  if sys.platform == 'linux':  # It should not outlive its parent.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
      os._exit(exit_codes.FAILED)
  pulse.start(pulse.Pulse(memory))
  os.close(memory)
  # In C, so that it needs neither the main thread nor the interpreter's lock.
  faulthandler.register(signal.SIGUSR1, all_threads=True)
  return signals


def supervise(secs, several, not_met, asked=False):
  """Runs the command of this process again, as a child, and watches over it.

  This process has nothing else to do then than to end with `os._exit`.

  Args:
    secs: how long a step may take; other phases may take six times as long.
    several: whether it is one of several processes, which jax aborts when it
      loses another one.
    not_met: what to print if the processes do not meet.
    asked: whether this process was asked to stop before.

  Returns:
    The exit code.
  """
  reader, writer = os.pipe()
  os.set_blocking(writer, False)
  with pulse.open_file() as file:
    seen = pulse.Pulse(file.fileno())
    seen.phase('start')
    described = f'{file.fileno()},{reader},{os.getpid()}'
    _forward_signals(writer)
    if asked:
      os.write(writer, bytes([signal.SIGTERM]))
    # They would kill a child that has not come so far as to handle them.
    signal.pthread_sigmask(signal.SIG_BLOCK, stop.SIGNALS)
    child = subprocess.Popen(
      [sys.executable, *sys.orig_argv[1:]],
      env=os.environ | {_VARIABLE: described},
      pass_fds=(file.fileno(), reader),
    )
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stop.SIGNALS)
    os.close(reader)
    code = _Watch(child, seen, secs).wait()
    if several and code == -signal.SIGABRT:
      if seen.read().phase == JOINING:
        _say(f'error: {not_met}')
        return exit_codes.REFUSED
      _say('jax has ended this process, as another one of the run is dead')
      return exit_codes.HUNG
    return code if code >= 0 else 128 - code


class _Watch:
  """Waits for a child, and for signs of life of it."""

  def __init__(self, child, seen, secs):
    self._child = child
    self._seen = seen
    self._secs = secs or float('inf')
    self._last = seen.read()
    self._progress_at = self._alive_at = time.monotonic()

  def wait(self):
    """Returns the exit code of the child, or 76 if it had to be ended."""
    while True:
      with contextlib.suppress(subprocess.TimeoutExpired):
        return self._child.wait(timeout=0.5)
      if trouble := self._look():
        self._end(trouble)
        return exit_codes.HUNG

  def _look(self):
    """Returns what is wrong, if anything."""
    now, last, seen = time.monotonic(), self._last, self._seen.read()
    self._last = seen
    if seen.progress != last.progress:
      self._progress_at = now
    if seen.alive != last.alive or not seen.alive:
      self._alive_at = now
    limit = self._secs * (1 if seen.phase in STEPPING else _PATIENCE)
    stuck, dead = now - self._progress_at, now - self._alive_at
    if dead > (_DEAD_SECS if stuck > limit else min(self._secs, _ALIVE_SECS)):
      return (
        f'no thread has run for {dead:.0f} s: it was stopped, or one holds '
        "the interpreter's lock"
      )
    return f'no progress for {stuck:.0f} s' if stuck > limit else None

  def _end(self, trouble):
    where = f'phase {self._last.phase!r}, after step {self._last.step}'
    _say(f'watchdog: {trouble} ({where}); ended. Its stacks:')
    self._child.send_signal(signal.SIGUSR1)  # One that is stopped prints none.
    time.sleep(_DUMP_SECS)
    self._child.kill()
    self._child.wait()


def _forward_signals(writer):
  """Passes signals on, by a pipe: they may reach the child directly, too.

  For good: one that comes when the child has ended must not change the code.
  """

  def forward(number, frame):
    del frame
    with contextlib.suppress(OSError):
      os.write(writer, bytes([number]))

  for number in stop.SIGNALS:
    signal.signal(number, forward)
  signal.set_wakeup_fd(-1)  # Of `stop`, which would end this process.


def _say(text):
  with contextlib.suppress(OSError):
    os.write(2, f'{text}\n'.encode())
