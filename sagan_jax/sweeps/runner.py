"""Runs members as processes of this machine, so many at a time."""

import collections
import contextlib
import dataclasses
import os
import shlex
import signal
import subprocess
import time
from typing import Any

from sagan_jax import files, progress
from sagan_jax.cluster import exit_codes
from sagan_jax.config import schema
from sagan_jax.run import stop
from sagan_jax.sweeps import attempt, lock, manifest, results

_POLL_SECS = 0.1


@dataclasses.dataclass(frozen=True)
class Task:
  """A run that is to reach a step."""

  name: str
  directory: Any  # Local `epath.Path`.
  config: schema.Config
  num_steps: int

  def is_done(self):
    """Whether that step is reached, and all that is due there done."""
    flat = schema.flatten(self.config)
    return results.is_done(self.directory, flat, self.num_steps)


@dataclasses.dataclass
class _Job:
  """A process that trains; of another sweep where `process` is None."""

  task: Task
  slot: int | None  # None on another machine.
  process: subprocess.Popen | None = None
  descriptor: int | None = None  # Of its lock.

  def poll(self):
    """Whether it has ended."""
    if self.process is not None:
      return self.process.poll() is not None
    return not lock.is_held(self.task.directory)

  def terminate(self):
    """Asks it to save its state and end."""
    if self.process is not None:
      self.process.terminate()
      return
    pid, is_here = lock.holder(self.task.directory)
    if pid is not None and is_here and lock.is_held(self.task.directory):
      with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


class Runner:
  """Runs tasks; a failed one ends no other.

  Args:
    trainer: the command that trains, to which --workdir is added.
    jobs: processes at a time.
    restarts: how often a run goes on that was stopped, hung or killed.
    say: called with a line for each event.

  Attributes:
    failed: {name: why} of the runs that are not tried again.
    stopped: {name: why} of those that had no restarts left.
  """

  def __init__(self, trainer, *, jobs, restarts, say=print):
    self._trainer = list(trainer)
    self._jobs = jobs
    self._restarts = restarts
    self._say = say
    self._used = collections.Counter()  # Restarts, by name.
    self._active = []
    self._queue = collections.deque()
    self.failed = {}
    self.stopped = {}

  def run(self, tasks):
    """Runs tasks to their ends, but for those that have failed before.

    Args:
      tasks: list of `Task`.

    Raises:
      Stopped: if a stop was asked for, when all processes have ended.
    """
    left = self.failed | self.stopped
    self._queue.extend(t for t in tasks if t.name not in left)
    with stop.deferred():
      try:
        while self._queue or self._active:
          if stop.requested():
            self._stop()
          self._fill()
          time.sleep(_POLL_SECS)
          self._collect()
      except BaseException:
        for job in self._active:
          job.terminate()
        raise

  def _fill(self):
    while self._queue:
      taken = {job.slot for job in self._active}
      free = [slot for slot in range(self._jobs) if slot not in taken]
      if not free:
        return
      job = self._start(self._queue.popleft(), free[0])
      if job:
        self._active.append(job)

  def _start(self, task, slot):
    """Starts a task; None if it is done."""
    with files.writing(task.directory):
      task.directory.mkdir(parents=True, exist_ok=True)
    descriptor = lock.acquire(task.directory)
    if descriptor is None:
      pid, is_here = lock.holder(task.directory)
      self._say(
        f'{task.name}: runs already'
        + (f' as process {pid}' if is_here else ' on another machine')
      )
      return _Job(task, slot if is_here else None)
    if task.is_done():
      os.close(descriptor)
      return None
    manifest.configure(task.directory, task.config, task.num_steps)
    attempt.begin(task.directory, task.num_steps)
    process = _spawn(
      [*self._trainer, f'--workdir={task.directory}'],
      task.directory / attempt.LOG,
      descriptor,
    )
    _share_cpus(process.pid, slot, self._jobs)
    lock.sign(descriptor, process.pid)
    reached = results.checkpoints(task.directory)
    self._say(
      f'{task.name}: '
      + (f'goes on after step {reached[-1]}' if reached else 'started')
    )
    return _Job(task, slot, process, descriptor)

  def _collect(self):
    for job in list(self._active):
      if not job.poll():
        continue
      self._active.remove(job)
      if job.process is None:  # Whose exit code went to nobody, or elsewhere.
        self._say(f'{job.task.name}: the process that ran already has ended')
        self._queue.append(job.task)
      else:
        self._ended(job)

  def _ended(self, job):
    """Records how a process has ended; queues its task again if that helps."""
    task, code = job.task, job.process.returncode
    name, again = task.name, None
    why = (
      ''
      if code == 0 or code in exit_codes.RESTART
      else _reason(code, task.directory)
    )
    may_go_on = stop.requested() or self._used[name] < self._restarts
    if code in exit_codes.RESTART or (code < 0 and may_go_on):
      again, why = why or f'code {code}', ''
    attempt.end(task.directory, code, why)
    os.close(job.descriptor)
    if why:
      self.failed[name] = why
      self._say(f'{name}: failed: {why}')
    elif code == 0:
      took = progress.duration(attempt.read(task.directory).secs)
      self._say(f'{name}: reached step {task.num_steps} in {took}')
    elif stop.requested():
      self._say(f'{name}: stopped')
    elif self._used[name] < self._restarts:
      self._used[name] += 1
      self._queue.append(task)
      self._say(
        f'{name}: stopped ({again}), restart {self._used[name]} of '
        f'{self._restarts}'
      )
    else:
      self.stopped[name] = f'{again} after {self._restarts} restarts'
      self._say(f'{name}: stopped ({self.stopped[name]})')

  def _stop(self):
    """Stops all processes, which save their states; raises `Stopped`."""
    self._active = [job for job in self._active if job.slot is not None]
    for job in self._active:
      job.terminate()
    count = len(self._active)
    while self._active:
      time.sleep(_POLL_SECS)
      self._collect()
      self._queue.clear()
    raise stop.Stopped(f'stopped {count} runs')


def _spawn(command, log, descriptor):
  with files.writing(log), files.open_to_append(log) as output:
    began = time.strftime('%Y-%m-%d %H:%M:%S')
    output.write(f'--- {began} {shlex.join(command)}\n'.encode())
    output.flush()
    return subprocess.Popen(
      command,
      stdin=subprocess.DEVNULL,
      stdout=output,
      stderr=subprocess.STDOUT,
      pass_fds=[descriptor],
      # Ctrl-C goes to the sweep alone, which passes it on once.
      start_new_session=True,
    )


def _share_cpus(pid, slot, jobs):
  """Gives a process its share of the processors, where there are enough.

  Each would else start as many threads as the machine has processors. All
  shares are of one size: what XLA computes on CPU may depend on it.
  """
  if not hasattr(os, 'sched_setaffinity') or jobs == 1:
    return
  available = sorted(os.sched_getaffinity(0))
  size = len(available) // jobs
  if size:
    with contextlib.suppress(ProcessLookupError):  # It has ended already.
      os.sched_setaffinity(pid, available[slot * size : (slot + 1) * size])


def _reason(code, directory):
  """Why a process has failed, in one line."""
  how = f'code {code}'
  if code < 0:
    how = f'killed by {signal.Signals(-code).name}'
  lines = (directory / attempt.LOG).read_bytes()[-65536:].splitlines()
  texts = [line.decode(errors='replace').strip() for line in lines]
  # Of this attempt: not the line that begins it, nor what is before.
  start = max(i for i, t in enumerate(['---', *texts]) if t.startswith('---'))
  texts = [text for text in texts[start:] if text]
  said = [text for text in texts if text.startswith('error: ')] or texts
  return f'{how}: {said[-1][:300]}' if said else how
