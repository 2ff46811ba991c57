"""What becomes of evaluations: records, the best checkpoint, commands."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax import errors
from sagan_jax.checkpoints import checkpoint
from sagan_jax.evaluation import evaluator as evaluator_lib
from sagan_jax.evaluation import protocol, tables
from sagan_jax.run import scoreboard, trainer
from tests.support import tiny

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def small():
  with tiny.small_networks():
    yield


@pytest.fixture
def run(tmp_path):
  opened = tiny.opened(tmp_path)
  yield opened
  opened.checkpointer.close()


def _at(state, step):
  return dataclasses.replace(state, step=jnp.int32(step))


def _records(run):
  return protocol.read(run.workdir / 'evaluations.jsonl')


class _Scored:
  """An evaluator whose scores are given."""

  def __init__(self, values, metric='fid_random', **protocol):
    self._values, self._metric, self._protocol = values, metric, protocol

  def check(self, *, best):
    assert best

  def main_metric(self):
    return self._metric

  def of_state(self, sampler, state):
    del sampler
    step = int(state.step)
    made_by = {
      'weights': 'ema',
      'bn_statistics': 'standing',
      'truncation': None,
      'step': step,
      'num_fake': 4,
      'num_real': 5,
      'extractor': 'given',
    }
    scores = {self._metric: self._values[step], 'other': 1.0}
    made_by |= self._protocol
    return [{'protocol': made_by, 'scores': scores, 'per_class': {}}]


def _evaluations(run, start, *args, say=lambda _: None, **kwargs):
  made = scoreboard.Scoreboard(run, start, say)
  made._evaluator = _Scored(*args, **kwargs)
  return made


def _open_best(run):
  return checkpoint.Checkpointer(
    run.workdir / 'best', keep_last=1, writes=False
  )


def _best(run):
  """The steps that are kept as best."""
  keeper = _open_best(run)
  steps = keeper.steps()
  keeper.close()
  return steps


def test_a_state_is_scored_recorded_and_told(run):
  said = []
  made = scoreboard.Scoreboard(run, 0, said.append)
  scalars = made.of_state(_at(run.init(), 3))
  assert scalars.keys() == {'eval/fid_random/ema_standing', 'perf/eval_secs'}
  (record,) = _records(run)
  value = record['scores']['fid_random']
  assert scalars['eval/fid_random/ema_standing'] == value
  assert record['protocol']['step'] == 3
  assert said[-1] == (
    f'step 3: fid_random {value:.4g} (ema_standing, 16 fakes against 32 real '
    'images, random-conv-seed-0)'
  )
  assert 'fid_random' in (run.workdir / 'scores' / 'scores.md').read_text()
  assert made.has(3) and not made.has(4)
  assert _best(run) == [3]


def test_truncations_are_told_apart_in_the_log(tmp_path):
  run = tiny.opened(tmp_path, eval__truncations=(0.5,))
  made = scoreboard.Scoreboard(run, 0, lambda _: None)
  scalars = made.of_state(run.init())
  names = {'eval/fid_random/ema_standing', 'eval/fid_random/ema_standing_0.5'}
  assert names < scalars.keys()
  run.checkpointer.close()


@pytest.mark.parametrize(
  ('metric', 'best'),
  [('fid_random', 20), ('is', 30), ('precision_768', 30)],
)
def test_the_best_is_kept_by_the_direction_of_the_metric(run, metric, best):
  values = {10: 4.0, 20: 3.0, 30: 5.0, 40: 5.0}
  made = _evaluations(run, 0, values, metric)
  state = run.init()
  for step in values:
    made.of_state(_at(state, step))
  assert _best(run) == [best]
  assert [r['protocol']['step'] for r in _records(run)] == list(values)


def test_the_best_can_be_restored(run):
  made = _evaluations(run, 0, {10: 1.0, 20: 2.0})
  state = run.init()
  marked = jax.tree.map(lambda x: x + 1, state.ema_params)
  made.of_state(_at(dataclasses.replace(state, ema_params=marked), 10))
  made.of_state(_at(state, 20))
  keeper = _open_best(run)
  found = keeper.restore(state, 10)
  keeper.close()
  for x, y in zip(
    jax.tree.leaves(found.ema_params), jax.tree.leaves(marked), strict=True
  ):
    np.testing.assert_array_equal(x, y)


def test_scores_of_another_protocol_do_not_hinder_the_best(run):
  state = run.init()
  _evaluations(run, 0, {10: 1.0}).of_state(_at(state, 10))
  _evaluations(run, 10, {20: 2.0}, num_fake=8).of_state(_at(state, 20))
  assert _best(run) == [20]


def test_a_resumed_run_drops_what_came_later(run):
  state = run.init()
  values = {10: 3.0, 20: 4.0, 30: 2.0}
  made = _evaluations(run, 0, values)
  for step in values:
    made.of_state(_at(state, step))
  assert _best(run) == [30]
  made = _evaluations(run, 20, {30: 3.5, 40: 3.75})
  assert [r['protocol']['step'] for r in _records(run)] == [10, 20]
  assert _best(run) == []
  # Step 10 was better, but its state is gone: the best of what is there.
  made.of_state(_at(state, 30))
  made.of_state(_at(state, 40))
  assert _best(run) == [30]
  assert [r['scores']['fid_random'] for r in _records(run)] == [
    3.0,
    4.0,
    3.5,
    3.75,
  ]


def test_a_step_that_is_scored_again_replaces_its_record(run):
  state = run.init()
  for value in (3.0, 2.0):
    _evaluations(run, 10, {10: value}).of_state(_at(state, 10))
  (record,) = _records(run)
  assert record['scores']['fid_random'] == 2.0
  assert _best(run) == [10]


def test_a_failure_is_recorded_and_made_good(run, monkeypatch):
  said = []
  made = scoreboard.Scoreboard(run, 0, said.append)
  state = run.init()

  def fail(*args):
    del args
    raise ValueError('no features')

  with monkeypatch.context() as patch:
    patch.setattr(evaluator_lib.Evaluator, 'of_state', fail)
    assert made.of_state(_at(state, 3)) == {}
  error = {'protocol': {'step': 3}, 'error': 'ValueError: no features'}
  assert _records(run) == [error]
  assert made.has(3)
  assert said[-1] == 'step 3: the evaluation failed: ValueError: no features'
  assert not (run.workdir / 'scores').exists()
  assert made.of_state(_at(state, 3))
  (record,) = _records(run)
  assert 'scores' in record


def test_training_outlives_its_evaluations(tmp_path, monkeypatch):
  evaluated = []

  def fail(self, sampler, state):
    del self, sampler
    evaluated.append(int(state.step))
    raise MemoryError('too much')

  monkeypatch.setattr(evaluator_lib.Evaluator, 'of_state', fail)
  run = tiny.opened(tmp_path, eval__every_steps=2)
  state = trainer.Trainer(run).train()
  assert int(state.step) == 6 and evaluated == [2, 4, 6]
  assert [r['error'] for r in _records(run)] == ['MemoryError: too much'] * 3


BAD_PROTOCOLS = pytest.mark.parametrize(
  ('changes', 'error'),
  [
    ({'eval__best_metric': 'recall'}, "there is no metric 'recall' among"),
    ({'eval__num_reals': 65}, '65 real images were asked for, shapes has 64'),
    ({'eval__num_fakes': 1}, 'fid needs at least 2'),
    (
      {'eval__inception_path': '/none', 'eval__extractor': 'inception'},
      'no Inception weights at /none',
    ),
  ],
)


@BAD_PROTOCOLS
def test_what_cannot_work_is_refused_beforehand(
  tmp_path, monkeypatch, changes, error
):
  run = tiny.opened(tmp_path, **changes)
  made = scoreboard.Scoreboard(run, 0, lambda _: None)

  def compiles(*args, **kwargs):
    del args, kwargs
    raise AssertionError('something was compiled')

  monkeypatch.setattr(jax, 'jit', lambda _, **__: compiles)
  with pytest.raises(errors.UserError, match=error):
    made.check()
  assert _records(run) == []
  made.close()
  run.checkpointer.close()


@BAD_PROTOCOLS
def test_a_bad_protocol_that_nobody_checked_is_a_failure(
  tmp_path, changes, error
):
  run = tiny.opened(tmp_path, **changes)
  made = scoreboard.Scoreboard(run, 0, lambda _: None)
  assert made.of_state(run.init()) == {}
  assert error in _records(run)[0]['error']
  made.close()
  run.checkpointer.close()


class _Stopped(BaseException):
  """What a run raises to stop between two batches."""


def test_a_stop_passes_through_and_leaves_no_record(run):
  def counter(what, total, say):
    del what, total, say

    def count(done):
      del done
      raise _Stopped

    return count

  made = scoreboard.Scoreboard(run, 0, lambda _: None, counter)
  made.check()
  state = run.init()
  with pytest.raises(_Stopped):
    made.of_state(state)
  assert _records(run) == [] and not made.has(0) and _best(run) == []
  # And it goes on where it was: nothing is half made.
  again = scoreboard.Scoreboard(run, 0, lambda _: None)
  assert again.of_state(state) and again.has(0)


def test_a_failing_report_keeps_the_record(run, monkeypatch):
  def fail(directory, records):
    del directory, records
    raise OSError('no space left')

  said = []
  made = _evaluations(run, 0, {3: 1.0}, say=said.append)
  with monkeypatch.context() as patch:
    patch.setattr(tables, 'write', fail)
    assert made.of_state(_at(run.init(), 3))
  assert made.has(3) and _records(run)[0]['scores']['fid_random'] == 1.0
  assert any('could not be made (OSError: no space left)' in x for x in said)
  # The plots are made again next time.
  made._evaluator._values[6] = 2.0
  made.of_state(_at(run.init(), 6))
  assert '| 3 |' in (run.workdir / 'scores' / 'scores.md').read_text()


def test_a_record_that_cannot_be_written_ends_the_training(run, monkeypatch):
  made = _evaluations(run, 0, {3: 1.0})

  def fail(path, before, records):
    del before, records
    raise errors.UserError(f'cannot write {path}')

  monkeypatch.setattr(protocol, 'append', fail)
  with pytest.raises(errors.UserError, match='cannot write .*evaluations'):
    made.of_state(_at(run.init(), 3))


def test_damaged_records_are_refused_where_the_run_is_opened(run):
  path = run.workdir / 'evaluations.jsonl'
  path.write_text('{"protocol": {"step": 2}, "error": "x"}\n{"pro\n')
  with pytest.raises(errors.UserError, match=r'evaluations.jsonl:2 is damaged'):
    scoreboard.Scoreboard(run, 0)


def test_what_another_command_records_meanwhile_stays(run):
  made, beside = (_evaluations(run, 0, {3: 1.0, 6: 2.0}) for _ in range(2))
  state = run.init()
  beside.score(_at(state, 6))
  made.of_state(_at(state, 3))
  assert [r['protocol']['step'] for r in _records(run)] == [6, 3]
  made.of_state(_at(state, 6))  # Scored again, in place of the other.
  assert [r['protocol']['step'] for r in _records(run)] == [3, 6]


def test_scores_stay_where_the_best_state_cannot_be_saved(run, monkeypatch):
  made = _evaluations(run, 0, {3: 1.0})

  def fail(state):
    raise errors.UserError(f'no space for step {state.step}')

  monkeypatch.setattr(made._best, 'save', fail)
  with pytest.raises(errors.UserError, match='no space for step 3'):
    made.of_state(_at(run.init(), 3))
  assert [r['scores']['fid_random'] for r in _records(run)] == [1.0]
  assert made.row(3)['eval/fid_random/ema_standing'] == 1.0
  assert made.row(4) == {}
