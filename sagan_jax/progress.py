"""How far long work has come: a bar on a terminal, lines elsewhere."""

import math
import sys
import time

import tqdm

_LINE_SECS = 30.0


def say(text: str) -> None:
  """Prints a line on stderr."""
  print(text, file=sys.stderr, flush=True)


class Progress:
  """A bar on a terminal, now and then a line elsewhere.

  A context manager: leaving it ends the bar.
  """

  def __init__(
    self,
    what: str,
    total: int,
    *,
    unit: str,
    done: int = 0,
    quiet_secs: float = 2.0,
  ):
    """Begins.

    Args:
      what: is being done, e.g. 'checking images'.
      total: of the units.
      unit: what is counted, e.g. 'images'; 'B' is shown as kB, MB, GB.
      done: units that were done before.
      quiet_secs: nothing is shown of what takes less time than this, seconds.
    """
    self._what, self._total, self._unit, self._done = what, total, unit, done
    self._next = time.monotonic() + quiet_secs
    self._bar = None
    if sys.stderr.isatty():
      self._bar = tqdm.tqdm(
        desc=what,
        total=total,
        initial=done,
        unit=unit if unit == 'B' else f' {unit}',
        unit_scale=unit == 'B',
        delay=quiet_secs,
      )
    else:
      self.update(0)

  def update(self, count: int) -> None:
    """Counts units that have been done."""
    self._done += count
    if self._bar is not None:
      self._bar.update(count)
    elif time.monotonic() >= self._next:
      self._next = time.monotonic() + _LINE_SECS
      say(f'{self._what}: {self._done:,} of {self._total:,} {self._unit}')

  def __enter__(self):
    return self

  def __exit__(self, *unused_exc_info):
    if self._bar is not None:
      self._bar.close()


def counter(what, total, say):
  """Shows how far a count is: a bar on a terminal, plain lines elsewhere.

  Args:
    what: is counted.
    total: where it ends.
    say: called with a line every ten seconds where there is no terminal.

  Returns:
    A function to call with the count so far.
  """
  bar = None
  if sys.stderr.isatty():
    bar = tqdm.tqdm(desc=what, total=total, leave=False, dynamic_ncols=True)
  began = last = time.perf_counter()

  def report(done):
    nonlocal last
    if bar is not None:
      bar.update(done - bar.n)
      if done >= total:
        bar.close()
      return
    now = time.perf_counter()
    if now - last > 10:
      last = now
      left = (now - began) / done * (total - done)
      say(f'{what}: {done}/{total}, ETA {duration(left)}')

  return report


def duration(secs):
  """Formats seconds as 1d02h, 3h04m, 5m06s or 7s."""
  minutes, s = divmod(math.ceil(secs), 60)
  hours, m = divmod(minutes, 60)
  days, h = divmod(hours, 24)
  if days:
    return f'{days}d{h:02}h'
  if hours:
    return f'{h}h{m:02}m'
  return f'{m}m{s:02}s' if minutes else f'{s}s'
