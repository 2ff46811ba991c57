"""Tests of reading CIFAR-10's own files."""

import lzma

import numpy as np
import pytest

from sagan_jax import data, errors
from sagan_jax.data import cifar10_binary
from tests.support import gcs

RECORD = cifar10_binary.RECORD_BYTES


def record(label, red=0, green=0, blue=0):
  planes = [np.full(1024, value, np.uint8) for value in (red, green, blue)]
  return bytes([label]) + b''.join(p.tobytes() for p in planes)


def test_planes_and_files_are_put_in_order(tmp_path):
  planes = np.arange(3072) % 251
  (tmp_path / 'data_batch_2.bin').write_bytes(record(9, 1, 2, 3))
  (tmp_path / 'data_batch_1.bin').write_bytes(
    bytes([4]) + planes.astype(np.uint8).tobytes() + record(0, 7, 8, 9)
  )
  (tmp_path / 'test_batch.bin').write_bytes(record(5, 4, 5, 6))
  src = data.make_source(f'cifar10_binary:{tmp_path}', image_size=32)
  (batch,) = src.examples(batch_size=10)
  np.testing.assert_array_equal(batch['label'], [4, 0, 9])
  assert batch['label'].dtype == np.int32
  assert batch['image'].dtype == np.uint8
  # Row 5, column 7 of plane c is byte c * 1024 + 5 * 32 + 7.
  np.testing.assert_array_equal(
    batch['image'][0, 5, 7], [(c * 1024 + 167) % 251 for c in range(3)]
  )
  np.testing.assert_array_equal(
    batch['image'][1:, 31, 0], [[7, 8, 9], [1, 2, 3]]
  )
  held_out = data.make_source(
    f'cifar10_binary:{tmp_path}', image_size=32, split='test'
  )
  (batch,) = held_out.examples(batch_size=10)
  np.testing.assert_array_equal(batch['label'], [5])
  assert held_out.fingerprint != src.fingerprint


def test_published_records(shared_data, tmp_path):
  packed = shared_data / 'cifar10' / 'data_batch_1_first4000.bin.xz'
  path = tmp_path / 'data_batch_1.bin'
  with lzma.open(packed) as f:
    path.write_bytes(f.read(100 * RECORD))
  src = data.make_source(f'cifar10_binary:{path}', image_size=32)
  batch = next(src.examples(batch_size=100))
  # data_batch_1 begins with a frog, two trucks, a deer and two automobiles.
  np.testing.assert_array_equal(
    batch['label'][:10], [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
  )
  image = batch['image'].astype(np.float32)
  # Neighbours in photos agree, unless planes or rows are mixed up (30 or more).
  assert np.abs(np.diff(image, axis=1)).mean() < 20
  assert np.abs(np.diff(image, axis=2)).mean() < 20
  shuffled = next(src.batches(seed=1, batch_size=100))
  np.testing.assert_array_equal(
    np.sort(shuffled['image'].sum((1, 2, 3))),
    np.sort(batch['image'].sum((1, 2, 3))),
  )


@pytest.mark.parametrize(
  ('kwargs', 'match'),
  [
    (dict(image_size=64), '32 pixels, not 64; set --config.image_size=32'),
    (dict(split='validation'), "no split 'validation'"),
    (dict(split='test'), r'holds no test_batch\*.bin'),
  ],
)
def test_wrong_arguments_are_refused(tmp_path, kwargs, match):
  (tmp_path / 'data_batch_1.bin').write_bytes(record(0))
  with pytest.raises(errors.UserError, match=match):
    data.make_source(
      f'cifar10_binary:{tmp_path}', **{'image_size': 32, **kwargs}
    )


@pytest.mark.parametrize(
  ('content', 'match'),
  [
    (record(1) + b'x', 'data_batch_1.bin has 3074 bytes.*multiple of 3073'),
    (b'', 'data_batch_1.bin has 0 bytes'),
    (record(3) + record(10), 'data_batch_1.bin: example 1 has label 10'),
  ],
)
def test_damaged_files_are_refused(tmp_path, content, match):
  path = tmp_path / 'data_batch_1.bin'
  path.write_bytes(content)
  with pytest.raises(errors.UserError, match=match):
    data.make_source(f'cifar10_binary:{path}', image_size=32)


def test_a_missing_folder_is_refused(tmp_path):
  with pytest.raises(
    errors.UserError, match=r'none. holds no data_batch_\*.bin'
  ):
    data.make_source(f'cifar10_binary:{tmp_path / "none"}', image_size=32)


def test_an_unreadable_file_is_refused(tmp_path):
  (tmp_path / 'data_batch_1.bin').mkdir()
  with pytest.raises(errors.UserError, match='cannot read .*1.bin: Is a dir'):
    data.make_source(f'cifar10_binary:{tmp_path}', image_size=32)


def test_a_remote_folder_is_read(tmp_path, monkeypatch):
  local = gcs.mock_gcs(monkeypatch, tmp_path)
  folder = local('gs://bucket/cifar')
  folder.mkdir(parents=True)
  (folder / 'data_batch_1.bin').write_bytes(record(3, 7))
  for place in ('gs://bucket/cifar', 'gs://bucket/cifar/data_batch_1.bin'):
    src = data.make_source(f'cifar10_binary:{place}', image_size=32)
    (batch,) = src.examples(batch_size=10)
    assert (batch['label'].tolist(), batch['image'][0, 0, 0, 0]) == ([3], 7)
