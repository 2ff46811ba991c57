"""Runs a command as several processes on this machine, and watches over them.

Each process gets --coordinator_address, --num_processes and --process_id after
its own arguments; its output appears line by line behind `[i] `. SIGTERM and
SIGINT are passed on, once each; a process that they kill, because it has just
begun and does not handle them yet, counts as stopped (75). When one process
fails, the others get the grace to end by themselves, then SIGTERM and the grace
again, then SIGKILL. None outlives the launcher, even if that is killed.

The exit code is the most telling one of all processes
(`exit_codes.most_telling`): 0 if all finished; 2, 1 or 77 if any says so, since
a restart would not help; otherwise 76 or 75; 128 + n if signal n killed one and
no other tells more. With --restarts=K, 75 and 76 start all again up to K times,
after 1, 2, 4, ... up to 60 seconds, unless the launcher was asked to stop.
"""

import contextlib
import dataclasses
import os
import queue
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time

from sagan_jax import errors
from sagan_jax.cluster import exit_codes
from sagan_jax.cluster.launchers import guard, plan

_HOST = '127.0.0.1'
_MAX_BACKOFF_SECS = 60
# Of waiting for output; only what left the group could still hold the pipe.
_OUTPUT_SECS = 10
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclasses.dataclass(frozen=True)
class Options:
  """How to run processes on this machine."""

  processes: int = plan.option('how many processes to start')
  devices_per_process: int | None = plan.option(
    "CPU devices of each process, by JAX_NUM_CPU_DEVICES; the user's "
    'environment decides by default',
    None,
  )
  restarts: int = plan.option(
    'how often to start all again when they end with 75 or 76', 0
  )
  grace: float = plan.option(
    'seconds that the others have to end when one has failed, and again after '
    'SIGTERM',
    30.0,
  )
  dry_run: bool = plan.option('print the commands and start nothing', False)


def launch(command, options):
  """Runs a command as several processes until all have ended.

  To be called from the main thread, whose signal handlers it replaces while it
  runs.

  Args:
    command: a list of arguments.
    options: `Options`.

  Returns:
    The exit code, see the top of this file.

  Raises:
    UserError: if an option is out of range or the command cannot be started.
  """
  plan.check_at_least(
    1,
    processes=options.processes,
    devices_per_process=options.devices_per_process,
  )
  plan.check_at_least(0, restarts=options.restarts, grace=options.grace)
  if options.dry_run:
    for i in range(options.processes):
      print(shlex.join(_arguments(command, options, f'{_HOST}:PORT', i)))
    return exit_codes.FINISHED
  events = queue.SimpleQueue()  # Which a signal handler may use.
  with _handling(lambda number, _: events.put(('signal', number))):
    restarts = 0
    while True:
      attempt = _Attempt(command, options, events)
      code = attempt.run()
      if (
        code not in exit_codes.RESTART
        or attempt.asked_to_stop
        or restarts == options.restarts
        or not _wait(restarts, events, options)
      ):
        return code
      restarts += 1


def _wait(restart, events, options):
  """Waits before a restart; returns whether there is to be one."""
  secs = min(2**restart, _MAX_BACKOFF_SECS)
  _say(f'restart {restart + 1} of {options.restarts} in {secs} s')
  try:
    events.get(timeout=secs)
  except queue.Empty:
    return True
  return False  # Only a signal can come in now.


class _Attempt:
  """All processes, from their start to the end of the last."""

  def __init__(self, command, options, events):
    self._command = command
    self._options = options
    self._events = events
    self._processes = []
    self._codes = {}  # {process: exit code} of those that ended by themselves.
    self._running = set()
    self._failed = False
    self._ending = [signal.SIGTERM, signal.SIGKILL]  # To be sent after that,
    self._deadline = None  # and when to send the next.
    self.asked_to_stop = False

  def run(self):
    """Runs all processes to their end; returns the exit code."""
    script = [sys.executable, '-I', guard.__file__, str(self._options.grace)]
    with (
      subprocess.Popen(
        script, stdin=subprocess.PIPE, process_group=0
      ) as watcher,
      contextlib.ExitStack() as stack,
    ):
      # What is left of the group then, and the guard, has nothing to save.
      stack.callback(os.killpg, watcher.pid, signal.SIGKILL)
      output = threading.Lock()
      address = f'{_HOST}:{_free_port()}'
      for i in range(self._options.processes):
        self._start(i, address, watcher.pid, output)
      while self._running:
        self._step()
    for process in self._processes:
      process.join_output()
    return exit_codes.most_telling(self._codes.values())

  def _start(self, i, address, group, output):
    environment = None
    if self._options.devices_per_process:
      devices = str(self._options.devices_per_process)
      environment = os.environ | {'JAX_NUM_CPU_DEVICES': devices}
    arguments = _arguments(self._command, self._options, address, i)
    try:
      popen = subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        process_group=group,
      )
    except OSError as e:
      raise errors.UserError(
        f'cannot run {arguments[0]}: {e.strerror}; correct the command after --'
      ) from e
    self._processes.append(_Process(i, popen, output, self._events))
    self._running.add(i)

  def _step(self):
    """Waits for one event, or the deadline, and acts on it."""
    timeout = None
    if self._deadline is not None:
      timeout = max(0, self._deadline - time.monotonic())
    try:
      kind, *values = self._events.get(timeout=timeout)
    except queue.Empty:
      self._end_others()
      return
    if kind == 'signal':
      self.asked_to_stop = True
      self._send(*values)
    else:
      self._note(*values)

  def _note(self, i, code):
    """Notes that a process has ended."""
    self._running.remove(i)
    if self.asked_to_stop and -code in _SIGNALS:
      code = exit_codes.STOPPED  # It had not come so far as to handle it.
    code = code if code >= 0 else 128 - code
    killed_here = not self._ending and code == 128 + signal.SIGKILL
    if not killed_here:
      self._codes[i] = code
    if code == exit_codes.FINISHED:
      return
    _say(f'process {i} ended with {code} ({exit_codes.describe(code)})')
    if self._running and not self._failed:
      self._failed = True
      self._deadline = time.monotonic() + self._options.grace

  def _end_others(self):
    """Sends the next signal to those that are still there."""
    number = self._ending.pop(0)
    who = ', '.join(map(str, sorted(self._running)))
    _say(f'{number.name} to process {who}, still there')
    self._send(number)
    self._deadline = None  # Nothing comes after SIGKILL.
    if self._ending:
      self._deadline = time.monotonic() + self._options.grace

  def _send(self, number):
    for i in sorted(self._running):
      self._processes[i].popen.send_signal(number)


class _Process:
  """One process, and the threads that follow it."""

  def __init__(self, i, popen, output, events):
    self.popen = popen
    self._threads = [
      _thread(_copy, source, sink, b'[%d] ' % i, output)
      for source, sink in (
        (popen.stdout, sys.stdout),
        (popen.stderr, sys.stderr),
      )
    ]
    _thread(lambda: events.put(('ended', i, popen.wait())))

  def join_output(self):
    """Waits until all that the process wrote has been copied."""
    for thread in self._threads:
      thread.join(_OUTPUT_SECS)


def _thread(function, *arguments):
  thread = threading.Thread(target=function, args=arguments, daemon=True)
  thread.start()
  return thread


def _copy(source, sink, prefix, lock):
  """Copies lines, each whole and behind a prefix."""
  with source:
    for line in source:
      with lock, contextlib.suppress(BrokenPipeError):  # The reader may go.
        sink.flush()
        sink.buffer.write(prefix + line.rstrip(b'\n') + b'\n')
        sink.buffer.flush()


def _arguments(command, options, address, i):
  return [
    *command,
    f'--coordinator_address={address}',
    f'--num_processes={options.processes}',
    f'--process_id={i}',
  ]


def _free_port():
  with socket.socket() as probe:
    probe.bind((_HOST, 0))
    return probe.getsockname()[1]


@contextlib.contextmanager
def _handling(handler):
  before = {number: signal.signal(number, handler) for number in _SIGNALS}
  try:
    yield
  finally:
    for number, old in before.items():
      signal.signal(number, old)


def _say(text):
  with contextlib.suppress(BrokenPipeError):
    print(f'[launch] {text}', file=sys.stderr, flush=True)
