"""SIGTERM, Ctrl-C, storms of both; a second one while the state is saved."""

import signal

from sagan_jax.cluster import exit_codes
from sagan_jax.drills import faults
from sagan_jax.drills.outcomes import Failed

_SAVED = r'stopped after step \d+, which is saved'
_STORM = 5  # Signals.
_AT_ONCE_SECS = 20


def signals(trial):
  """One each, and a storm, each in the run that goes on after the last."""
  steps = iter((2, 5, 8))
  done = []
  for name, numbers in (
    ('SIGTERM', [signal.SIGTERM]),
    ('Ctrl-C', [signal.SIGINT]),
    (f'{_STORM} SIGTERM', [signal.SIGTERM] * _STORM),
  ):
    child = trial.start()
    child.wait_for_row(next(steps))
    for number in numbers:
      if child.runs():
        child.send(number)
        child.sleep(trial.draw.uniform(0.02, 0.2))
    codes = [exit_codes.FINISHED, exit_codes.STOPPED]
    if len(numbers) > 1:  # The second of them ends it at once.
      codes.append(128 + signal.SIGTERM)
    code, output = child.end(*codes)
    if code == exit_codes.STOPPED and not _is_saved(output):
      raise Failed(f'stopped without saying that it was saved; {child}')
    if code != exit_codes.FINISHED:
      done.append(f'{name}: code {code}')
  if len(done) < 2:
    raise Failed('the run was over before the signals came')
  trial.finish()
  return '; '.join(done)


def _is_saved(output):
  # Before the first step there is nothing to save.
  return 'which is saved' in output or 'compiled in' not in output


def second_signal(trial):
  """While a save does not end, a second signal ends the process at once."""
  for first, second in (
    (signal.SIGTERM, signal.SIGTERM),
    (signal.SIGTERM, signal.SIGINT),
  ):
    child = trial.start('wait-stall')
    child.wait_for_row(2)
    child.send(first)
    if not child.wait_for_text(faults.MARK):
      raise Failed(f'ended before the second signal; {child}')
    child.send(second)
    child.end(128 + second, told='at once', within=_AT_ONCE_SECS)
  trial.finish()
  return 'SIGTERM, then SIGTERM or Ctrl-C while it is saved'
