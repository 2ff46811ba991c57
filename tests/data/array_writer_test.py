"""Tests of writing prepared directories."""

import errno
import io
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from sagan_jax import data, errors
from sagan_jax.data import array_writer, checksums
from tests.support import gcs

COUNT = 1000  # Four batches.


def drawn(count=COUNT):
  return data.make_source('shapes', image_size=8, num_examples=count)


def write(directory, count=COUNT):
  return array_writer.write(drawn(count), directory, split='train')


def contents(directory):
  return {p.name: p.read_bytes() for p in directory.iterdir()}


def progress(done):
  """What progress.json says after `done` examples."""
  return json.dumps(
    {
      'format_version': 1,
      'source_fingerprint': drawn().fingerprint,
      'split': 'train',
      'num_examples': COUNT,
      'image_size': 8,
      'done': done,
    }
  )


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """The files of a preparation that nothing stopped."""
  output = tmp_path_factory.mktemp('whole') / 'out'
  write(output)
  return contents(output)


def test_the_first_examples_may_be_written(tmp_path):
  info = array_writer.write(
    drawn(), tmp_path / 'out', split='train', num_examples=300
  )
  assert (info.num_examples, info.source) == (300, 'shapes')
  written = data.make_source(f'array:{tmp_path}/out', image_size=8)
  (a,) = written.examples(batch_size=COUNT)
  (b,) = drawn(300).examples(batch_size=COUNT)
  np.testing.assert_array_equal(a['image'], b['image'])
  np.testing.assert_array_equal(a['label'], b['label'])


@pytest.mark.parametrize('record_secs', [0, 1000])
def test_goes_on_after_kill_9(tmp_path, whole, record_secs, capsys):
  # Killed while it reads the third batch: with the first two recorded, or not.
  output = tmp_path / 'out'
  code = f"""
import os, signal
from sagan_jax import data, errors
from sagan_jax.data import array_writer, checksums
from tests.support import gcs
array_writer._RECORD_SECS = {record_secs}
source = data.make_source('shapes', image_size=8, num_examples={COUNT})
examples = source.examples
def killed(**kwargs):
  for number, batch in enumerate(examples(**kwargs)):
    if number == 2:
      os.kill(os.getpid(), signal.SIGKILL)
    yield batch
source.examples = killed
array_writer.write(source, {str(output)!r}, split='train')
"""
  process = subprocess.run([sys.executable, '-c', code], capture_output=True)
  assert process.returncode == -signal.SIGKILL, process.stderr
  done = json.loads((output / 'progress.json').read_text())['done']
  assert done == (512 if record_secs == 0 else 0)
  with pytest.raises(errors.UserError, match='out. is not a prepared data set'):
    data.make_source(f'array:{output}', image_size=8)
  capsys.readouterr()
  write(output)
  assert f'prepare: {done} of 1,000 images' in capsys.readouterr().err
  assert contents(output) == whole


def test_goes_on_after_a_kill_before_anything_was_written(tmp_path, whole):
  (tmp_path / '.progress.json.0123.part').write_text('{"for')
  write(tmp_path)
  assert contents(tmp_path) == whole


def test_goes_on_after_a_kill_while_the_header_was_written(tmp_path, whole):
  (tmp_path / 'progress.json').write_text(progress(0))
  (tmp_path / 'images.npy').write_bytes(whole['images.npy'][:50])
  write(tmp_path)
  assert contents(tmp_path) == whole


def test_writes_anew_what_came_after_the_last_record(tmp_path, whole):
  (tmp_path / 'progress.json').write_text(progress(300))
  header = len(whole['images.npy']) - COUNT * 8 * 8 * 3
  good = whole['images.npy'][: header + 300 * 8 * 8 * 3]
  (tmp_path / 'images.npy').write_bytes(good + bytes(12345))
  (tmp_path / 'labels.npy').write_bytes(whole['labels.npy'])
  write(tmp_path)
  assert contents(tmp_path) == whole


def test_goes_on_after_a_kill_just_before_the_end(tmp_path, whole):
  for name, content in whole.items():
    (tmp_path / name).write_bytes(content)
  (tmp_path / 'progress.json').write_text(progress(COUNT))
  write(tmp_path)
  assert contents(tmp_path) == whole


def test_a_finished_directory_is_left_alone(tmp_path, monkeypatch):
  info = write(tmp_path / 'out')
  monkeypatch.setattr(array_writer, '_write_examples', None)
  assert write(tmp_path / 'out') == info


def test_other_contents_are_never_overwritten(tmp_path):
  output = tmp_path / 'out'
  output.mkdir()
  (output / 'thesis.tex').write_text('precious')
  with pytest.raises(
    errors.UserError, match="holds 'thesis.tex', which is not of"
  ):
    write(output)
  (output / 'thesis.tex').unlink()
  for foreign in ('of another program', '[]', '{"percent": 3}'):
    (output / 'progress.json').write_text(foreign)
    with pytest.raises(
      errors.UserError, match="holds 'progress.json', which is not"
    ):
      write(output)
  (output / 'progress.json').unlink()
  write(output)
  before = contents(output)
  with pytest.raises(
    errors.UserError,
    match='holds a data set with source_fing.* 1000 instead of 7',
  ):
    write(output, count=7)
  assert contents(output) == before
  (output / 'dataset.json').unlink()
  (output / 'progress.json').write_text('{"done": 3, "split": "test"}')
  with pytest.raises(
    errors.UserError,
    match="an unfinished preparation .* 'test' instead of 'train'",
  ):
    write(output)


@pytest.mark.parametrize('name', ['images.npy', 'labels.npy'])
def test_a_file_that_lost_its_end_is_refused(tmp_path, whole, name):
  for each in ('images.npy', 'labels.npy'):
    (tmp_path / each).write_bytes(whole[each])
  (tmp_path / 'progress.json').write_text(progress(900))
  os.truncate(tmp_path / name, len(whole[name]) * 8 // 10)
  with pytest.raises(
    errors.UserError, match=f'{name} is missing or shorter than'
  ):
    write(tmp_path)
  (tmp_path / name).unlink()
  with pytest.raises(
    errors.UserError, match=f'{name} is missing or shorter than'
  ):
    write(tmp_path)


def test_a_full_disk_is_noticed_before_writing(tmp_path, monkeypatch):
  usage = array_writer.shutil.disk_usage(tmp_path)._replace(free=10_000)
  monkeypatch.setattr(array_writer.shutil, 'disk_usage', lambda _: usage)
  with pytest.raises(
    errors.UserError, match='bytes more, its disk has 10,000 free'
  ):
    write(tmp_path / 'out')


def test_a_disk_that_fills_while_writing_is_told(tmp_path, monkeypatch):
  class Full(io.BytesIO):
    def write(self, _):
      raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  monkeypatch.setattr(array_writer, '_open_npy', lambda *_: Full())
  with pytest.raises(
    errors.UserError, match='cannot write .*out: No space left on device; free'
  ):
    write(tmp_path / 'out')


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.UserError, match='cannot write .*file/out: Not a'):
    write(tmp_path / 'file' / 'out')


def test_remote_outputs_are_refused(tmp_path, monkeypatch):
  gcs.mock_gcs(monkeypatch, tmp_path)
  with pytest.raises(errors.UserError, match='gs://b/out is remote; set --out'):
    write('gs://b/out')


def test_what_was_written_is_not_read_again(tmp_path, monkeypatch):
  write(tmp_path / 'out')
  monkeypatch.setattr(checksums, 'sha256', None)
  data.make_source(f'array:{tmp_path}/out', image_size=8)


def test_examples_are_checked_before_anything_is_written(tmp_path):
  src = drawn()

  def verify():
    raise errors.UserError('one is damaged')

  src.verify = verify
  with pytest.raises(errors.UserError, match='one is damaged'):
    array_writer.write(src, tmp_path / 'out', split='train')
  assert contents(tmp_path / 'out') == {}
  write(tmp_path / 'out')


def test_a_source_that_ends_early_is_refused(tmp_path):
  src = drawn(40)
  src.examples = drawn(30).examples
  with pytest.raises(
    errors.UserError, match="'shapes' ended after 30 of 40 examples"
  ):
    array_writer.write(src, tmp_path / 'out', split='train')


@pytest.mark.parametrize('count', [0, 31])
def test_impossible_counts_are_refused(tmp_path, count):
  with pytest.raises(
    errors.UserError, match=f'num_examples {count} must be from 1 to the 30'
  ):
    array_writer.write(drawn(30), tmp_path, split='train', num_examples=count)
