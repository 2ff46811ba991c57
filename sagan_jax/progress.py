"""How far long work has come: a bar on a terminal, lines elsewhere."""

import math
import sys
import time

import tqdm


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
