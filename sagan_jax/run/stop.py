"""Stopping on request: SIGTERM and Ctrl-C, from the first second of a command.

A signal is seen at once by a thread of its own, also while the main thread is
inside the compiler. As long as nothing would be lost the process ends there and
then, with `EXIT_CODE`. Where something would be (`deferred`), the signal only
sets a flag: the loop saves its state and raises `Stopped`, and so does an
evaluation, between two batches. A second signal ends the process in any case.
"""

import contextlib
import os
import signal
import threading

from sagan_jax import progress

# Of a process that was asked to stop and goes on where it was when the same
# command is run again (EX_TEMPFAIL of sysexits.h).
EXIT_CODE = 75

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_requested = threading.Event()
_deferred = threading.Event()


class Stopped(BaseException):
  """The process was asked to stop and may end now.

  Like `KeyboardInterrupt` no `Exception`: what survives failures, such as the
  guard around evaluations, does not survive this.
  """


def install():
  """Takes over both signals; called once, by a command, in the main thread."""
  reader, writer = os.pipe()
  os.set_blocking(writer, False)
  # The C handler writes the number here, whatever the main thread is doing.
  signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
  for number in _SIGNALS:
    signal.signal(number, _ignore)
  threading.Thread(
    target=_watch, args=(reader,), name='signals', daemon=True
  ).start()


def request():
  """Asks for a stop, as the first signal does."""
  _requested.set()


def withdraw():
  """Forgets that a stop was asked for."""
  _requested.clear()


def requested():
  """Whether a stop was asked for."""
  return _requested.is_set()


def check():
  """Raises `Stopped` if a stop was asked for."""
  if requested():
    raise Stopped('stopped')


def counter(what, total, say):
  """Like `progress.counter`, but what it counts ends when a stop is asked for.

  Args:
    what: is counted.
    total: where it ends.
    say: called with lines where there is no terminal.

  Returns:
    A function to call with the count so far; it raises `Stopped`.
  """
  count = progress.counter(what, total, say)

  def check_and_count(done):
    check()
    count(done)

  return check_and_count


@contextlib.contextmanager
def deferred():
  """Keeps the first signal from ending the process: it will look by itself."""
  _deferred.set()
  try:
    yield
  finally:
    _deferred.clear()


def _ignore(number, frame):
  """Python's part of a handler; `_watch` acts."""


def _watch(reader):
  while numbers := os.read(reader, 1):
    number = numbers[0]
    if number not in _SIGNALS:
      continue
    if requested():
      _end(128 + number, 'stopped at once by a second signal')
    request()
    if not _deferred.is_set():
      _end(EXIT_CODE, 'stopped; run the same command again to go on')
    _tell('asked to stop ... (a second signal ends the process at once)')


def _end(code, text):
  _tell(text)
  os._exit(code)  # The main thread may be anywhere, and cannot be unwound.


def _tell(text):
  # Not by `print`, whose lock the main thread may hold.
  with contextlib.suppress(OSError):
    os.write(2, f'\n{text}\n'.encode())
