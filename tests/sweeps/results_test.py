"""Tests of what is read from the files of runs, also while they are written."""

import json
import os
import time

import pytest
from etils import epath

from sagan_jax import errors
from sagan_jax.sweeps import attempt, lock, results

CONFIG = {'eval.every_steps': 10, 'num_steps': 20}
ENTRY = {
  'name': 'a',
  'directory': 'a',
  'setting': 'x=1',
  'seed': 3,
  'num_steps': 20,
}


@pytest.fixture
def run(tmp_path):
  """The directory of a run that has begun nothing."""
  path = epath.Path(tmp_path / 'a')
  path.mkdir()
  (path / 'config.json').write_text(json.dumps(CONFIG))
  return path


def write_lines(path, *rows):
  path.write_text(''.join(json.dumps(row) + '\n' for row in rows))


def reach(run, step, *, samples=True, scores=True):
  """Makes the files of a run that has come to a step."""
  (run / 'checkpoints' / f'{step}').mkdir(parents=True)
  (run / 'samples').mkdir(exist_ok=True)
  for weights in ('raw', 'ema') if samples else ():
    (run / 'samples' / f'{step:08d}_{weights}.png').touch()
  if scores:
    write_lines(run / 'evaluations.jsonl', {'card': {'step': step}})


def state(run):
  return results.read(run.parent, ENTRY).state


def test_missing(run):
  assert state(run) == 'missing'
  (run / 'config.json').unlink()
  assert state(run) == 'missing'


def test_finished_is_all_that_is_due_at_the_end(run):
  reach(run, 20)
  assert state(run) == 'finished'
  assert results.read(run.parent, ENTRY).step == 20


@pytest.mark.parametrize('without', ['samples', 'scores'])
def test_a_run_killed_in_its_last_events_is_not_finished(run, without):
  reach(run, 20, **{without: False})
  assert state(run) == 'stopped'
  attempt.write(run, attempt.Attempt(num_steps=20, exit_code=0))
  assert state(run) == 'finished'


def test_a_run_that_is_never_scored_is_finished_without_scores(run):
  (run / 'config.json').write_text(json.dumps({'eval.every_steps': None}))
  reach(run, 20, scores=False)
  assert state(run) == 'finished'


def test_an_earlier_end_is_no_end(run):
  reach(run, 10)
  attempt.write(run, attempt.Attempt(num_steps=10, exit_code=0))
  assert state(run) == 'stopped'
  assert results.read(run.parent, ENTRY).step == 10
  assert results.is_done(run, CONFIG, 10)
  assert results.is_done(run, CONFIG, 5)
  assert not results.is_done(run, CONFIG, 11)


def test_a_half_written_checkpoint_is_none(run):
  (run / 'checkpoints' / '20.orbax-checkpoint-tmp-1').mkdir(parents=True)
  (run / 'checkpoints' / '10').mkdir()
  assert results.checkpoints(run) == [10]


def test_a_run_of_a_scheduler_runs_while_its_log_is_fresh(run):
  write_lines(run / 'metrics.jsonl', {'step': 7})
  assert state(run) == 'running'
  old = time.time() - 3600
  os.utime(run / 'metrics.jsonl', (old, old))
  assert state(run) == 'stopped'


def test_rows_are_read_while_they_are_written(run):
  text = (
    '{"step": 5, "perf/images_per_sec": 4}\n{"step": 6}\n[1]\n{"step": 7, "p'
  )
  (run / 'metrics.jsonl').write_text(text)
  protocol = {'step': 5, 'weights': 'raw', 'truncation': 0.5, 'num_fake': 9}
  record = {'card': protocol, 'scores': {'kid': 1, 'kid_std': 3}}
  none = {'card': protocol, 'scores': {'is': None}}
  failure = {'card': {'step': 6}, 'error': 'OSError'}
  write_lines(run / 'evaluations.jsonl', record, none, failure, [])
  with (run / 'evaluations.jsonl').open('ab') as file:
    file.write(b'{"card": {"step": 10}, "scor\xff')
  found = results.read(run.parent, ENTRY)
  assert (found.step, found.images_per_sec) == (6, 4)
  [score] = found.scores
  assert (score.step, score.value) == (5, 1.0)
  assert score.kind.variant == 'raw truncation 0.5'
  assert found.protocols == {score.kind.protocol: {'num_fake': 9}}


def test_both_names_of_a_protocol_are_read_alike(run):
  record = {'scores': {'fid': 1.0}}
  protocol = {'step': 5, 'weights': 'raw', 'num_fake': 9, 'versions': {}}
  write_lines(
    run / 'evaluations.jsonl',
    record | {'card': protocol},
    record | {'protocol': protocol | {'step': 6}},
  )
  found = results.read(run.parent, ENTRY)
  assert found.of(found.kinds[0]) == {5: 1.0, 6: 1.0}


def test_a_lock_is_held_by_one(run):
  assert not lock.is_held(run)
  descriptor = lock.acquire(run)
  assert lock.acquire(run) is None
  assert state(run) == 'running'
  assert lock.holder(run) == (None, False)
  lock.sign(descriptor, 123)
  assert lock.holder(run) == (123, True)
  os.close(descriptor)
  assert not lock.is_held(run)
  assert state(run) == 'missing'
  os.close(lock.acquire(run))
  assert lock.holder(run) == (None, False)  # Of the one that has ended.


def test_the_time_of_an_attempt_that_nobody_saw_end(run):
  attempt.begin(run, 20)
  first = attempt.read(run)
  assert first.secs == 0
  (run / attempt.LOG).touch()
  os.utime(run / attempt.LOG, (first.started + 50, first.started + 50))
  attempt.begin(run, 20)
  assert attempt.read(run).secs == pytest.approx(50, abs=2)
  attempt.end(run, 2, 'why')
  last = attempt.read(run)
  assert last.secs == pytest.approx(50, abs=3)
  assert (last.exit_code, last.message) == (2, 'why')
  assert state(run) == 'failed'


def test_damaged_files_are_named(run):
  (run / 'attempt.json').write_text('{"x": 1}')
  with pytest.raises(errors.UserError, match='attempt.json is damaged'):
    attempt.read(run)
