"""Data that stalls or fails, crashes, and processes that hang."""

import signal

from sagan_jax.cluster import exit_codes
from sagan_jax.drills.outcomes import Failed

_WATCHDOG_SECS = 8
_STOP_SECS = 60


def stalled_data(trial):
  """The source gives no more batches; it is named, and SIGTERM works."""
  child = trial.start('dry:4', flags=['--config.stall_secs=1'])
  name = trial.drill.config.dataset.name
  if not child.wait_for_text(f'no batch from {name} for'):
    raise Failed(f'ended while its data stalled; {child}')
  child.send(signal.SIGTERM)
  child.end(
    exit_codes.STOPPED,
    told='stopped after step 4, which is saved',
    within=_STOP_SECS,
  )
  trial.finish(told='resuming after step 4')
  return f'{name} named; SIGTERM saved step 4'


def unreadable_data(trial):
  """The source raises an error; what was reached is saved."""
  trial.start('unreadable:5').end(exit_codes.REFUSED, told='cannot read x.png')
  trial.finish(told='resuming after step 5')
  return 'code 2, step 5 saved'


def crashes(trial):
  """An exception inside a step, and a crash of native code during a save."""
  trial.start('raise:5').end(exit_codes.FAILED, told='KeyError')
  trial.start('saving-crash').end(128 + signal.SIGSEGV)
  trial.finish()
  return 'an exception (code 1), a segmentation fault during a save'


def hangs(trial):
  """Stopped by SIGSTOP, and with the interpreter's lock held."""
  watched = [f'--watchdog_secs={_WATCHDOG_SECS}']
  for fault in 'stop:4', 'lock:7':
    trial.start(fault, flags=watched).end(
      exit_codes.HUNG, told=r'watchdog: no \w+ .*for \d+ s'
    )
  trial.finish()
  return f'ended by the watchdog ({_WATCHDOG_SECS} s): code 76'
