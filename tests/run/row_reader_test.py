"""Reading logs that are damaged, long or still growing."""

import numpy as np
import pytest

from sagan_jax import files
from sagan_jax.pictures import thinning
from sagan_jax.run import row_reader
from tests.support import gcs
from tests.support.histories import row


def read(path, last_step=None):
  """Returns ({name: values}, what was complained of)."""
  curves, said = thinning.Curves(), []
  row_reader.read(
    files.as_path(path), curves, thinning.Curves(), last_step, said.append
  )
  return columns(curves), said


def columns(curves):
  return {k: v[1].tolist() for k, v in curves.buckets().items()}


@pytest.fixture
def log(tmp_path):
  """Writes a log of lines; returns its path."""

  def write(*lines):
    path = tmp_path / 'metrics.jsonl'
    path.write_bytes(b''.join(lines))
    return path

  return write


def test_rows_become_columns_with_the_gap_of_the_logits(log):
  found, said = read(log(row(2), row(4)))
  assert said == []
  assert found['step'] == [2, 4]
  assert found['train/d_loss'] == [1, 0.5]
  assert found['train/logit_gap'] == [1.0, 1.5]


DAMAGED = {
  'no JSON': (b'{"step": 3\n', 'it is no row of a log'),
  'zeros': (b'\0' * 50 + b'\n', 'it is no row of a log'),
  'no text': (b'\xff\xfe{\n', 'it is no row of a log'),
  'an empty line': (b'\n', 'it is no row of a log'),
  'no object': (b'[1, 2]\n', 'it is no row of a log'),
  'two rows in one': (b'{"step": 3}, {"step": 4}\n', 'it is no row of a log'),
  'no step': (b'{"train/d_loss": 3}\n', 'it is no row of a log'),
  'nested': (b'[' * 100_000 + b'\n', 'it is no row of a log'),
  'a long name': (b'{"step": 3, "%s": 1}\n' % (b'x' * 200), 'it is no row'),
  'a text': (row(3, train__d_loss='big'), 'it holds what is no number'),
  'a list': (row(3, train__d_loss=[1.0]), 'it holds what is no number'),
  'a huge integer': (row(3, train__d_loss=10**400), 'it holds what is no'),
  'a step that is none': (
    b'{"step": null, "x": 1}\n',
    'its step nan cannot come here',
  ),
  'a negative step': (row(-3), 'its step -3 cannot come here'),
  'a step too late': (row(10**9), 'its step 1000000000 cannot come here'),
  'a step too early': (row(1), 'its step 1 cannot come here'),
}


@pytest.mark.parametrize('name', DAMAGED)
def test_a_damaged_row_is_named_and_left_out(log, name):
  line, why = DAMAGED[name]
  found, said = read(log(row(1), row(2), line, row(3), row(4)), last_step=100)
  assert found['step'] == [1, 2, 3, 4]
  assert len(said) == 1 and said[0].startswith('metrics.jsonl, line 3: ')
  assert why in said[0] and said[0].endswith('; it is left out')


def test_numbers_that_are_not_finite_are_no_damage(log):
  found, said = read(
    log(row(1), row(2, train__d_loss=float('nan')), row(3, x=float('inf')))
  )
  assert (found['step'], said) == ([1, 2, 3], [])
  np.testing.assert_array_equal(found['train/d_loss'], [2, np.nan, 2 / 3])


def test_a_row_that_is_being_written_is_left_out(log):
  found, said = read(log(row(1), row(2)[:-20]))
  assert found['step'] == [1]
  assert said == ['metrics.jsonl: the last row is cut short, and left out']


def test_rows_of_evaluations_are_kept_apart(log):
  """They may come late: checkpoints can be scored at any time."""
  late = b'{"step": 1, "eval/fid/ema_standing": 3.5, "perf/eval_secs": 2.0}\n'
  path, said = log(row(1), row(2), late, row(3)), []
  curves, evaluations = thinning.Curves(), thinning.Curves()
  row_reader.read(files.as_path(path), curves, evaluations, 100, said.append)
  assert said == []
  assert columns(curves)['step'] == [1, 2, 3]
  assert columns(evaluations) == {
    'step': [1],
    'eval/fid/ema_standing': [3.5],
    'perf/eval_secs': [2.0],
  }


def test_rows_of_grids_come_between(log):
  grid = b'{"step": 2, "sample/diversity/ema": 3.5}\n'
  found, said = read(log(row(1), row(2), grid, row(3)))
  assert (found['step'], said) == ([1, 2, 2, 3], [])
  np.testing.assert_array_equal(
    found['sample/diversity/ema'], [np.nan, np.nan, 3.5, np.nan]
  )


def test_much_damage_is_not_listed_line_by_line(log):
  found, said = read(log(*([b'x\n'] * 1000), row(1)))
  assert found['step'] == [1]
  assert len(said) == 6
  assert said[-1] == 'metrics.jsonl: 995 further lines are left out'


def test_rows_with_too_many_names_are_left_out(log):
  names = {f'n{i}': 1 for i in range(600)}
  found, said = read(log(row(1), row(2, **names), row(3)))
  assert found['step'] == [1, 3]
  (text,) = said
  assert text == (
    'metrics.jsonl, line 2: there are more than 512 names; it is left out'
  )


def test_long_logs_are_read_in_blocks(log, monkeypatch):
  monkeypatch.setattr(row_reader, '_BLOCK_BYTES', 1000)
  lines = [row(step) for step in range(1, 200)]
  lines[150] = b'{"step": 151\n'
  found, said = read(log(*lines))
  assert found['step'] == [s for s in range(1, 200) if s != 151]
  assert said[0].startswith('metrics.jsonl, line 151: ')


def test_a_line_without_end_needs_no_memory(log, monkeypatch):
  monkeypatch.setattr(row_reader, '_BLOCK_BYTES', 1000)
  found, said = read(log(row(1), b'"' + b'x' * 10_000 + b'\n', row(2)))
  assert found['step'] == [1, 2]
  assert said[0].startswith('metrics.jsonl, line 2: ')


def test_an_empty_log_has_no_rows(log):
  assert read(log()) == ({}, [])


def test_a_log_may_be_in_a_bucket(tmp_path, monkeypatch):
  local = gcs.mock_gcs(monkeypatch, tmp_path)
  path = local('gs://b/r/metrics.jsonl')
  path.parent.mkdir(parents=True)
  path.write_bytes(row(1) + row(2))
  assert read('gs://b/r/metrics.jsonl')[0]['step'] == [1, 2]
