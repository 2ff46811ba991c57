"""Tests of prepared directories and of the order all indexed sources share."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from sagan_jax import data, errors
from sagan_jax.data import array, checksums, indexed, remote
from tests.support import gcs

NUM_EXAMPLES = 23


def write(directory, *, images=None, labels=None, **changes):
  """Writes a prepared directory, example i filled with the value i."""
  directory.mkdir(exist_ok=True)
  if images is None:
    images = np.arange(NUM_EXAMPLES, dtype=np.uint8)[:, None, None, None]
    images = np.broadcast_to(images, (NUM_EXAMPLES, 8, 8, 3))
  if labels is None:
    labels = np.arange(NUM_EXAMPLES, dtype=np.int32) % 4
  np.save(directory / 'images.npy', images)
  np.save(directory / 'labels.npy', labels)
  info = array.Info(
    format_version=array.FORMAT_VERSION,
    num_examples=NUM_EXAMPLES,
    image_size=8,
    class_names=['a', 'b', 'c', 'd'],
    split='train',
    source='test',
    source_fingerprint='0123',
    images_sha256=checksums.sha256(directory / 'images.npy'),
    labels_sha256=checksums.sha256(directory / 'labels.npy'),
  )
  fields = {**dataclasses.asdict(info), **changes}
  (directory / 'dataset.json').write_text(json.dumps(fields))
  return f'array:{directory}'


@pytest.fixture
def src(tmp_path):
  return data.make_source(write(tmp_path / 'data'), image_size=8)


def take(iterator, count):
  """Returns the examples' numbers in the next batches, [count, b]."""
  batches = [next(iterator) for _ in range(count)]
  for batch in batches:
    assert type(batch['image']) is np.ndarray
    assert (batch['image'].dtype, batch['label'].dtype) == (np.uint8, np.int32)
    number = batch['image'][:, 0, 0, 0]
    assert (batch['image'] == number[:, None, None, None]).all()
    np.testing.assert_array_equal(batch['label'], number % 4)
  return np.stack([batch['image'][:, 0, 0, 0] for batch in batches])


def test_each_epoch_holds_every_example_once_in_another_order(src):
  stream = take(src.batches(seed=5, batch_size=10), 23).ravel()
  epochs = stream.reshape(10, NUM_EXAMPLES)
  np.testing.assert_array_equal(
    np.sort(epochs), np.broadcast_to(np.arange(NUM_EXAMPLES), epochs.shape)
  )
  assert len({e.tobytes() for e in epochs}) == 10
  other = take(src.batches(seed=6, batch_size=10), 3).ravel()
  assert (other != stream[:30]).any()


@pytest.mark.parametrize('batch_size', [1, 10, 23, 60])
def test_a_batch_is_a_function_of_its_number(src, batch_size):
  straight = take(src.batches(seed=5, batch_size=batch_size), 9)
  for start in (1, 4, 8):
    resumed = src.batches(seed=5, batch_size=batch_size, start=start)
    np.testing.assert_array_equal(take(resumed, 9 - start), straight[start:])


@pytest.mark.parametrize('processes', [2, 5, 10])
def test_processes_split_the_same_global_batch(src, processes):
  whole = take(src.batches(seed=5, batch_size=10, start=3), 6)
  parts = [
    take(
      src.batches(
        seed=5,
        batch_size=10,
        start=3,
        process_index=p,
        process_count=processes,
      ),
      6,
    )
    for p in range(processes)
  ]
  np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize('processes', [1, 3, 30])
def test_examples_are_disjoint_shares_in_stored_order(src, processes):
  seen = []
  for p in range(processes):
    batches = list(
      src.examples(batch_size=4, process_index=p, process_count=processes)
    )
    assert all(len(b['label']) == 4 for b in batches[:-1])
    seen += [b['image'][:, 0, 0, 0] for b in batches]
  np.testing.assert_array_equal(np.concatenate(seen), np.arange(NUM_EXAMPLES))


def test_examples_can_start_late(src):
  rest = [b['image'][:, 0, 0, 0] for b in src.examples(batch_size=4, start=9)]
  np.testing.assert_array_equal(
    np.concatenate(rest), np.arange(9, NUM_EXAMPLES)
  )
  share = src.examples(batch_size=99, start=2, process_index=1, process_count=2)
  np.testing.assert_array_equal(
    next(share)['image'][:, 0, 0, 0], np.arange(13, NUM_EXAMPLES)
  )


def test_batches_may_be_written_to(src):
  batch = next(src.batches(seed=0, batch_size=4))
  batch['image'][:] = 0
  batch['label'][:] = 0
  take(src.batches(seed=0, batch_size=4), 1)  # Checks the contents.


def test_epoch_order_is_pinned():
  # Sorting raw Philox output must give this on every version of NumPy.
  np.testing.assert_array_equal(
    indexed.epoch_order(3, 1, 10), [5, 8, 9, 6, 3, 7, 0, 1, 2, 4]
  )


def test_fingerprint_follows_the_content(tmp_path):
  labels = np.zeros(NUM_EXAMPLES, np.int32)
  a = write(tmp_path / 'a')
  b = write(tmp_path / 'b')
  c = write(tmp_path / 'c', labels=labels)
  a, b, c = (data.make_source(n, image_size=8).fingerprint for n in (a, b, c))
  assert a == b != c


@pytest.mark.parametrize(
  ('kwargs', 'match'),
  [
    (dict(batch_size=10, process_count=4), 'batch_size 10 .* of 4 processes'),
    (dict(batch_size=0), 'batch_size 0 must be a positive multiple'),
  ],
)
def test_impossible_batches_are_refused_at_once(src, kwargs, match):
  with pytest.raises(errors.UserError, match=match):
    src.batches(seed=0, **kwargs)


def test_examples_of_a_process_that_is_not_are_refused(src):
  with pytest.raises(ValueError, match=r'process_index 2 must be in \[0, 2\)'):
    src.batches(seed=0, batch_size=4, process_index=2, process_count=2)
  with pytest.raises(ValueError, match=r'process_index -1 must be in \[0, 1\)'):
    src.examples(batch_size=2, process_index=-1)


@pytest.mark.parametrize(
  ('changes', 'match'),
  [
    (dict(image_size=16), r'holds images of 16 pixels.*config.image_size=16'),
    (dict(split='test'), r"split 'test', not 'train'.*dataset.split=test"),
    (dict(format_version=9), 'format version 9, this program reads version 1'),
    (dict(extra=1), 'dataset.json is damaged: wrong or missing extra; prep'),
    (dict(class_names=3), 'dataset.json is damaged: wrong or .* class_names;'),
    (
      dict(images_sha256='../../x', split=None),
      'damaged: wrong or missing images_sha256, split;',
    ),
    (dict(class_names=['a', 'b']), r'example 2 has label 2; .*\[0, 2\)'),
    (
      dict(num_examples=24),
      r'images.npy is uint8 \[23, 8, 8, 3\].* says uint8 \[24, 8, 8, 3\]',
    ),
    (
      dict(labels=np.zeros(NUM_EXAMPLES, np.int64)),
      r'labels.npy is int64 \[23\], .* says int32 \[23\]',
    ),
    (
      dict(labels=np.full(NUM_EXAMPLES, -1, np.int32)),
      'example 0 has label -1; labels must be in',
    ),
  ],
)
def test_a_directory_that_does_not_fit_is_refused(tmp_path, changes, match):
  name = write(tmp_path / 'data', **changes)
  with pytest.raises(errors.UserError, match=match):
    data.make_source(name, image_size=8)


def test_damaged_directories_are_refused(tmp_path):
  directory = tmp_path / 'data'
  with pytest.raises(
    errors.UserError, match='data.* is not a prepared data set'
  ):
    data.make_source(f'array:{directory}', image_size=8)
  name = write(directory)
  path = directory / 'images.npy'
  whole = path.read_bytes()
  for length in (len(whole) - 1, 40, 0):
    path.write_bytes(whole[:length])
    with pytest.raises(
      errors.UserError, match='images.npy is cut short or damaged: .*; copy it'
    ):
      data.make_source(name, image_size=8)
  path.unlink()
  with pytest.raises(errors.UserError, match='images.npy is missing'):
    data.make_source(name, image_size=8)
  (directory / 'dataset.json').write_text('{')
  with pytest.raises(errors.UserError, match='dataset.json is damaged: it is'):
    data.make_source(name, image_size=8)


@pytest.mark.parametrize('file', ['images.npy', 'labels.npy'])
def test_files_are_bound_to_their_checksums(tmp_path, file):
  name = write(tmp_path / 'data')
  first = data.make_source(name, image_size=8).identity
  path = tmp_path / 'data' / file
  changed = np.load(path)
  changed[-1] = 3
  np.save(path, changed)
  with pytest.raises(
    errors.UserError, match=f'{file} has changed since .* dataset.json says'
  ):
    data.make_source(name, image_size=8)
  changed = {'images.npy': 'images', 'labels.npy': 'labels'}[file]
  name = write(tmp_path / 'data', **{changed: np.load(path)})  # Prepared again.
  second = data.make_source(name, image_size=8).identity
  (line,) = data.changes(first, second)
  assert line.startswith(f'{changed}_sha256: ')


def test_is_read_in_full_once(tmp_path, monkeypatch):
  name = write(tmp_path / 'data')
  data.make_source(name, image_size=8)
  monkeypatch.setattr(checksums, 'sha256', None)
  data.make_source(name, image_size=8)


def test_a_remote_directory_is_copied_once(tmp_path, monkeypatch):
  monkeypatch.setenv('SAGAN_JAX_CACHE', str(tmp_path / 'cache'))
  local = gcs.mock_gcs(monkeypatch, tmp_path)
  (tmp_path / 'bucket').mkdir()
  write(local('gs://bucket/data'))
  src = data.make_source('array:gs://bucket/data', image_size=8)
  assert src.name == 'array:gs://bucket/data'
  take(src.batches(seed=5, batch_size=10), 3)
  assert array.verify('gs://bucket/data').num_examples == NUM_EXAMPLES
  monkeypatch.setattr(checksums, 'blocks', None)  # Nothing is read or copied.
  data.make_source('array:gs://bucket/data', image_size=8)
  local('gs://bucket/data/images.npy').unlink()
  with pytest.raises(errors.UserError, match='gs://.*images.npy is missing'):
    data.make_source('array:gs://bucket/data', image_size=8)
  with pytest.raises(errors.UserError, match="'gs://b/x' is not a prepared"):
    data.make_source('array:gs://b/x', image_size=8)


def test_a_changed_remote_file_is_refused(tmp_path, monkeypatch):
  monkeypatch.setenv('SAGAN_JAX_CACHE', str(tmp_path / 'cache'))
  local = gcs.mock_gcs(monkeypatch, tmp_path)
  write(tmp_path / 'data')
  shutil.copytree(tmp_path / 'data', local('gs://bucket/data'))
  with open(local('gs://bucket/data/images.npy'), 'ab') as file:
    file.write(b'x')
  with pytest.raises(
    errors.UserError, match='gs://bucket/data/images.npy has changed since it'
  ):
    data.make_source('array:gs://bucket/data', image_size=8)
  assert list((tmp_path / 'cache' / 'arrays').iterdir()) == []


def test_abandoned_copies_are_removed(tmp_path, monkeypatch):
  monkeypatch.setenv('SAGAN_JAX_CACHE', str(tmp_path / 'cache'))
  local = gcs.mock_gcs(monkeypatch, tmp_path)
  (tmp_path / 'bucket').mkdir()
  write(local('gs://bucket/data'))
  digest = array.read_info('gs://bucket/data').images_sha256
  folder = tmp_path / 'cache' / 'arrays'
  folder.mkdir(parents=True)
  target = f'{digest[:32]}-images.npy'
  old, new = (folder / f'.{target}.{i}.part' for i in (1, 2))
  for part in (old, new):
    part.write_text('a part')
  os.utime(old, (0, 0))
  data.make_source('array:gs://bucket/data', image_size=8)
  assert (old.exists(), new.exists()) == (False, True)


def test_a_full_cache_is_refused(tmp_path, monkeypatch):
  monkeypatch.setenv('SAGAN_JAX_CACHE', str(tmp_path / 'cache'))
  local = gcs.mock_gcs(monkeypatch, tmp_path)
  (tmp_path / 'bucket').mkdir()
  write(local('gs://bucket/data'))
  usage = shutil.disk_usage(tmp_path)._replace(free=1000)
  monkeypatch.setattr(remote.shutil, 'disk_usage', lambda _: usage)
  with pytest.raises(
    errors.UserError, match='bytes in .*, its disk has 1,000 free; set SAGAN_'
  ):
    data.make_source('array:gs://bucket/data', image_size=8)


def test_the_home_directory_may_be_written_as_a_tilde(tmp_path, monkeypatch):
  write(tmp_path / 'data')
  monkeypatch.setenv('HOME', str(tmp_path))
  assert data.make_source('array:~/data', image_size=8).num_examples == 23


def test_verify_finds_one_changed_byte(tmp_path):
  directory = tmp_path / 'data'
  write(directory)
  assert array.verify(directory).num_examples == NUM_EXAMPLES
  path = directory / 'images.npy'
  content = bytearray(path.read_bytes())
  content[-1] ^= 1
  path.write_bytes(content)
  with pytest.raises(errors.UserError, match='images.npy has changed since'):
    array.verify(directory)
  path.unlink()
  with pytest.raises(errors.UserError, match='images.npy is missing'):
    array.verify(directory)


@pytest.mark.parametrize(
  ('name', 'nearest'),
  [
    ('shape', 'shapes'),
    ('tdfs:cifar10', 'tfds:NAME'),
    ('aray:/data', 'array:DIR'),
    ('array', 'array:DIR'),
    ('folder:', 'folder:DIR'),
    ('shapes:x', 'shapes'),
    ('', ''),
  ],
)
def test_unknown_names_are_refused_with_the_nearest(name, nearest):
  with pytest.raises(
    errors.UserError, match=f"unknown dataset '{name}'; did you mean '{nearest}"
  ):
    data.make_source(name, image_size=8)


@pytest.mark.parametrize(
  ('name', 'key', 'value'),
  [
    ('shapes', 'data_dir', '/data'),
    ('shapes', 'shuffle_buffer', 10),
    ('array:/data', 'num_examples', 10),
    ('folder:/data', 'data_dir', '/data'),
    ('tfds:cifar10', 'num_examples', 10),
  ],
)
def test_arguments_without_effect_are_refused(name, key, value):
  with pytest.raises(
    errors.UserError, match=f'{key}=.* has no effect on .*{name}'
  ):
    data.make_source(name, image_size=8, **{key: value})


def test_sources_without_tensorflow_do_not_import_it(tmp_path):
  name = write(tmp_path / 'data')
  code = f"""
import sys
from sagan_jax import data
for name in ('shapes', {name!r}):
  next(data.make_source(name, image_size=8).batches(seed=0, batch_size=2))
assert not {{'tensorflow', 'tensorflow_datasets', 'jax'}} & set(sys.modules)
"""
  subprocess.run([sys.executable, '-c', code], check=True)


@pytest.mark.parametrize(
  'harm, match',
  [
    (lambda path: os.truncate(path, 200), 'has changed .*, from 4,544 to 200'),
    (lambda path: path.unlink(), 'has vanished: No such file'),
  ],
)
def test_a_file_that_shrinks_while_it_is_read_is_named(
  tmp_path, src, harm, match
):
  """Instead of ending the process with SIGBUS."""
  batches = src.batches(seed=0, batch_size=4)
  next(batches)
  harm(tmp_path / 'data' / 'images.npy')
  with pytest.raises(errors.UserError, match=f'images.npy {match}'):
    next(batches)
