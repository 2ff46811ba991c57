"""`kill -9`, SIGTERM, Ctrl-C, a storm of signals, one while the state is saved.

Each comes to the run that goes on after the one before.
"""

import signal

from sagan_jax.cluster import exit_codes
from sagan_jax.drills import faults
from sagan_jax.drills.outcomes import Failed

_SAVED = 'which is saved'
_KILLED = 128 + signal.SIGKILL
_AT_ONCE = 128 + signal.SIGTERM  # By the second signal.
_AT_ONCE_SECS = 20
_STORM = 5  # Signals.


def signals(trial):
  """All of them at some step of one run, which must lose nothing."""
  done = [
    _one(trial, signal.SIGKILL, _KILLED),
    _one(trial, signal.SIGTERM, exit_codes.STOPPED, told=_SAVED),
    _while_saving(trial),
    _one(trial, signal.SIGINT, exit_codes.STOPPED, told=_SAVED),
    _storm(trial),
  ]
  if done.count(None) > 1:
    raise Failed('the run was over before the signals came')
  trial.finish()
  return '; '.join(filter(None, done))


def _one(trial, number, code, told=''):
  """Sends one signal after a step; None if the run was over before."""
  child = trial.start()
  if child.wait_for_row(child.first_row + 1):
    child.send(number)
  found, output = child.end(code, exit_codes.FINISHED)
  if found == exit_codes.FINISHED:
    return None
  if told not in output:
    raise Failed(f'did not say {told!r}; {child}')
  return f'{number.name}: {found}'


def _storm(trial):
  child = trial.start()
  child.wait_for_row(child.first_row)
  for _ in range(_STORM):
    if child.runs():
      child.send(signal.SIGTERM)
      child.sleep(trial.draw.uniform(0.02, 0.2))
  found, _ = child.end(_AT_ONCE, exit_codes.STOPPED, exit_codes.FINISHED)
  return None if not found else f'{_STORM} SIGTERM: {found}'


def _while_saving(trial):
  """Sends a second one while a save does not end."""
  child = trial.start('wait-stall')
  child.wait_for_row(child.first_row)
  child.send(signal.SIGTERM)
  if not child.wait_for_text(faults.MARK):
    raise Failed(f'ended before the second signal; {child}')
  child.send(signal.SIGTERM)
  child.end(_AT_ONCE, told='at once', within=_AT_ONCE_SECS)
  return f'a second one during a save: {_AT_ONCE}'
