"""Numbers about attention maps, on maps where they are known."""

import numpy as np
import pytest

from sagan_jax.pictures.attention import statistics
from tests.support import known_attention


def _rows(size, keys, kind):
  """The rows of `known_attention` of a kind, at any resolution."""
  if kind == 'uniform':
    known = np.full((size**2, keys**2), keys**-2.0, np.float32)
  else:
    known = known_attention.rows({'own': 8, 'one': 32}[kind], keys)
  size = int(len(known) ** 0.5)
  return known.reshape(1, size, size, keys, keys)


def _means(found):
  return {name: value.item() for name, value in found.items()}


def test_uniform_rows():
  found = _means(statistics.spread(_rows(16, 8, 'uniform')))
  assert found['entropy'] == pytest.approx(np.log(64))
  assert found['distance'] == pytest.approx(found['uniform_distance'])
  assert found['row_difference'] == pytest.approx(0, abs=1e-9)


def test_rows_that_look_at_their_own_place():
  found = _means(statistics.spread(_rows(8, 8, 'own')))
  assert found['entropy'] == found['distance'] == 0
  assert found['row_difference'] == pytest.approx(63 / 64)
  # A cell of 2x2 has its centre half a pixel from that of a pixel, both ways.
  pooled = _means(statistics.spread(_rows(8, 4, 'own')))
  assert pooled['distance'] == pytest.approx(np.sqrt(0.5))


def test_rows_that_all_look_at_one_place():
  found = _means(statistics.spread(_rows(32, 16, 'one')))
  assert found['entropy'] == found['row_difference'] == 0
  y, x = np.indices((32, 32))
  # Key 5 of 16 x 16 lies in row 0, column 5.
  expected = np.hypot(y - 0.5, x - 10.5).mean()
  assert found['distance'] == pytest.approx(expected)


def _images(n=2):
  rng = np.random.default_rng(0)
  return rng.integers(0, 256, (n, 16, 16, 3)).astype(np.uint8)


def _following(strength_of_colour, strength_of_distance):
  """Rows at 8x8 that fall with the difference of colours and the distance."""
  images = _images()
  colours = statistics.cells(images, 8).reshape(2, 64, 3)
  colour = np.linalg.norm(colours[:, :, None] - colours[:, None], axis=-1)
  place = np.indices((8, 8)).reshape(2, -1).T
  distance = np.linalg.norm(place[:, None] - place, axis=-1)
  logits = -strength_of_colour * colour - strength_of_distance * distance
  rows = np.exp(logits)
  rows /= rows.sum(-1, keepdims=True)
  return rows.reshape(2, 8, 8, 8, 8).astype(np.float32), images


def test_colour_and_nearness_are_told_apart():
  by_colour = statistics.colour_and_distance(*_following(5, 0))
  assert by_colour['colour'].min() > 0.999
  assert abs(by_colour['nearness']).max() < 0.05
  by_distance = statistics.colour_and_distance(*_following(0, 1))
  assert by_distance['nearness'].min() > 0.999
  assert abs(by_distance['colour']).max() < 0.05
  away = statistics.colour_and_distance(*_following(-5, 0))
  assert away['colour'].max() < -0.999


def test_uniform_rows_follow_nothing():
  rows = np.full((2, 8, 8, 8, 8), 1 / 64, np.float32)
  # Rounding errors are no order.
  rows *= 1 + 1e-7 * np.random.default_rng(0).standard_normal(rows.shape)
  found = statistics.colour_and_distance(rows.astype(np.float32), _images())
  assert np.isnan(found['colour']).all() and np.isnan(found['nearness']).all()


def test_an_image_of_one_colour_says_nothing_of_colour():
  rows, _ = _following(0, 1)
  found = statistics.colour_and_distance(
    rows, np.full((2, 16, 16, 3), 7, np.uint8)
  )
  assert found['nearness'].min() > 0.999
  np.testing.assert_allclose(found['colour'], 0)


def _half_and_corner():
  """A figure on the left half of 16 x 16, and marks in a corner of the right."""
  figure = np.zeros((1, 16, 16), np.float32)
  figure[:, :, :8] = 1
  marks = np.zeros_like(figure)
  marks[:, :4, 12:] = 1
  return figure, marks


def test_uniform_rows_fall_on_an_object_by_its_area():
  rows = np.full((1, 16, 16, 8, 8), 1 / 64, np.float32)
  found = _means(statistics.on_figure(rows, *_half_and_corner()))
  for name, area in (('on_object', 1 / 2), ('on_marks', 1 / 16)):
    for other in ('', '_uniform', '_fixed_shape', '_from_background'):
      assert found[name + other] == pytest.approx(area), name + other


def test_rows_that_keep_to_the_object_are_told_from_a_neighbourhood():
  figure, marks = _half_and_corner()
  keys = statistics.cells(figure, 8)[0]
  inside = figure[0, :, :, None, None] * keys
  outside = (1 - figure[0])[:, :, None, None] * (1 - keys)
  rows = (inside + outside)[None] / 32
  found = _means(statistics.on_figure(rows, figure, marks))
  assert found['on_object'] == pytest.approx(1)
  assert found['on_object_from_background'] == pytest.approx(0)
  assert found['on_object_uniform'] == pytest.approx(0.5)
  assert 0.5 < found['on_object_fixed_shape'] < 0.9
  assert found['on_marks'] == 0


def test_a_neighbourhood_of_fixed_shape_is_its_own_baseline():
  place = np.indices((16, 16)).reshape(2, -1).T
  # Rows are constant at each distance, as the baseline is.
  distance = np.linalg.norm(place[:, None] - place, axis=-1).round()
  rows = np.exp(-distance)
  rows /= rows.sum(-1, keepdims=True)
  rows = rows.reshape(1, 16, 16, 16, 16)
  found = _means(statistics.on_figure(rows, *_half_and_corner()))
  assert found['on_object'] == pytest.approx(found['on_object_fixed_shape'])
  assert found['on_object'] > 0.8


def test_rows_of_all_queries_alike_are_no_following_of_the_object():
  rows = np.zeros((1, 16, 16, 8, 8), np.float32)
  rows[..., 3, 1] = 1  # A cell of the object, for every query.
  found = _means(statistics.on_figure(rows, *_half_and_corner()))
  assert found['on_object'] == found['on_object_from_background'] == 1


def test_an_image_without_a_figure_counts_for_nothing():
  rows = np.full((1, 16, 16, 8, 8), 1 / 64, np.float32)
  nothing = np.zeros((1, 16, 16), np.float32)
  found = statistics.on_figure(rows, nothing, nothing)
  assert all(np.isnan(value).all() for value in found.values())


def test_masks_are_averaged_over_the_cells_of_pooled_keys():
  mask = np.zeros((1, 4, 4), np.float32)
  mask[0, 0, :3] = 1
  np.testing.assert_array_equal(
    statistics.cells(mask, 2)[0], [[0.5, 0.25], [0, 0]]
  )
  white = np.full((1, 4, 4, 3), 255, np.uint8)
  np.testing.assert_array_equal(statistics.cells(white, 2), 1)
