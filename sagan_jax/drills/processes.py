"""The processes of a drill: started, waited for, signalled, and none left."""

import pathlib
import re
import subprocess
import threading
import time
from collections.abc import Callable

from sagan_jax.cluster import children, exit_codes
from sagan_jax.drills.outcomes import Failed
from sagan_jax.run import directory

_STEP = re.compile(rb'^\{"step": (\d+),', re.MULTILINE)
_POLL_SECS = 0.005
_OUTPUT_SECS = 10  # What is left of a launch may hold the pipe.


class Child:
  """A process that trains, and what it says.

  Args:
    argv: of it.
    workdir: of its run.
    log: file that takes its output.
    environment: of it.
    limit_secs: after which it counts as hung.

  Attributes:
    pid: its number.
    first_row: step of the first row that can be no other process's.
  """

  def __init__(self, argv, workdir, log, environment, limit_secs):
    self.workdir = workdir
    self.log = pathlib.Path(log)
    self._limit_secs = limit_secs
    self.first_row = last_step(workdir) + 1
    self.process = children.start(
      argv,
      stdin=subprocess.DEVNULL,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      env=environment,
    )
    self.pid = self.process.pid
    # Not to a file: its own might be limited, as if the disk were full.
    self._copying = threading.Thread(target=self._copy, daemon=True)
    self._copying.start()

  def _copy(self):
    source = self.process.stdout
    assert source  # It is a pipe.
    with source, open(self.log, 'wb') as target:
      for line in source:
        target.write(line)
        target.flush()

  def output(self) -> str:
    """What it has said so far."""
    if not self.log.exists():
      return ''
    return self.log.read_text(errors='replace')

  def runs(self) -> bool:
    """Whether it has not ended."""
    return self.process.poll() is None

  def wait_for_row(self, step: int) -> bool:
    """Waits for the row of a step; returns whether it still runs."""
    return self._wait(lambda: last_step(self.workdir) >= step)

  def wait_for_text(self, text: str) -> bool:
    """Waits until it has said something; returns whether it still runs."""
    return self._wait(lambda: text in self.output())

  def sleep(self, secs: float) -> bool:
    """Waits for some time; returns whether it still runs."""
    end = time.monotonic() + secs
    return self._wait(lambda: time.monotonic() >= end)

  def _wait(self, done: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + self._limit_secs
    while self.runs():
      if done():
        return True
      if time.monotonic() > deadline:
        raise Failed(f'nothing happened for {self._limit_secs:.0f} s; {self}')
      time.sleep(_POLL_SECS)
    return False

  def send(self, number: int) -> None:
    """Sends it a signal."""
    self.process.send_signal(number)

  def end(self, *codes: int, told: str = '', within: float | None = None):
    """Waits for its end, and checks how it was.

    Args:
      *codes: that are allowed, 128 + n for one that signal n killed.
      told: pattern of what it must have said.
      within: seconds; None for any time that is no hanging.

    Returns:
      (its exit code, its output).

    Raises:
      Failed: if it ended otherwise.
    """
    try:
      code = self.process.wait(self._limit_secs if within is None else within)
    except subprocess.TimeoutExpired as e:
      raise Failed(f'still there after {e.timeout:.0f} s; {self}') from e
    finally:
      children.kill(self.process)
      self._copying.join(_OUTPUT_SECS)
    code = code if code >= 0 else 128 - code
    output = self.output()
    if code not in codes:
      wanted = ' or '.join(map(str, codes))
      raise Failed(
        f'ended with {code} ({exit_codes.describe(code)}), not {wanted}; {self}'
      )
    if told and not re.search(told, output):
      raise Failed(f'did not say {told!r}; {self}')
    if exit_codes.FAILED not in codes and 'Traceback' in output:
      raise Failed(f'showed a traceback; {self}')
    return code, output

  def __str__(self):
    lines = [x for x in self.output().splitlines() if x.strip()]
    last = lines[-1][:200] if lines else 'it said nothing'
    return f'{last} ({self.log})'


def last_step(workdir) -> int:
  """The last step in the log of a run, damaged or not; 0 if there is none."""
  path = workdir / directory.LOG
  text = path.read_bytes() if path.exists() else b''
  return max(map(int, _STEP.findall(text)), default=0)
