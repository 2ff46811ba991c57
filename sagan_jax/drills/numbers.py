"""A batch that makes losses NaN: stop, skip, roll back."""

import json
import signal
import threading

from sagan_jax import files
from sagan_jax.cluster import exit_codes
from sagan_jax.drills import evidence
from sagan_jax.drills.outcomes import Failed
from sagan_jax.gan import state as state_lib
from sagan_jax.run import rollbacks

_lock = threading.Lock()  # Several cases compare with one run.


def stop(trial):
  """Stops, keeps what was good, and goes on when the data is mended."""
  wanted = _plain(trial)
  step, good = _steps(trial)
  child = trial.start(_poison(trial, step))
  child.end(
    exit_codes.REFUSED,
    told=rf'nan at step {step}; the last good checkpoint is of step {good}',
  )
  if max(trial.checkpoints()) != good:
    raise Failed(f'saved {trial.checkpoints()}, of which {good} is good')
  trial.start(_poison(trial, 0)).end(exit_codes.FINISHED)
  trial.compare(wanted)
  return f'code 2 at step {step}; on from {good} when mended'


def skip(trial):
  """Leaves out the update, and no other row before it changes."""
  plain = _plain(trial)
  step, _ = _steps(trial)
  trial.start(_poison(trial, step), flags=['--config.on_nonfinite=skip']).end(
    exit_codes.FINISHED, told=f'step {step}: left out'
  )
  found = evidence.rows(trial.workdir)
  left_out = [row['step'] for row in found if 'nonfinite/d_skipped' in row]
  if left_out != [step]:
    raise Failed(f'left out the updates of steps {left_out}, not of {step}')
  _check_start(found, plain.rows, step)
  _check_finite(trial)
  return f'the update of step {step} alone'


def roll_back(trial):
  """Goes back and draws anew; killed after that, it is the same."""
  plain = _plain(trial)
  step, good = _steps(trial)
  flags = ['--config.on_nonfinite=rollback']
  told = f'Rolled back to step {good} '
  straight = trial.folder / 'straight'
  fault = _poison(trial, step)
  trial.start(fault, workdir=straight, flags=flags).end(
    exit_codes.FINISHED, told=told
  )
  made = files.read_json(straight / rollbacks.FILE)
  if made != [{'from': step, 'to': good}]:
    raise Failed(f'recorded {json.dumps(made)} in {rollbacks.FILE}')
  child = trial.start(fault, flags=flags)
  if not (child.wait_for_text(told) and child.wait_for_row(step)):
    raise Failed(f'ended before it was killed; {child}')
  child.send(signal.SIGKILL)
  child.end(128 + signal.SIGKILL)
  trial.start(fault, flags=flags).end(exit_codes.FINISHED)
  trial.compare(evidence.of(straight))
  _check_start(evidence.rows(trial.workdir), plain.rows, good)
  _check_finite(trial)
  return f'from {step} to {good}; killed after that, the same to the bit'


def _steps(trial):
  """The step to poison, and that of the last checkpoint before it."""
  c = trial.drill.config
  good = c.checkpoint.every_steps * 2
  return good + max(1, c.checkpoint.every_steps - 1), good


def _poison(trial, step):
  return f'poison:{step},{trial.drill.config.seed}'


def _plain(trial):
  """Evidence of a run of the networks that find poison, without any."""
  path = trial.drill.workdir / 'unpoisoned'
  with _lock:
    if not path.exists():
      trial.start(_poison(trial, 0), workdir=path).end(exit_codes.FINISHED)
    return evidence.of(path)


def _check_start(rows, plain, step):
  if [r for r in rows if r['step'] < step] != [
    r for r in plain if r['step'] < step
  ]:
    raise Failed(f'rows before step {step} are not as without poison')


def _check_finite(trial):
  with evidence.reader(trial.workdir) as reader:
    if not state_lib.all_finite(reader.restore(max(reader.steps()))):
      raise Failed('the last state is not finite')
