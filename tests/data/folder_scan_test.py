"""Tests of reading the headers of a folder of images."""

import io
import os
import threading
import time

import numpy as np
import pytest
from PIL import Image

from sagan_jax import errors
from sagan_jax.data import folder_listing, folder_scan


def fill(folder, names, size=(9, 5), **kwargs):
  file = io.BytesIO()
  Image.new('RGB', size).save(file, 'jpeg', **kwargs)
  folder.mkdir(parents=True, exist_ok=True)
  for name in names:
    (folder / name).write_bytes(file.getvalue())


def test_headers_tell_size_and_side(tmp_path):
  fill(tmp_path, ['1.jpg'])
  fill(tmp_path, ['2.jpg'], size=(300, 400))
  headers = folder_scan.read_headers(
    folder_listing.list_files(tmp_path, 'train')
  )
  np.testing.assert_array_equal(headers.sides, [5, 300])
  assert headers.sizes == [
    os.path.getsize(tmp_path / f'{i}.jpg') for i in (1, 2)
  ]
  assert len(set(headers.digests)) == 2


def test_a_header_may_be_longer_than_the_first_read(tmp_path):
  fill(tmp_path, ['1.jpg'], icc_profile=bytes(50_000))
  headers = folder_scan.read_headers(
    folder_listing.list_files(tmp_path, 'train')
  )
  np.testing.assert_array_equal(headers.sides, [5])


def test_unreadable_files_have_reasons(tmp_path):
  fill(tmp_path, ['1.jpg', '2.jpg'])
  (tmp_path / '3.jpg').write_bytes(b'')
  Image.new('1', (10_000, 8_001)).save(tmp_path / '4.png')
  (tmp_path / '5.jpg').symlink_to(tmp_path / 'nowhere')
  with pytest.raises(
    errors.UserError,
    match='^3 of 5 files in .* cannot be read as images; repair or remove them:'
    '\n  3.jpg: it is not a JPEG, PNG or WebP image'
    '\n  4.png: it has 10000 x 8001 pixels, over 80,000,000'
    '\n  5.jpg: No such file or directory$',
  ):
    folder_scan.read_headers(folder_listing.list_files(tmp_path, 'train'))


@pytest.mark.parametrize('waits', [False, True])
def test_threads_read_headers_where_reading_waits(tmp_path, monkeypatch, waits):
  names = [f'{i:04}.jpg' for i in range(600)]
  fill(tmp_path, names)
  ticks = iter(range(100))
  # Two seconds by the wall between two looks at it, one or none of work.
  monkeypatch.setattr(folder_scan.time, 'perf_counter', lambda: 2 * next(ticks))
  busy = iter([0, 0] if waits else [0, 2])
  monkeypatch.setattr(folder_scan.time, 'thread_time', lambda: next(busy))
  threads, read = set(), folder_scan._read_header

  def noted(path):
    threads.add(threading.get_ident())
    time.sleep(0.0005)  # Else one thread may have done all of it.
    return read(path)

  monkeypatch.setattr(folder_scan, '_read_header', noted)
  listing = folder_listing.list_files(tmp_path, 'train')
  headers = folder_scan.read_headers(listing)
  assert len(headers.sizes) == 600
  threads.discard(threading.get_ident())  # Of the first look.
  assert (len(threads) > 1) == waits


def test_results_are_in_the_order_of_the_files(tmp_path):
  fill(tmp_path, [f'{i:04}.jpg' for i in range(600)])
  listing = folder_listing.list_files(tmp_path, 'train')
  found = folder_scan.for_each(listing, str, what='x', num_threads=8)
  assert found == [listing.path(i) for i in range(600)]
