"""Sheets of images."""

import numpy as np
from PIL import Image

from sagan_jax.pictures import grids


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
