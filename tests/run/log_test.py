"""Tests of the log's rows, the progress line and the parameter table."""

import json
import sys
import time

import jax
import numpy as np
import pytest

from sagan_jax.run import log

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


def write(directory, start, steps):
  writer = log.Writer(directory, start, tensorboard=False)
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


@pytest.mark.parametrize('torn', ['{"step": 6, "x": 0.', '{', '{"step": 6'])
def test_resuming_drops_a_torn_row(tmp_path, torn):
  write(tmp_path, 0, [2, 4])
  with (tmp_path / 'metrics.jsonl').open('a') as file:
    file.write(torn)
  write(tmp_path, 4, [6])
  assert [r['step'] for r in rows(tmp_path)] == [2, 4, 6]


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
  writer.close()
  events = event_accumulator.EventAccumulator(
    str(tmp_path), size_guidance={'tensors': 0, 'images': 0}
  )
  events.Reload()
  tensors = events.Tags()['tensors']
  assert {'train/d_loss', 'samples/ema'} <= set(tensors)
  (event,) = events.Tensors('train/d_loss')
  assert event.step == 3
  assert tensor_util.make_ndarray(event.tensor_proto) == 0.5
  (event,) = events.Tensors('samples/ema')
  width, height, png = tensor_util.make_ndarray(event.tensor_proto)
  assert (width, height) == (b'6', b'4')
  assert png.startswith(b'\x89PNG')


def test_says_what_to_do_without_clu(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'clu', None)
  with pytest.raises(ValueError, match='config.log.tensorboard=False'):
    log.Writer(tmp_path, 0, tensorboard=True)


def test_without_tensorboard_clu_is_not_needed(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'clu', None)
  writer = log.Writer(tmp_path, 0, tensorboard=False)
  writer.write_image(1, 'samples/ema', np.zeros((4, 4, 3), np.uint8))
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
  assert 'step 10/10' not in out
  assert 'a line' in out


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
