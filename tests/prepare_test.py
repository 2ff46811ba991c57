"""Tests of writing prepared directories."""

import json
import lzma
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sagan_jax import data, prepare
from sagan_jax.data import array

COUNT = 1000  # Four batches.


def run(*args):
  prepare.main([str(a) for a in args])


def shapes(output, *args):
  run(
    '--source=shapes',
    '--image_size=8',
    f'--num_examples={COUNT}',
    f'--output={output}',
    *args,
  )


def contents(directory):
  return {p.name: p.read_bytes() for p in directory.iterdir()}


def assert_same_examples(a, b):
  for x, y in zip(
    a.examples(batch_size=100), b.examples(batch_size=100), strict=True
  ):
    np.testing.assert_array_equal(x['image'], y['image'])
    np.testing.assert_array_equal(x['label'], y['label'])


def test_writes_what_the_source_has(tmp_path, capsys):
  shapes(tmp_path / 'out')
  assert '1,000 images of 8 pixels in 10 classes' in capsys.readouterr().out
  drawn = data.make_source('shapes', image_size=8, num_examples=COUNT)
  written = data.make_source(f'array:{tmp_path}/out', image_size=8)
  assert written.class_names == drawn.class_names
  assert_same_examples(written, drawn)
  assert set(contents(tmp_path / 'out')) == {
    'images.npy',
    'labels.npy',
    'dataset.json',
  }
  run(f'--verify={tmp_path}/out')
  assert 'checksums match' in capsys.readouterr().out


def test_of_an_array_is_the_array(tmp_path):
  shapes(tmp_path / 'a', '--split=test')
  run(
    f'--source=array:{tmp_path}/a',
    '--split=test',
    '--image_size=8',
    '--num_examples=300',
    f'--output={tmp_path}/b',
  )
  b = data.make_source(f'array:{tmp_path}/b', image_size=8, split='test')
  drawn = data.make_source(
    'shapes', image_size=8, split='test', num_examples=300
  )
  assert_same_examples(b, drawn)


def test_of_a_folder(tmp_path):
  for name, value in (('a', 10), ('b', 20)):
    (tmp_path / 'in' / name).mkdir(parents=True)
    image = Image.new('RGB', (20, 10), (value, 0, 0))
    image.save(tmp_path / 'in' / name / 'x.png')
  folder = f'--source=folder:{tmp_path}/in'
  output = f'--output={tmp_path}/out'
  run(folder, '--image_size=4', output)
  src = data.make_source(f'array:{tmp_path}/out', image_size=4)
  (batch,) = src.examples(batch_size=9)
  np.testing.assert_array_equal(batch['image'][:, 1, 1, 0], [10, 20])
  assert src.class_names == ('a', 'b')


def test_of_cifar10(shared_data, tmp_path):
  packed = shared_data / 'cifar10' / 'data_batch_1_first4000.bin.xz'
  with lzma.open(packed) as f:
    (tmp_path / 'data_batch_1.bin').write_bytes(f.read(300 * 3073))
  name = f'cifar10_binary:{tmp_path}'
  run(f'--source={name}', '--image_size=32', f'--output={tmp_path}/out')
  assert_same_examples(
    data.make_source(f'array:{tmp_path}/out', image_size=32),
    data.make_source(name, image_size=32),
  )


@pytest.mark.parametrize('record_secs', [0, 1000])
def test_goes_on_after_kill_9(tmp_path, record_secs, capsys):
  # Killed while it reads the third batch: with the first two recorded, or not.
  code = f"""
import os, signal
from sagan_jax import prepare
from sagan_jax.data import shapes
prepare._RECORD_SECS = {record_secs}
gather, calls = shapes.ShapesSource._gather, []
def killed(self, index):
  calls.append(index)
  if len(calls) == 3:
    os.kill(os.getpid(), signal.SIGKILL)
  return gather(self, index)
shapes.ShapesSource._gather = killed
prepare.main(['--source=shapes', '--image_size=8', '--num_examples={COUNT}',
              '--output={tmp_path}/out'])
"""
  process = subprocess.run([sys.executable, '-c', code], capture_output=True)
  assert process.returncode == -signal.SIGKILL, process.stderr
  done = json.loads((tmp_path / 'out' / 'progress.json').read_text())['done']
  assert done == (512 if record_secs == 0 else 0)
  with pytest.raises(ValueError, match='out. is not a prepared data set'):
    data.make_source(f'array:{tmp_path}/out', image_size=8)
  capsys.readouterr()
  shapes(tmp_path / 'out')
  shown = capsys.readouterr().err
  assert f'{done}/{COUNT}' in shown  # Where the bar begins.
  shapes(tmp_path / 'straight')
  assert contents(tmp_path / 'out') == contents(tmp_path / 'straight')


@pytest.mark.parametrize(
  'left', ['nothing', 'progress.json.tmp', 'header', 'more', 'dataset.json']
)
def test_goes_on_from_every_point(tmp_path, left):
  shapes(tmp_path / 'straight')
  output = tmp_path / 'out'
  output.mkdir()
  drawn = data.make_source('shapes', image_size=8, num_examples=COUNT)
  request = {
    'format_version': 1,
    'source_fingerprint': drawn.fingerprint,
    'split': 'train',
    'num_examples': COUNT,
    'image_size': 8,
  }
  whole = contents(tmp_path / 'straight')
  progress = output / 'progress.json'
  if left == 'progress.json.tmp':
    (output / 'progress.json.tmp').write_text('{"for')
  if left == 'header':
    progress.write_text(json.dumps({**request, 'done': 0}))
    (output / 'images.npy').write_bytes(whole['images.npy'][:50])
  if left in ('more', 'dataset.json'):
    progress.write_text(json.dumps({**request, 'done': 300}))
    for name in ('images.npy', 'labels.npy'):
      (output / name).write_bytes(whole[name])
  if left == 'more':
    # Rows after the last record may be half written.
    row = 128 + 8 * 8 * 3 * 300
    damaged = whole['images.npy'][:row] + bytes(12345)
    (output / 'images.npy').write_bytes(damaged)
  if left == 'dataset.json':
    (output / 'dataset.json').write_bytes(whole['dataset.json'])
  shapes(output)
  assert contents(output) == whole


def test_a_finished_directory_is_left_alone(tmp_path, monkeypatch):
  shapes(tmp_path / 'out')
  before = (tmp_path / 'out' / 'images.npy').stat().st_mtime_ns
  monkeypatch.setattr(prepare, '_write_examples', None)
  shapes(tmp_path / 'out')
  assert (tmp_path / 'out' / 'images.npy').stat().st_mtime_ns == before


def refused(capsys, *args):
  """Returns the error text of a run that must fail."""
  with pytest.raises(SystemExit) as e:
    run(*args)
  assert e.value.code in (1, 2)
  return capsys.readouterr().err


def test_other_contents_are_never_overwritten(tmp_path, capsys):
  output = tmp_path / 'out'
  args = ['--source=shapes', '--image_size=8', f'--output={output}']
  output.mkdir()
  (output / 'thesis.tex').write_text('precious')
  text = refused(capsys, *args)
  assert "out' holds 'thesis.tex', which is not of a preparation" in text
  (output / 'thesis.tex').unlink()
  for foreign in ('of another program', '[]', '{"percent": 3}'):
    (output / 'progress.json').write_text(foreign)
    text = refused(capsys, *args)
    assert "holds 'progress.json', which is not of a preparation" in text
  (output / 'progress.json').unlink()
  shapes(output)
  before = contents(output)
  text = refused(capsys, *args, '--num_examples=7')
  assert 'holds a data set with source_fingerprint' in text
  assert 'num_examples 1000 instead of 7' in text
  assert contents(output) == before
  (output / 'dataset.json').unlink()
  (output / 'progress.json').write_text('{"done": 3, "split": "test"}')
  text = refused(capsys, *args, '--num_examples=7')
  assert 'an unfinished preparation with' in text
  assert "split 'test' instead of 'train'" in text


def test_a_file_that_lost_its_end_is_refused(tmp_path):
  output = tmp_path / 'out'
  shapes(output)
  info = json.loads((output / 'dataset.json').read_text())
  (output / 'dataset.json').unlink()
  drawn = data.make_source('shapes', image_size=8, num_examples=COUNT)
  progress = {
    key: info[key]
    for key in (
      'format_version',
      'source_fingerprint',
      'split',
      'num_examples',
      'image_size',
    )
  }
  (output / 'progress.json').write_text(json.dumps({**progress, 'done': 900}))
  os.truncate(output / 'images.npy', 128 + 8 * 8 * 3 * 800)
  with pytest.raises(ValueError, match='images.npy is shorter than progress'):
    prepare.prepare(drawn, output, split='train')


def test_a_full_disk_is_noticed_before_writing(tmp_path, monkeypatch):
  usage = prepare.shutil.disk_usage(tmp_path)._replace(free=10_000)
  monkeypatch.setattr(prepare.shutil, 'disk_usage', lambda _: usage)
  src = data.make_source('shapes', image_size=8)
  with pytest.raises(ValueError, match='bytes more, its disk has 10,000 free'):
    prepare.prepare(src, tmp_path / 'out', split='train')


def test_a_source_that_ends_early_is_refused(tmp_path):
  src = data.make_source('shapes', image_size=8, num_examples=30)
  src.num_examples = 40
  src.examples = data.make_source(
    'shapes', image_size=8, num_examples=30
  ).examples
  with pytest.raises(
    ValueError, match="'shapes' ended after 30 of 40 examples"
  ):
    prepare.prepare(src, tmp_path / 'out', split='train')


def test_verify_reports_damage(tmp_path, capsys):
  shapes(tmp_path / 'out')
  path = tmp_path / 'out' / 'labels.npy'
  path.write_bytes(path.read_bytes()[:-1] + b'\x07')
  text = refused(capsys, f'--verify={tmp_path}/out')
  assert 'labels.npy has changed since it was prepared' in text


@pytest.mark.parametrize(
  ('args', 'text'),
  [
    (['--source=shapes', '--image_size=8'], '--output is needed'),
    (['--source=shapes', '--output=x'], '--image_size is needed'),
    (['--image_size=8', '--output=x'], '--source is needed'),
    (['--verify=x', '--image_size=8'], '--image_size has no effect with'),
    (['--verify=x'], "'x' is not a prepared data set"),
    (
      ['--source=shape', '--image_size=8', '--output=x'],
      "did you mean 'shapes'",
    ),
    (
      ['--source=shapes', '--image_size=8', '--output=x', '--data_dir=y'],
      "data_dir='y' has no effect on dataset 'shapes'",
    ),
    (
      [
        '--source=folder:x',
        '--image_size=8',
        '--output=x',
        '--num_examples=3',
      ],
      '--num_examples=3 would take the first classes',
    ),
  ],
)
def test_wrong_command_lines_are_refused(args, text, capsys):
  assert text in refused(capsys, *args)


@pytest.mark.parametrize('count', [0, 31])
def test_impossible_counts_are_refused(tmp_path, count):
  src = data.make_source('shapes', image_size=8, num_examples=30)
  with pytest.raises(
    ValueError, match=f'num_examples {count} must be from 1 to the 30'
  ):
    prepare.prepare(src, tmp_path, split='train', num_examples=count)


def test_needs_no_tensorflow(tmp_path):
  code = f"""
import sys
from sagan_jax import prepare
prepare.main(['--source=shapes', '--image_size=8', '--num_examples=9',
              '--output={tmp_path}/out'])
assert not {{'tensorflow', 'jax'}} & set(sys.modules)
"""
  subprocess.run([sys.executable, '-c', code], check=True)
  assert array.verify(tmp_path / 'out').num_examples == 9
