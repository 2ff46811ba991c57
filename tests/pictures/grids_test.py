"""Sheets of images."""

import numpy as np
import pytest
from PIL import Image

from sagan_jax import errors, files
from sagan_jax.pictures import grids
from tests.support import gcs


def test_a_grid_is_filled_row_by_row():
  images = np.stack([np.full((4, 4, 3), 10 * i, np.uint8) for i in range(1, 6)])
  sheet = grids.grid(images, 3)
  # Two rows of three, one pixel between them, the last place white.
  assert sheet.shape == (9, 14, 3)
  expected = np.full((9, 14), 255)
  for i, (top, left) in enumerate([(0, 0), (0, 5), (0, 10), (5, 0), (5, 5)]):
    expected[top : top + 4, left : left + 4] = 10 * (i + 1)
  np.testing.assert_array_equal(sheet, expected[..., None].repeat(3, -1))


def test_a_png_holds_the_pixels(tmp_path):
  image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
  grids.save_png(tmp_path / 'a.png', image)
  np.testing.assert_array_equal(Image.open(tmp_path / 'a.png'), image)


def test_a_png_can_go_to_a_bucket(tmp_path, monkeypatch):
  local = gcs.mock_gcs(monkeypatch, tmp_path)
  image = np.full((5, 7, 3), 9, np.uint8)
  grids.save_png(files.as_path('gs://b/r/a.png'), image)
  np.testing.assert_array_equal(Image.open(local('gs://b/r/a.png')), image)


def test_a_png_that_cannot_be_written_is_named(tmp_path):
  with pytest.raises(errors.UserError, match='cannot write .*none/a.png'):
    grids.save_png(tmp_path / 'none' / 'a.png', np.zeros((4, 4, 3), np.uint8))
