"""Stopping on request: SIGTERM and Ctrl-C, from the first second of a command.

A signal is seen at once by a thread of its own, also while the main thread is
inside the compiler. As long as nothing would be lost the process ends there and
then, with `EXIT_CODE`. Where something would be (`deferred`), the signal only
sets a flag: the loop saves its state and raises `Stopped`, and so does an
evaluation, between two batches. A second signal ends the process in any case.

One of several processes stops with the others, where `cluster.agree` says so.
"""

import contextlib
import os
import signal
import threading

from sagan_jax import progress
from sagan_jax.cluster import agree, exit_codes
from sagan_jax.run import pulse

EXIT_CODE = exit_codes.STOPPED

# How long a process that was asked to stop still waits to meet the others.
JOIN_SECS = 15
SIGNALS = (signal.SIGTERM, signal.SIGINT)
_requested = threading.Event()
_deferred = threading.Event()
_joining = threading.Event()
_neighbors = None
_watched = False

_last_acts = []
_LAST_SECS = 3  # For all of them: a disk may hang.

Stopped = agree.Stopped


def install():
  """Takes over both signals; called once, by a command, in the main thread."""
  reader, writer = os.pipe()
  os.set_blocking(writer, False)
  # The C handler writes the number here, whatever the main thread is doing.
  signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
  take_signals()
  # A watchdog holds them back from its child until now.
  signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
  _start(_watch, reader, name='signals')


def take_signals():
  """Takes over both signals again, from a library that has since."""
  for number in SIGNALS:
    signal.signal(number, _ignore)


def listen(reader):
  """Takes signals from a watchdog, too: a file of their numbers.

  Those that come to the process itself then only ask for a stop: it may be
  that they came to both.
  """
  global _watched
  _watched = True
  _start(_watch_forwarded, reader, name='forwarded')


def await_others():
  """From now on a stop waits until `join`, as the others would wait for us."""
  _joining.set()


def stop_awaiting():
  """Undoes `await_others`; returns whether a stop was asked for meanwhile."""
  _joining.clear()
  return requested()


def join(neighbors):
  """From now on stops with others: a `cluster.neighbors.Neighbors`."""
  global _neighbors
  _neighbors = neighbors
  if requested():
    withdraw()
    neighbors.request_stop()


def request():
  """Asks for a stop, as the first signal does."""
  _requested.set()


def request_of_all():
  """Asks all processes of a run for a stop; nothing in a single one."""
  group = agree.group()
  if group and _neighbors:
    group.hold()  # At once: it tells how far this process has come.
    _neighbors.request_stop()


def withdraw():
  """Forgets that a stop was asked for."""
  _requested.clear()


def requested():
  """Whether a stop was asked for."""
  return _requested.is_set()


def can_be_later():
  """Whether the process would lose something if it ended at once."""
  return _deferred.is_set()


def check():
  """Raises `Stopped` if a stop was asked for."""
  group = agree.group()
  if group:
    group.check()
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
    pulse.beat()
    count(done)

  return check_and_count


@contextlib.contextmanager
def deferred():
  """Keeps the first signal from ending the process: it will look by itself."""
  _deferred.set()
  try:
    yield
  finally:
    # Another process may still be at it, and this one must not end that.
    if not agree.group():
      _deferred.clear()


def before_end(act):
  """Has a function called also where a signal ends the process at once."""
  _last_acts.append(act)


def _ignore(number, frame):
  """Python's part of a handler; `_watch` acts."""


def _start(target, reader, name):
  thread = threading.Thread(
    target=target, args=(reader,), name=name, daemon=True
  )
  thread.start()
  return thread


def _watch(reader):
  while numbers := os.read(reader, 1):
    if numbers[0] in SIGNALS:
      _act(numbers[0], asked_before=requested() and not _watched)


def _watch_forwarded(reader):
  asked = False
  while numbers := os.read(reader, 1):
    _act(numbers[0], asked_before=asked)
    asked = True
  _end(exit_codes.FAILED, 'the watchdog of this process is gone')


def _act(number, asked_before):
  if asked_before:
    _end(128 + number, 'stopped at once by a second signal')
  if _neighbors:
    _neighbors.request_stop()
    return
  request()
  if _joining.is_set():
    # The others may have been asked before they had come so far.
    timer = threading.Timer(JOIN_SECS, _end_unless_joined)
    timer.daemon = True
    timer.start()
  elif not _deferred.is_set():
    _end(EXIT_CODE, 'stopped; run the same command again to go on')
  _tell('asked to stop ... (a second signal ends the process at once)')


def _end_unless_joined():
  if _joining.is_set() and not _neighbors:
    _end(EXIT_CODE, 'stopped; run the same command again to go on')


def _end(code, text):
  _tell(text)
  acts = _start(lambda acts: [act() for act in acts], _last_acts, name='end')
  acts.join(_LAST_SECS)
  os._exit(code)  # The main thread may be anywhere, and cannot be unwound.


def _tell(text):
  # Not by `print`, whose lock the main thread may hold.
  with contextlib.suppress(OSError):
    os.write(2, f'\n{text}\n'.encode())
