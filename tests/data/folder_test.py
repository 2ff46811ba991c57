"""Tests of reading folders of image files."""

import gc
import shutil
import subprocess
import sys
import tarfile
import threading
import time

import numpy as np
import pytest
from PIL import Image

from sagan_jax import data, errors
from sagan_jax.data import folder, prefetch
from tests.support import gcs


def save(path, colour=(200, 100, 50), size=(12, 12)):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.new('RGB', size, colour).save(path)


@pytest.fixture
def root(tmp_path):
  """Two classes; the red value of an image is its number in stored order."""
  for i in range(4):
    save(tmp_path / 'train' / 'ant' / f'{i}.png', (i, 0, 0))
  save(tmp_path / 'train' / 'bee' / 'deep' / 'a.PNG', (4, 0, 0))
  save(tmp_path / 'train' / 'bee' / 'deep' / 'b.png', (5, 0, 0))
  save(tmp_path / 'train' / 'bee' / 'z.png', (6, 0, 0))
  (tmp_path / 'train' / 'bee' / 'notes.txt').write_text('not an image')
  save(tmp_path / 'val' / 'ant' / '0.png', (90, 0, 0))
  save(tmp_path / 'val' / 'bee' / '0.png', (91, 0, 0))
  return tmp_path


def numbers(batches):
  return np.concatenate([b['image'][:, 0, 0, 0] for b in batches])


def test_stored_order_is_by_class_and_name(root):
  src = data.make_source(f'folder:{root}', image_size=8)
  assert (src.num_examples, src.num_classes) == (7, 2)
  assert src.class_names == ('ant', 'bee')
  batches = list(src.examples(batch_size=3))
  np.testing.assert_array_equal(numbers(batches), np.arange(7))
  label = np.concatenate([b['label'] for b in batches])
  np.testing.assert_array_equal(label, [0, 0, 0, 0, 1, 1, 1])
  assert label.dtype == np.int32
  assert batches[0]['image'].shape == (3, 8, 8, 3)
  assert batches[0]['image'].dtype == np.uint8
  np.testing.assert_array_equal(
    numbers(src.examples(batch_size=3, start=5)), [5, 6]
  )
  val = data.make_source(f'folder:{root}', image_size=8, split='val')
  np.testing.assert_array_equal(numbers(val.examples(batch_size=9)), [90, 91])


def test_class_folders_alone_are_the_train_split(root):
  whole = data.make_source(f'folder:{root}', image_size=8)
  direct = data.make_source(f'folder:{root}/train', image_size=8)
  assert direct.fingerprint == whole.fingerprint
  np.testing.assert_array_equal(
    numbers(direct.examples(batch_size=9)), np.arange(7)
  )


def test_batches_restart_and_split_exactly(root):
  src = data.make_source(f'folder:{root}', image_size=8)

  def read(count, **kwargs):
    iterator = src.batches(seed=3, batch_size=4, **kwargs)
    return np.stack([numbers([next(iterator)]) for _ in range(count)])

  straight = read(7)
  np.testing.assert_array_equal(
    np.sort(straight.reshape(4, 7)), np.tile(np.arange(7), (4, 1))
  )
  np.testing.assert_array_equal(read(2, start=5), straight[5:])
  halves = [read(7, process_index=p, process_count=2) for p in range(2)]
  np.testing.assert_array_equal(np.concatenate(halves, axis=1), straight)


def test_threads_end_with_the_source(root):
  before = set(threading.enumerate())

  def decoders():
    new = set(threading.enumerate()) - before
    return [t for t in new if t.name.startswith('decode')]

  src = data.make_source(f'folder:{root}', image_size=8)
  iterator = src.batches(seed=0, batch_size=4)
  next(iterator)
  assert decoders()
  del src, iterator
  gc.collect()
  deadline = time.monotonic() + 10
  while decoders():
    assert time.monotonic() < deadline
    time.sleep(0.001)


def test_identity_follows_contents_and_size(root, tmp_path):
  first = data.make_source(f'folder:{root}', image_size=8).identity
  assert list(first['classes']) == ['ant', 'bee']
  assert data.make_source(f'folder:{root}', image_size=8).identity == first
  shutil.copytree(root, tmp_path / 'moved')
  moved = data.make_source(f'folder:{tmp_path}/moved', image_size=8)
  assert moved.identity == first
  larger = data.make_source(f'folder:{root}', image_size=9)
  assert data.changes(first, larger.identity) == ['image_size: 9 instead of 8']
  assert larger.fingerprint != moved.fingerprint
  ant = root / 'train' / 'ant'
  (ant / '0.png').rename(ant / '00.png')
  second = data.make_source(f'folder:{root}', image_size=8).identity
  assert data.changes(first, second) == [
    'class ant: the same number of files, other contents'
  ]
  (ant / '00.png').rename(ant / '0.png')
  content = bytearray((ant / '0.png').read_bytes())
  content[-1] ^= 1
  (ant / '0.png').write_bytes(content)  # Of the same size.
  third = data.make_source(f'folder:{root}', image_size=8).identity
  assert data.changes(first, third) == data.changes(first, second)
  assert third != second
  (ant / '0.png').unlink()
  fourth = data.make_source(f'folder:{root}', image_size=8).identity
  assert data.changes(first, fourth) == ['class ant: 3 files instead of 4']


def test_what_one_might_not_expect_is_told(root, capsys):
  save(root / 'train' / 'loose.png')
  (root / 'train' / 'README').write_text('of the data')
  save(root / 'train' / '.ipynb_checkpoints' / 'x.png')
  save(root / 'train' / '__MACOSX' / 'x.png')
  (root / 'train' / 'ant' / '._0.png').write_bytes(b'not an image')
  save(root / 'train' / 'ant' / '9.png', size=(7, 99))
  src = data.make_source(f'folder:{root}', image_size=8)
  assert (src.num_examples, src.class_names) == (8, ('ant', 'bee'))
  assert capsys.readouterr().err.splitlines() == [
    f'folder:{root}: skipped 2 files with other suffixes and 1 images in no '
    'class folder',
    f'folder:{root}: 1 of 8 images are smaller than image_size 8 and are '
    'enlarged',
  ]
  data.make_source(f'folder:{root}', image_size=8, split='val')
  assert capsys.readouterr().err == ''


@pytest.mark.parametrize('below', ['', 'train/'])
def test_a_flat_folder_is_one_class(tmp_path, below):
  for i in range(3):
    save(tmp_path / f'{below}{i}.png', (i, 0, 0))
  src = data.make_source(f'folder:{tmp_path}', image_size=8)
  assert (src.num_classes, src.class_names) == (1, ('images',))
  (batch,) = src.examples(batch_size=9)
  np.testing.assert_array_equal(numbers([batch]), [0, 1, 2])
  np.testing.assert_array_equal(batch['label'], [0, 0, 0])


def test_a_remote_folder_is_read(root, tmp_path, monkeypatch):
  local = gcs.mock_gcs(monkeypatch, tmp_path / 'remote')
  here = data.make_source(f'folder:{root}', image_size=8)
  shutil.copytree(root / 'train', local('gs://bucket/data/train'))
  there = data.make_source('folder:gs://bucket/data', image_size=8)
  assert there.identity == here.identity
  np.testing.assert_array_equal(
    numbers(there.examples(batch_size=9)), np.arange(7)
  )
  there.verify()
  local('gs://bucket/data/train/ant/2.png').unlink()
  with pytest.raises(errors.UserError, match='gs://.*/2.png cannot be read'):
    list(there.examples(batch_size=9))


def test_the_home_directory_may_be_written_as_a_tilde(root, monkeypatch):
  monkeypatch.setenv('HOME', str(root))
  assert data.make_source('folder:~', image_size=8).num_examples == 7


def test_image_folder_of_cifar10(shared_data, tmp_path):
  wanted = {f'train/{c}/000{i}.jpg' for c in ('cat', 'ship') for i in range(3)}
  archive = shared_data / 'cifar10' / 'cifar10_jpeg_q75.tar.xz'
  with tarfile.open(archive) as tar:
    for member in tar:  # Stops early: the archive takes seconds to unpack.
      if member.name in wanted:
        tar.extract(member, tmp_path, filter='data')
        wanted.remove(member.name)
      if not wanted:
        break
  src = data.make_source(f'folder:{tmp_path}', image_size=32)
  assert src.class_names == ('cat', 'ship')
  (batch,) = src.examples(batch_size=6)
  with Image.open(tmp_path / 'train' / 'ship' / '0001.jpg') as image:
    np.testing.assert_array_equal(batch['image'][4], np.asarray(image))


def truncate(path):
  path.write_bytes(path.read_bytes()[:-20])


def test_every_unreadable_header_is_told_at_once(root):
  for i in range(30):
    (root / 'train' / 'bee' / f'{i:02}.jpg').write_bytes(b'no image')
  (root / 'train' / 'ant' / '0.png').write_bytes(b'')
  with pytest.raises(errors.UserError) as e:
    data.make_source(f'folder:{root}', image_size=8)
  lines = str(e.value).splitlines()
  assert lines[0] == (
    f'31 of 37 files in {root}/train cannot be read as images; repair or '
    'remove them:'
  )
  reason = 'it is not a JPEG, PNG or WebP image'
  assert lines[1:3] == [f'  ant/0.png: {reason}', f'  bee/00.jpg: {reason}']
  assert (len(lines), lines[-1]) == (22, '  and 11 more')


def test_verify_tells_every_file_that_cannot_be_decoded(root):
  src = data.make_source(f'folder:{root}', image_size=8)
  src.verify()
  assert folder.verify(root, split='train') == (7, 2)
  for path in ('ant/1.png', 'bee/z.png'):
    truncate(root / 'train' / path)
  for verify in (src.verify, lambda: folder.verify(root, split='train')):
    with pytest.raises(
      errors.UserError,
      match='(?s)^2 of 7 files in .*  ant/1.png: .*truncated.*  bee/z.png: ',
    ):
      verify()


def test_a_corrupt_file_is_named_through_the_prefetcher(root):
  src = data.make_source(f'folder:{root}', image_size=8)
  truncate(root / 'train' / 'bee' / 'z.png')
  batches = src.batches(seed=0, batch_size=7)
  with prefetch.Prefetcher(batches, lambda x: x, depth=2) as reader:
    with pytest.raises(
      errors.UserError, match='bee/z.png cannot be read as an image: .*; repair'
    ):
      next(reader)


def test_missing_folders_are_refused(root, tmp_path):
  with pytest.raises(
    errors.UserError, match="nowhere' is not a folder; set --conf"
  ):
    data.make_source(f'folder:{tmp_path}/nowhere', image_size=8)
  with pytest.raises(
    errors.UserError, match="folder 'test'; it has train, val; set"
  ):
    data.make_source(f'folder:{root}', image_size=8, split='test')
  with pytest.raises(
    errors.UserError, match="'val'; it has no split folders, so"
  ):
    data.make_source(f'folder:{root}/train', image_size=8, split='val')
  empty = root / 'train' / 'cow'
  empty.mkdir()
  with pytest.raises(
    errors.UserError, match="class folder '.*cow' has no image"
  ):
    data.make_source(f'folder:{root}', image_size=8)
  with pytest.raises(
    errors.UserError, match="cow' has no class folders and no"
  ):
    data.make_source(f'folder:{empty}', image_size=8)


def test_needs_no_tensorflow(root):
  code = f"""
import sys
from sagan_jax import data
source = data.make_source('folder:{root}', image_size=8)
next(source.batches(seed=0, batch_size=2))
assert not {{'tensorflow', 'tensorflow_datasets', 'jax'}} & set(sys.modules)
"""
  subprocess.run([sys.executable, '-c', code], check=True)


def test_some_bad_images_may_be_left_out(root, capsys):
  """One without a header, and one that is cut short behind it."""
  name = f'folder:{root}'
  fine = data.make_source(name, image_size=8)
  (root / 'train' / 'ant' / '1.png').write_bytes(b'none')
  whole = (root / 'train' / 'bee' / 'z.png').read_bytes()
  (root / 'train' / 'bee' / 'z.png').write_bytes(whole[: len(whole) - 30])
  for most in (None, 1):
    with pytest.raises(errors.UserError, match='of 7 files .*\n  ant/1.png: '):
      data.make_source(name, image_size=8, max_bad_images=most)
  capsys.readouterr()
  src = data.make_source(name, image_size=8, max_bad_images=2)
  assert 'left out 2 files that cannot be read' in capsys.readouterr().err
  np.testing.assert_array_equal(
    numbers(src.examples(batch_size=9)), [0, 2, 3, 4, 5]
  )
  assert src.num_examples == 5 and src.fingerprint != fine.fingerprint
  # Without them it is the same data.
  (root / 'train' / 'ant' / '1.png').unlink()
  (root / 'train' / 'bee' / 'z.png').unlink()
  for most in (None, 2):
    again = data.make_source(name, image_size=8, max_bad_images=most)
    assert again.fingerprint == src.fingerprint
  for path in (root / 'train' / 'bee' / 'deep').iterdir():
    path.write_bytes(b'none')
  with pytest.raises(errors.UserError, match="no image of the class 'bee'"):
    data.make_source(name, image_size=8, max_bad_images=9)
