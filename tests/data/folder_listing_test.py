"""Tests of listing folders of images."""

import numpy as np
import pytest

from sagan_jax import errors
from sagan_jax.data import folder_listing


def fill(folder, names):
  """Makes files, which are only listed here."""
  folder.mkdir(parents=True, exist_ok=True)
  for name in names:
    (folder / name).write_text('')


def test_files_are_listed_by_class_and_name(tmp_path):
  fill(tmp_path / 'b' / 'deep' / 'er', ['y.JPG', 'x.jpeg'])
  fill(tmp_path / 'b', ['z.webp', 'a.png', 'a.gif', 'a.jpg.txt'])
  fill(tmp_path / 'a', ['1.jpg'])
  fill(tmp_path, ['loose.jpg', 'notes.txt'])
  listing = folder_listing.list_files(tmp_path, 'train')
  assert listing.files == [
    'a/1.jpg',
    'b/a.png',
    'b/deep/er/x.jpeg',
    'b/deep/er/y.JPG',
    'b/z.webp',
  ]
  np.testing.assert_array_equal(listing.labels, [0, 1, 1, 1, 1])
  assert listing.class_names == ('a', 'b')
  assert (listing.num_other, listing.num_loose) == (3, 1)
  assert listing.path(0) == f'{tmp_path}/a/1.jpg'


def test_a_class_may_be_a_link_but_no_folder_below_it(tmp_path):
  fill(tmp_path / 'elsewhere', ['1.jpg'])
  data = tmp_path / 'data'
  data.mkdir()
  (data / 'a').symlink_to(tmp_path / 'elsewhere')
  (tmp_path / 'elsewhere' / 'circle').symlink_to(data)
  listing = folder_listing.list_files(data, 'train')
  assert (listing.files, listing.num_other) == (['a/1.jpg'], 1)


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path, monkeypatch):
  fill(tmp_path / 'a', ['1.jpg'])

  def scandir(path):
    raise PermissionError(13, 'Permission denied', path)

  monkeypatch.setattr(folder_listing.os, 'scandir', scandir)
  with pytest.raises(
    errors.UserError, match="cannot list '.*': Permission denied"
  ):
    folder_listing.list_files(tmp_path, 'train')
