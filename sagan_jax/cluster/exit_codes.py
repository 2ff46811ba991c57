"""The exit codes of a process that trains or evaluates.

Whatever starts processes (`sagan_jax.launch`, a cluster's scheduler, a sweep)
decides by them alone whether to run the same command again.
"""

import signal

FINISHED = 0
FAILED = 1  # A fault of this package; do not restart.
REFUSED = 2  # For a reason that the user can mend; do not restart.
STOPPED = 75  # Stopped and saved (EX_TEMPFAIL of sysexits.h); restart.
HUNG = 76  # Ended by the watchdog, or because a neighbor died; restart.
NO_PROGRESS = 77  # None since the last restart; do not restart.

RESTART = (STOPPED, HUNG)
DO_NOT_RESTART = (REFUSED, FAILED, NO_PROGRESS)

_MEANINGS = {
  FINISHED: 'finished',
  FAILED: 'failed',
  REFUSED: 'refused or failed for a reason that you can mend',
  STOPPED: 'stopped and saved',
  HUNG: 'hung, or a neighbor died',
  NO_PROGRESS: 'no progress since the last restart',
}


def most_telling(codes):
  """Returns the one exit code that stands for those of several processes.

  In this order: 2, 1, 77, any code not listed here, 76, 75, 128 + n (killed by
  signal n), 0. So a failure that a restart would repeat wins over 'a neighbor
  died', which its neighbors say of it, and that over the bare death of the
  neighbor, of which a restart is the cure.

  Args:
    codes: exit codes, 128 + n for a process that signal n killed.
  """
  last = (HUNG, STOPPED)

  def rank(code):
    if code in DO_NOT_RESTART:
      return DO_NOT_RESTART.index(code)
    if code in last:
      return 10 + last.index(code)
    if code == FINISHED:
      return 30
    return 20 if code > 128 else 5

  return min(codes, key=lambda code: (rank(code), code))


def describe(code):
  """Says what an exit code means, in a few words."""
  if code in _MEANINGS:
    return _MEANINGS[code]
  try:
    return f'killed by {signal.Signals(code - 128).name}'
  except ValueError:
    return 'of no known meaning'
