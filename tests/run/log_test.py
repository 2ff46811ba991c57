"""Tests of the log's rows, the progress line and the parameter table."""

import io
import json
import re
import sys
import time

import jax
import numpy as np
import pytest

from sagan_jax import errors, files
from sagan_jax.run import board, log
from tests.support import gcs

ROW = {
  'train/d_loss': 1.25,
  'train/g_loss': -0.5,
  'train/d_real_accuracy': 0.75,
  'train/d_fake_accuracy': 1.0,
  'train/g_sigma_max': 1.5,
  'train/d_sigma_max': 2.5,
  'train/g_gate_attention_16': 0.125,
  'train/d_gate_attention_16': -0.25,
  'perf/images_per_sec': 12.34,
  'perf/eta_secs': 3725.0,
}


def rows(directory):
  text = (directory / 'metrics.jsonl').read_text()
  return [json.loads(line) for line in text.splitlines()]


def write(directory, start, steps, tensorboard=False, **kwargs):
  writer = log.Writer(directory, start, tensorboard=tensorboard, **kwargs)
  for step in steps:
    writer.write(step, {'x': step / 7})
  writer.close()


def test_rows_are_readable_while_the_run_goes_on(tmp_path):
  writer = log.Writer(tmp_path, 0, tensorboard=False)
  writer.write(10, {'train/d_loss': 1 / 3, 'perf/eta_secs': 2.0})
  assert rows(tmp_path) == [
    {'step': 10, 'train/d_loss': 1 / 3, 'perf/eta_secs': 2.0}
  ]
  writer.close()


def test_resuming_drops_the_rows_after_the_resumed_step(tmp_path):
  write(tmp_path, 0, [2, 4, 6, 8])
  write(tmp_path, 5, [6, 8])
  assert [r['step'] for r in rows(tmp_path)] == [2, 4, 6, 8]
  write(tmp_path, 4, [6])
  assert [r['step'] for r in rows(tmp_path)] == [2, 4, 6]
  assert rows(tmp_path)[1] == {'step': 4, 'x': 4 / 7}


def test_resuming_at_a_row_keeps_it(tmp_path):
  write(tmp_path, 0, [2, 4])
  write(tmp_path, 4, [])
  assert [r['step'] for r in rows(tmp_path)] == [2, 4]


def test_what_is_done_again_after_a_kill_is_one_row(tmp_path):
  write(tmp_path, 0, [2, 4])
  writer = log.Writer(tmp_path, 4, tensorboard=False)
  writer.write(4, {'x': 4 / 7})
  writer.write(4, {'y': 1.0})
  writer.close()
  found = rows(tmp_path)
  assert [r['step'] for r in found] == [2, 4, 4]
  write(tmp_path, 4, [4, 6])  # Also if another row came after it.
  assert rows(tmp_path) == [*found, {'step': 6, 'x': 6 / 7}]


@pytest.mark.parametrize('start', [4, None])
@pytest.mark.parametrize('torn', ['{"step": 6, "x": 0.', '{', '{"step": 6'])
def test_resuming_drops_a_torn_row(tmp_path, torn, start):
  write(tmp_path, 0, [2, 4])
  with (tmp_path / 'metrics.jsonl').open('a') as file:
    file.write(torn)
  said = []
  # Whether rows are dropped or all are kept.
  write(tmp_path, start, [6], say=said.append)
  assert [r['step'] for r in rows(tmp_path)] == [2, 4, 6]
  path = tmp_path / 'metrics.jsonl'
  assert said == [f'{path}: the last row was cut short and is dropped']


@pytest.mark.parametrize(
  'line',
  [
    '{"step": 4, "x": 0.{"step": 4, "x": 0.5}',
    '{"step": 4, "x": 0.5',
    '{"x": 0.5}',
    '{"step": "4"}',
    '{"step": 4, "x": \x00\x00}',
    '[4]',
    '4',
    '',
  ],
)
def test_a_damaged_row_is_named(tmp_path, line):
  path = tmp_path / 'metrics.jsonl'
  path.write_text(f'{{"step": 2}}\n{line}\n{{"step": 6}}\n')
  before = path.read_bytes()
  match = rf'{path}:2 is damaged: it is no row of a log; mend or delete'
  with pytest.raises(errors.UserError, match=match):
    write(tmp_path, 6, [8])
  assert path.read_bytes() == before


def test_a_row_that_another_program_wrote_is_a_row(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{ "x": {"y": 1}, "step" : 2 }\n{ "x": 1, "step": 5 }\n')
  write(tmp_path, 4, [6])
  assert [r['step'] for r in rows(tmp_path)] == [2, 6]


def test_rows_of_evaluations_need_not_be_in_order(tmp_path):
  write(tmp_path, 0, [2, 4, 6])
  write(tmp_path, None, [2, 6, 4])
  write(tmp_path, 4, [])
  assert [r['step'] for r in rows(tmp_path)] == [2, 4, 2, 4]


def test_an_evaluation_leaves_the_file_of_a_trainer_in_its_place(tmp_path):
  write(tmp_path, 0, [2, 4])
  inode = (tmp_path / 'metrics.jsonl').stat().st_ino
  write(tmp_path, None, [2])
  assert (tmp_path / 'metrics.jsonl').stat().st_ino == inode


def test_a_file_that_cannot_be_read_is_named(tmp_path):
  (tmp_path / 'metrics.jsonl').mkdir()
  with pytest.raises(
    errors.UserError, match='metrics.jsonl: it is no file, but'
  ):
    log.Writer(tmp_path, 0, tensorboard=False)


def test_a_directory_that_is_not_there_is_named(tmp_path):
  with pytest.raises(errors.UserError, match='cannot write .*metrics.jsonl'):
    log.Writer(tmp_path / 'none', 0, tensorboard=False)


class _FullDisk:
  """A file that takes a few bytes more."""

  def __init__(self, file, room):
    self._file, self._room = file, room

  def write(self, data):
    if not self._room:
      raise OSError(28, 'No space left on device')
    written = self._file.write(data[: self._room])
    self._room -= written
    return written

  def close(self):
    self._file.close()


def test_a_full_disk_is_one_line_that_names_the_file(tmp_path):
  writer = log.Writer(tmp_path, 0, tensorboard=False)
  writer.write(2, {'x': 1.0})
  writer._rows._file = _FullDisk(writer._rows._file, 5)
  with pytest.raises(errors.UserError, match='cannot write .*No space') as e:
    writer.write(4, {'x': 1.0})
  assert f'{tmp_path}/metrics.jsonl' in str(e.value)
  assert '\n' not in str(e.value)
  writer.close()
  write(tmp_path, 4, [6])  # Half a row was written; it is cut.
  assert [r['step'] for r in rows(tmp_path)] == [2, 6]


def test_a_million_rows_are_not_parsed(tmp_path, monkeypatch):
  write(tmp_path, 0, range(100))

  def parse(text):
    raise AssertionError(f'{text} was parsed')

  monkeypatch.setattr(json, 'loads', parse)
  log.Writer(tmp_path, 50, tensorboard=False).close()
  monkeypatch.undo()
  assert [r['step'] for r in rows(tmp_path)] == list(range(51))


@pytest.fixture
def bucket(tmp_path, monkeypatch):
  """A directory in a bucket, and its local folder."""
  local = gcs.mock_gcs(monkeypatch, tmp_path)
  local('gs://b/r').mkdir(parents=True)
  return files.as_path('gs://b/r'), local('gs://b/r')


def test_rows_go_to_a_bucket_now_and_then(bucket, monkeypatch):
  url, local = bucket
  now = 100.0
  monkeypatch.setattr(time, 'monotonic', lambda: now)
  writer = log.Writer(url, 0, tensorboard=False)
  writer.write(1, {'x': 1.0})
  assert rows(local) == []
  now = 131.0
  writer.write(2, {'x': 1.0})
  assert [r['step'] for r in rows(local)] == [1, 2]
  writer.write(3, {'x': 1.0})
  assert [r['step'] for r in rows(local)] == [1, 2]
  writer.flush()
  assert [r['step'] for r in rows(local)] == [1, 2, 3]
  writer.write(4, {'x': 4 / 7})
  writer.close()
  assert [r['step'] for r in rows(local)] == [1, 2, 3, 4]
  # And as on a disk, a run that goes on drops what came later, and what it
  # does again makes no second row.
  write(url, 4, [4])
  assert [r['step'] for r in rows(local)] == [1, 2, 3, 4]
  write(url, 2, [3])
  assert [r['step'] for r in rows(local)] == [1, 2, 3]


def test_a_bucket_that_refuses_is_told(bucket, monkeypatch):
  url, _ = bucket
  said = []
  writer = log.Writer(url, 0, tensorboard=False, say=said.append)
  writer.write(1, {'x': 1.0})

  def refuse(path, content):
    del content
    raise errors.UserError(f'cannot write {path}')

  monkeypatch.setattr(files, 'write', refuse)
  with pytest.raises(errors.UserError, match='cannot write gs://b/r/metrics'):
    writer.flush()
  writer.close()  # Masks nothing.
  assert said == ['cannot write gs://b/r/metrics.jsonl']


def test_flushed_rows_are_on_the_disk(tmp_path, monkeypatch):
  synced = []
  monkeypatch.setattr('os.fsync', synced.append)
  writer = log.Writer(tmp_path, 0, tensorboard=False)
  writer.flush()
  assert synced == [writer._rows._file.fileno()]
  writer.close()


def test_starting_leaves_no_other_file(tmp_path):
  write(tmp_path, 0, [2])
  write(tmp_path, 2, [4])
  assert [p.name for p in tmp_path.iterdir()] == ['metrics.jsonl']


def test_tensorboard_files_hold_the_rows_and_images(tmp_path):
  pytest.importorskip('clu.metric_writers')
  from tensorboard.backend.event_processing import event_accumulator
  from tensorboard.util import tensor_util

  writer = log.Writer(tmp_path, 0, tensorboard=True)
  writer.write(3, {'train/d_loss': 0.5})
  writer.write_image(3, 'samples/ema', np.full((4, 6, 3), 128, np.uint8))
  writer.write_texts(3, {'verdicts': 'fine: **all**', 'scores': ' '})
  writer.close()
  events = event_accumulator.EventAccumulator(
    str(tmp_path), size_guidance={'tensors': 0, 'images': 0}
  )
  events.Reload()
  tensors = events.Tags()['tensors']
  assert {'train/d_loss', 'samples/ema', 'verdicts'} <= set(tensors)
  assert 'scores' not in tensors  # There were none.
  (event,) = events.Tensors('verdicts')
  assert tensor_util.make_ndarray(event.tensor_proto) == b'fine: **all**'
  (event,) = events.Tensors('train/d_loss')
  assert event.step == 3
  assert tensor_util.make_ndarray(event.tensor_proto) == 0.5
  (event,) = events.Tensors('samples/ema')
  width, height, png = tensor_util.make_ndarray(event.tensor_proto)
  assert (width, height) == (b'6', b'4')
  assert png.startswith(b'\x89PNG')


@pytest.mark.parametrize('package', ['clu', 'tensorflow', 'tensorboard'])
def test_a_missing_package_is_refused_at_once(tmp_path, monkeypatch, package):
  monkeypatch.setitem(sys.modules, package, None)
  match = rf"need .*{package}.*: pip install 'sagan_jax\[tfds\]', or set --"
  with pytest.raises(errors.UserError, match=match):
    log.Writer(tmp_path, 0, tensorboard=True)


def test_auto_does_without_a_missing_package(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'tensorflow', None)
  monkeypatch.setattr(board, '_open', None)
  write(tmp_path, 0, [1], tensorboard='auto')
  assert [p.name for p in tmp_path.iterdir()] == ['metrics.jsonl']


def _fails(directory):
  del directory
  raise ImportError('no libfoo')


def test_packages_that_do_not_work_are_told(tmp_path, monkeypatch):
  monkeypatch.setattr(board.importlib.util, 'find_spec', lambda _: 'found')
  monkeypatch.setattr(board, '_open', _fails)
  said = []
  write(tmp_path, 0, [1, 2], tensorboard='auto', say=said.append)
  text = 'the packages for TensorBoard cannot be imported (no libfoo)'
  assert said == [f'{text}: no event files']
  writer = log.Writer(tmp_path, 0, tensorboard=True, say=said.append)
  with pytest.raises(errors.UserError, match=r'\(no libfoo\); pip install'):
    writer.write(1, {'x': 1.0})
  writer.close()


def test_event_files_that_cannot_be_written_are_told(tmp_path, monkeypatch):
  class Full:
    def write_scalars(self, step, scalars):
      del step, scalars
      raise ArithmeticError('disk full')

    write_images = write_scalars

    def close(self):
      raise ArithmeticError('disk still full')

  monkeypatch.setattr(board.importlib.util, 'find_spec', lambda _: 'found')
  monkeypatch.setattr(board, '_open', lambda _: (Full(), ArithmeticError))
  said = []
  writer = log.Writer(tmp_path, 0, tensorboard=True, say=said.append)
  match = f'cannot write TensorBoard events to {tmp_path}: disk full; free'
  with pytest.raises(errors.UserError, match=match):
    writer.write(1, {'x': 1.0})
  with pytest.raises(errors.UserError, match=match):
    writer.write_image(1, 'x', np.zeros((4, 4, 3), np.uint8))
  writer.close()  # Masks nothing.
  assert 'disk still full' in said[0]
  assert [r['step'] for r in rows(tmp_path)] == [1]


def test_without_tensorboard_clu_is_not_needed(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'clu', None)
  writer = log.Writer(tmp_path, 0, tensorboard=False)
  writer.write_image(1, 'samples/ema', np.zeros((4, 4, 3), np.uint8))
  writer.write_texts(1, {'verdicts': 'fine'})
  writer.write(1, {})
  writer.close()
  assert [p.name for p in tmp_path.iterdir()] == ['metrics.jsonl']


def test_clock_counts_sections_against_all_time(monkeypatch):
  now = 100.0
  monkeypatch.setattr(time, 'perf_counter', lambda: now)
  clock = log.Clock()
  with clock.section('sample'):
    now = 101.0
  now = 102.0
  with clock.section('sample'):
    now = 103.0
  clock.add('data', 1.0)
  now = 110.0
  assert clock.shares(('data', 'sample', 'checkpoint')) == {
    'data': 0.1,
    'sample': 0.2,
    'checkpoint': 0.0,
  }
  assert clock.other_secs() == 3.0


def test_a_section_that_fails_is_counted(monkeypatch):
  now = 0.0
  monkeypatch.setattr(time, 'perf_counter', lambda: now)
  clock = log.Clock()
  with pytest.raises(KeyError), clock.section('sample'):
    now = 2.0
    raise KeyError
  assert clock.other_secs() == 2.0


def test_progress_prints_a_line_off_a_terminal(capsys):
  progress = log.Progress(2000, 0)
  progress.step()
  progress.report(500, ROW, {'data': 0.031, 'sample': 0.0})
  progress.close()
  assert capsys.readouterr().out == (
    'step 500/2000 25.0% ETA 1h02m | 12.3 images/s | D 1.250 G -0.500 | '
    'accuracy real 0.75 fake 1.00 | '
    'g_gate_attention_16 +0.125 d_gate_attention_16 -0.250 | '
    'sigma G 1.50 D 2.50 | time: data 3.1% sample 0.0%\n'
  )


def test_progress_is_silent_on_other_processes(capsys):
  progress = log.Progress(10, 0, show=False)
  progress.step()
  progress.report(1, ROW, {})
  progress.say('hello')
  progress.close()
  assert capsys.readouterr() == ('', '')


def test_progress_is_a_bar_on_a_terminal(capsys, monkeypatch):
  monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
  progress = log.Progress(10, 4)
  for step in range(5, 11):
    progress.step()
    progress.report(step, ROW, {'data': 0.5})
  progress.say('a line')
  progress.close()
  out, err = capsys.readouterr()
  assert '4/10' in err  # Where a resumed run starts.
  assert '10/10' in err
  assert 'D 1.250 G -0.500' in err
  assert 'accuracy' not in err + out
  assert 'step 10/10' not in out
  assert 'a line' in out


def test_nothing_is_cut_at_80_columns(monkeypatch):
  terminal = io.StringIO()
  terminal.isatty = lambda: True
  monkeypatch.setattr(sys, 'stderr', terminal)
  bar = log.Progress(1_000_000, 999_998)
  bar._bar.dynamic_ncols, bar._bar.ncols = None, 80
  bar.step()
  row = ROW | {'train/d_loss': 123.4567, 'train/g_loss': -123.4567}
  bar.report(999_999, row, {'data': 0.5})
  line = terminal.getvalue().split('\r')[-1]
  bar.close()
  assert len(line) == 80
  assert line.startswith('999999/1000000 |')
  assert line.endswith(', D 123.457 G -123.457')
  assert re.search(r'[\d.]+(step/s|s/step) ETA [\d:]+, D', line)


def test_time_is_counted_from_where_the_loop_begins(monkeypatch):
  terminal = io.StringIO()
  terminal.isatty = lambda: True
  monkeypatch.setattr(sys, 'stderr', terminal)
  progress = log.Progress(10, 0)
  time.sleep(0.5)  # As long as compiling takes.
  progress.begin()
  progress.step()
  assert progress._bar.format_dict['elapsed'] < 0.4
  progress.close()


def test_parameter_table_counts():
  params = {
    'block1': {'conv': {'kernel': np.zeros((3, 3, 4, 8)), 'bias': np.zeros(8)}},
    'dense': {'kernel': np.zeros((1000, 2))},
  }
  vectors = {
    'block1': {'conv': {'u': np.zeros(8), 'sigma': np.zeros(())}},
    'dense': {'u': np.zeros(2), 'sigma': np.zeros(())},
  }
  lines = log.parameter_table({'generator': (params, vectors)})
  assert [line.split() for line in lines] == [
    ['generator/block1', '296'],
    ['generator/dense', '2,000'],
    'generator: 2,296 parameters, 2 normalised weights'.split(),
  ]
  assert sum(x.size for x in jax.tree.leaves(params)) == 2296


def test_a_row_that_a_kill_has_left_out_is_written_once(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  path.write_text('{"step": 4, "eval/x": 1.0}\n{"step": 5, "train/x": 1.0}\n')
  writer = log.Writer(tmp_path, 5, tensorboard=False)
  writer.write_again(4, {'eval/x': 1.0})  # It is there.
  writer.write_again(5, {'eval/x': 2.0})
  writer.close()
  assert path.read_text().splitlines()[2:] == ['{"step": 5, "eval/x": 2.0}']
