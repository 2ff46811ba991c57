"""The metrics of steps: when they are looked at, written and refused."""

import types

import numpy as np
import pytest

from sagan_jax import errors
from sagan_jax.run import log, step_log


class _Checkpointer:
  def __init__(self, steps=()):
    self._steps = list(steps)
    self.checks = 0

  def steps(self):
    return self._steps

  def check(self):
    self.checks += 1

  def wait(self):
    pass


class _Writer:
  def __init__(self):
    self.rows = []

  def write(self, step, scalars):
    self.rows.append((step, scalars))


class _Progress:
  say = print

  def begin(self):
    pass

  def report(self, step, scalars, shares):
    del step, scalars
    assert set(shares) == set(step_log.SECTIONS)


def _log(every_steps=1, steps=(), dtype='float32'):
  config = types.SimpleNamespace(
    log=types.SimpleNamespace(every_steps=every_steps),
    num_steps=20,
    batch_size=8,
    dtype=dtype,
    max_nonfinite=2,
  )
  run = types.SimpleNamespace(config=config, checkpointer=_Checkpointer(steps))
  writer = _Writer()
  made = step_log.StepLog(run, writer, _Progress(), log.Clock())
  made.begin(0)
  return made, writer.rows, run.checkpointer


def _metrics(d_loss=1.0, g_loss=2.0):
  return {'d_loss': np.float32(d_loss), 'g_loss': np.float32(g_loss)}


def test_a_row_is_written_one_step_late_or_when_flushed():
  made, rows, _ = _log()
  made.add(1, _metrics(d_loss=3.0))
  assert rows == []
  made.add(2, _metrics())
  (row,) = rows
  assert row[0] == 1 and row[1]['train/d_loss'] == 3.0
  made.flush()
  assert [step for step, _ in rows] == [1, 2]
  made.flush()  # Nothing is left.
  assert len(rows) == 2


def test_only_multiples_are_written():
  made, rows, _ = _log(every_steps=3)
  for step in range(1, 8):
    made.add(step, _metrics())
  made.flush()
  assert [step for step, _ in rows] == [3, 6]


def test_a_row_tells_speed_and_time_left():
  made, rows, _ = _log(every_steps=2)
  for step in range(1, 4):
    made.add(step, _metrics())
  scalars = rows[0][1]
  assert scalars['perf/images_per_sec'] > 0
  assert scalars['perf/eta_secs'] > 0
  assert {f'perf/{x}_share' for x in step_log.SECTIONS} <= scalars.keys()


@pytest.mark.parametrize('name', ['d_loss', 'g_loss'])
@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_is_refused_with_its_step(name, value):
  made, rows, _ = _log(every_steps=5)
  made.add(1, _metrics(**{name: value}))  # Also if no row is due for it.
  made.add(2, _metrics())
  match = (
    rf'{name} is {value} at step 1; no state is saved yet\. Lower --config'
  )
  with pytest.raises(errors.UserError, match=match):
    made.flush()
  assert rows == []


@pytest.mark.parametrize(
  ('steps', 'dtype', 'advice'),
  [
    (
      (),
      'float32',
      'no state is saved yet. Lower --config.optim.*.learning_rate',
    ),
    (
      (2, 7),
      'float32',
      'the last good checkpoint is of step 7. Lower '
      '--config.optim.*.learning_rate',
    ),
    (
      (2,),
      'bfloat16',
      'the last good checkpoint is of step 2. Lower '
      '--config.optim.*.learning_rate, or set --config.dtype=float32',
    ),
  ],
)
def test_advice_is_true(steps, dtype, advice):
  made, _, _ = _log(steps=steps, dtype=dtype)
  assert made.advice() == advice


def test_a_save_that_failed_is_noticed_with_the_next_row():
  made, _, checkpointer = _log()
  made.add(1, _metrics())
  assert checkpointer.checks == 0
  made.flush()
  assert checkpointer.checks == 1
