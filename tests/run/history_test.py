"""What a run directory tells, whatever has become of it."""

import os
import re

import numpy as np
import pytest

from sagan_jax import errors
from sagan_jax.run import history
from sagan_jax.verdicts import verdicts
from tests.support import damage, histories

LONG_AGO = 1e9  # Seconds since 1970.


@pytest.fixture
def workdir(tmp_path):
  path = histories.write(tmp_path / 'run')
  os.utime(path / 'metrics.jsonl', (LONG_AGO, LONG_AGO))
  return path


def test_a_run_is_read(workdir):
  found = history.read(workdir)
  assert found.damage == []
  assert found.class_names == histories.CLASSES
  assert (found.num_examples, found.saved_step) == (64, 6)
  assert [(g.step, g.weights) for g in found.grids] == [
    (3, 'ema'),
    (3, 'raw'),
    (6, 'ema'),
    (6, 'raw'),
  ]
  assert [r['protocol']['step'] for r in found.records] == [2, 4, 6]
  np.testing.assert_array_equal(found.rows()['step'], range(1, 7))
  assert found.state() == 'finished: 6 steps'
  assert found.speed() == 103.5


def test_the_rows_are_judged_with_those_of_evaluations(workdir, monkeypatch):
  damage.append('metrics.jsonl', b'{"step": 3, "eval/fid/ema": 7.5}')(workdir)
  monkeypatch.setattr(verdicts, 'judge', lambda rows: [rows])
  (rows,) = history.read(workdir).verdicts()
  np.testing.assert_array_equal(rows['step'], [1, 2, 3, 4, 5, 6, 3])
  np.testing.assert_array_equal(rows['eval/fid/ema'], [np.nan] * 6 + [7.5])
  np.testing.assert_array_equal(rows['train/g_loss'], [-1.0] * 6 + [np.nan])


def test_a_long_run_is_judged_by_means_over_rows(tmp_path):
  workdir = histories.write(tmp_path / 'long')
  lines = [histories.row(s, x=s % 2) for s in range(1, 2**15 + 4096 + 1)]
  (workdir / 'metrics.jsonl').write_bytes(b''.join(lines))
  damage.remove('config.json')(workdir)  # It tells of six steps.
  found = history.read(workdir)
  rows = found.rows()
  assert rows['step'][:2].tolist() == [2, 4] and rows['step'][-1] == len(lines)
  assert len(rows['x']) < len(lines) * 0.6 and np.median(rows['x']) == 0.5
  assert found.state() == f'step {len(lines):,} of a number that is not known'


def test_rows_of_another_age_are_no_part(workdir):
  """Of a config that ends earlier only what was saved counts."""
  damage.append('metrics.jsonl', histories.row(7).strip())(workdir)
  found = history.read(workdir)
  assert found.rows()['step'][-1] == 6
  assert found.damage == [
    'metrics.jsonl, line 7: its step 7 cannot come here; it is left out'
  ]


@pytest.mark.parametrize(
  'arrange, age, state',
  [
    (damage.remove('checkpoints/6'), 0, 'unfinished: step 6 of 6'),
    (
      damage.remove('checkpoints/6'),
      None,
      'running, or just stopped: step 6 of 6',
    ),
    (
      damage.remove('config.json'),
      0,
      'step 6 of a number that is not known',
    ),
  ],
)
def test_the_state_is_told(workdir, arrange, age, state):
  arrange(workdir)
  if age is None:
    os.utime(workdir / 'metrics.jsonl')
  assert history.read(workdir).state() == state


def test_a_log_without_any_good_row_is_told(workdir):
  damage.write('metrics.jsonl', histories.row(10**9))(workdir)
  found = history.read(workdir)
  assert len(found.damage) == 1
  assert (found.rows(), found.state()) == ({}, 'finished: 6 steps')


def test_a_run_that_has_not_begun_is_told(workdir):
  for name in ('metrics.jsonl', 'checkpoints', 'samples', 'evaluations.jsonl'):
    damage.remove(name)(workdir)
  found = history.read(workdir)
  assert found.state() == 'no step of 6 is logged or saved yet'
  assert (found.verdicts(), found.speed()) == ([], None)
  assert (found.grids, found.records, found.damage) == ([], [], [])


@pytest.mark.parametrize(
  'arrange, told',
  [
    (damage.remove('config.json'), 'config.json is missing: what was trained'),
    (damage.write('config.json', b'{'), 'config.json is damaged'),
    (damage.edit('config.json', lambda t: t.update(x=1)), 'unknown config key'),
    (damage.write('data.json', b'[]'), 'data.json is damaged'),
    (
      damage.append('evaluations.jsonl', b'{"protocol": {}}'),
      'evaluations.jsonl, line 4 is damaged',
    ),
    (
      damage.append('metrics.jsonl', b'x'),
      'metrics.jsonl, line 7: it is no row',
    ),
  ],
)
def test_what_is_damaged_is_told_and_the_rest_is_read(workdir, arrange, told):
  arrange(workdir)
  found = history.read(workdir)
  assert len(found.damage) == 1 and told in found.damage[0]
  assert len(found.rows()['step']) == 6
  assert len(found.records) == 3


def test_runs_from_before_data_was_recorded_are_read(workdir):
  damage.remove('data.json')(workdir)
  found = history.read(workdir)
  assert (found.class_names, found.num_examples, found.damage) == (
    None,
    None,
    [],
  )


def test_a_directory_without_a_run_is_refused(tmp_path):
  match = re.escape(
    f'there is no run in {tmp_path}: it has neither config.json'
  )
  with pytest.raises(errors.UserError, match=match):
    history.read(tmp_path)


def test_a_run_that_cannot_be_read_is_refused(workdir):
  damage.folder('metrics.jsonl')(workdir)
  match = f'cannot read the run in {workdir}: Is a directory; mend'
  with pytest.raises(errors.UserError, match=match):
    history.read(workdir)
