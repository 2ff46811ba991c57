"""Sheets of images with words."""

import numpy as np
import pytest

from sagan_jax import errors
from sagan_jax.pictures import labelled

IMAGES = np.random.default_rng(0).integers(0, 200, (5, 32, 32, 3), np.uint8)


def _places(drawn, image):
  """Where an enlarged image is on a sheet: a list of (top, left)."""
  big = image.repeat(2, 0).repeat(2, 1)
  h, w, _ = big.shape
  rows, columns = np.nonzero((drawn == big[0, 0]).all(-1))
  return [
    (y, x)
    for y, x in zip(rows, columns, strict=True)
    if np.array_equal(drawn[y : y + h, x : x + w], big)
  ]


def test_images_stand_in_rows_with_exact_pixels():
  sheet = labelled.Sheet(
    32, 3, ['a', 'longer name'], titles=('title\nmore',), captions=True
  )
  drawn = sheet.draw(IMAGES, title='title\nmore', captions=[*'abcde'])
  assert drawn.shape == (sheet.height, sheet.width, 3)
  places = [_places(drawn, image) for image in IMAGES]
  assert all(len(x) == 1 for x in places)
  tops, lefts = np.array(places)[:, 0].T
  assert len(set(tops[:3])) == 1 and tops[3] == tops[4] > tops[0] + 64
  np.testing.assert_array_equal(lefts[:2], lefts[3:])
  assert lefts[0] < lefts[1] < lefts[2] <= sheet.width - 64
  # Words: above, at the left, and below each image.
  for part in (
    drawn[: tops[0]],
    drawn[tops[0] : tops[0] + 64, : lefts[0]],
    drawn[tops[3] :, : lefts[0]],
    drawn[tops[3] + 64 :, lefts[1] :],
  ):
    assert part.min() < 128


def test_a_sheet_without_words_has_none():
  sheet = labelled.Sheet(32, 2, [''])
  drawn = sheet.draw(IMAGES[:2]).copy()
  for image in IMAGES[:2]:
    ((top, left),) = _places(drawn, image)
    drawn[top : top + 64, left : left + 64] = 255
  assert (drawn == 255).all()


def test_large_images_are_not_enlarged():
  assert labelled.Sheet(128, 1, ['']).width == 128 + 12
  assert labelled.Sheet(32, 1, [''], min_image=128).width == 128 + 12


@pytest.mark.parametrize(
  ('columns', 'rows', 'match'),
  [
    (10, 1000, 'a grid would be .* x 66,.* a side or .*; ask for less'),
    (1000, 10, 'a grid would be 66,'),
    (300, 300, '120 million in all'),
  ],
)
def test_what_nobody_can_look_at_is_refused(columns, rows, match):
  sheet = labelled.Sheet(32, columns, [''] * rows)
  with pytest.raises(errors.UserError, match=match):
    sheet.check('a grid', 'ask for less')


def test_names_are_cut_to_their_width():
  assert labelled.fit('ring', 200) == 'ring'
  cut = labelled.fit('w' * 10**6, 100)
  assert cut.endswith('…') and set(cut[:-1]) == {'w'}
  assert labelled._width(cut) <= 100 < labelled._width(cut[:-1] + 'w…')
  assert labelled.fit('w', 1) == '…'


def test_names_may_hold_any_character():
  name = 'a\nb\x1b[31m\ud800\u202e日本'
  assert labelled.clean(name) == 'a\ufffdb\ufffd[31m\ufffd\ufffd日本'
  drawn = labelled.Sheet(32, 1, [name]).draw(IMAGES[:1])
  assert len(_places(drawn, IMAGES[0])) == 1


@pytest.mark.parametrize(
  ('count', 'shape'), [(1, (1, 1)), (4, (2, 2)), (5, (3, 2)), (10, (4, 3))]
)
def test_a_square_holds_all(count, shape):
  assert labelled.square(count) == shape
