"""Sheets with a name beside each row."""

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from sagan_jax import errors
from sagan_jax.pictures import grids, labelled_grid

IMAGES = (
  np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3)).astype(np.uint8)
)


def margin(*names):
  """What stands at the left of rows of two images."""
  sheet = labelled_grid.labelled(IMAGES[: 2 * len(names)], 2, names)
  grid = grids.grid(IMAGES[: 2 * len(names)], 2)
  width = sheet.shape[1] - grid.shape[1]
  np.testing.assert_array_equal(sheet[:, width:], grid)
  return sheet[:, :width]


@pytest.mark.parametrize(
  'num_classes, most, shown',
  [
    (1, 16, [0]),
    (3, 16, [0, 1, 2]),
    (10, 3, [0, 4, 9]),
    (1000, 4, [0, 333, 666, 999]),
  ],
)
def test_the_classes_shown_are_evenly_spaced(num_classes, most, shown):
  assert labelled_grid.shown_classes(num_classes, most).tolist() == shown


def test_each_name_stands_beside_its_row():
  found = margin('ring', '', 'ring')
  first, second, third = found[:32], found[33:65], found[66:]
  np.testing.assert_array_equal(first, third)
  assert first.min() < 64 and second.min() == 255  # Black on white.
  inked = np.flatnonzero(first.min((1, 2)) < 128)
  assert 8 <= inked[0] < inked[-1] <= 24  # In the middle.
  assert not np.array_equal(margin('star', '', '')[:32], first)


def test_a_long_name_is_cut():
  long = margin('a' * 30)
  assert long.shape[1] <= 120
  np.testing.assert_array_equal(long, margin('a' * 300))
  assert long.min(0).min() < 128


def test_a_name_is_one_line_of_printable_letters():
  np.testing.assert_array_equal(margin('a\n\0 b'), margin('a b'))


@pytest.mark.parametrize('height', [1, 4, 256])
def test_any_size_of_image_has_a_margin(height):
  images = np.zeros((3, height, height, 3), np.uint8)
  sheet = labelled_grid.labelled(images, 1, ['disc', 'ring', 'star', 'none'])
  grid = grids.grid(images, 1)
  np.testing.assert_array_equal(sheet[:, -height:], grid)


def test_a_saved_sheet_tells_its_names(tmp_path):
  sheet = labelled_grid.labelled(IMAGES, 2, ['<b>', 'ü', ''])
  labelled_grid.save(tmp_path / 'a.png', sheet, ['<b>', 'ü', ''])
  with Image.open(tmp_path / 'a.png') as image:
    assert labelled_grid.names_in(image) == ['<b>', 'ü', '']
    np.testing.assert_array_equal(np.asarray(image), sheet)


@pytest.mark.parametrize('text', [None, '', '{}', '[1]', '"disc"'])
def test_a_sheet_of_unknown_rows_has_no_names(tmp_path, text):
  info = PngImagePlugin.PngInfo()
  if text is not None:
    info.add_text('rows', text)
  Image.new('RGB', (4, 4)).save(tmp_path / 'a.png', pnginfo=info)
  with Image.open(tmp_path / 'a.png') as image:
    assert labelled_grid.names_in(image) is None


def test_a_sheet_that_cannot_be_written_is_named(tmp_path):
  with pytest.raises(errors.UserError, match='cannot write .*none/a.png'):
    labelled_grid.save(tmp_path / 'none' / 'a.png', IMAGES[0], [])
