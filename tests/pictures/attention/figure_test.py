"""Pictures of attention maps."""

import io

import numpy as np
import pytest
from PIL import Image

from sagan_jax.gan import attention_maps
from sagan_jax.pictures.attention import charts, figure


def view(rows, name='cross'):
  """A view of one grey image with the rows [H, W, h, w] of one block."""
  maps = attention_maps.Maps(rows[None], np.array([0.2], np.float32), 0.5)
  return attention_maps.View(
    'generator',
    'ema',
    np.full((1, 32, 32, 3), 128, np.uint8),
    np.array([0], np.int32),
    {'attention_16': maps},
  ), [name]


def _pixels(rows, **options):
  shown, names = view(rows, **options)
  content = figure.draw(shown, 'attention_16', names, points=[(8, 8)])
  return np.asarray(Image.open(io.BytesIO(content)).convert('RGB')).astype(int)


def _uniform():
  return np.full((16, 16, 8, 8), 1 / 64, np.float32)


def test_a_uniform_map_has_the_colour_of_the_middle_and_no_other():
  picture = _pixels(_uniform())
  height, width, _ = picture.shape
  # A column of the picture's right map, off the dot in its middle.
  inside = picture[height // 2 - 40 : height // 2 - 15, width * 5 // 8]
  assert np.ptp(inside.reshape(-1, 3), 0).max() == 0
  assert inside.min() > 240  # White, between blue and red.


def test_a_map_is_drawn_by_its_row_on_one_scale():
  rows = _uniform()
  rows[8, 8] = 0
  rows[8, 8, 0, 0] = 1
  rows[3, 3] = rows[8, 8, ::-1]  # Another query's changes nothing.
  seen = {tuple(x) for x in _pixels(rows).reshape(-1, 3).tolist()}
  assert (5, 48, 97) in seen  # The blue of 1/8 of uniform or less.
  assert (103, 0, 31) in seen  # The red of 8 times or more.


def test_dollars_in_the_name_of_a_class_are_no_formula():
  assert _pixels(_uniform(), name='a $_{$ b').shape


def test_chosen_queries_differ_in_colour_and_place():
  image = np.zeros((32, 32, 3), np.uint8)
  image[:4, 28:] = 255, 0, 0  # A red corner.
  points = figure.choose(image, 16, 3)
  assert points[0] == (8, 8)
  assert points[1][0] < 2 and points[1][1] > 13
  assert points[2] == (0, 0)  # Of the rest the furthest in place.
  assert len(set(points)) == 3


@pytest.mark.parametrize('steps', [[0, 100], [500, 1000, 2500]])
def test_a_chart_spans_its_steps(steps):
  values = [0.5] * len(steps)
  drawn = charts.lines('a<b', steps, {'share': values})
  assert 'a&lt;b' in drawn and f'step {steps[0]}<' in drawn
  points = drawn.split('points="')[1].split('"')[0].split()
  assert points[0] == '34.0,8.0' and points[-1] == '272.0,8.0'


def test_values_that_are_not_known_leave_a_gap():
  drawn = charts.lines('x', [0, 1, 2], {'a': [0.1, None, 0.1]})
  assert len(drawn.split('points="')[1].split('"')[0].split()) == 2
  assert charts.lines('x', [0, 1], {'a': [None, None]}) == ''
