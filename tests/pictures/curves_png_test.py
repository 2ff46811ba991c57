"""Curves as a picture."""

import io

import numpy as np
from PIL import Image

from sagan_jax.pictures import curves_png, panels, thinning

NAMES = ('step', 'train/d_loss', '$x_{$', '_y', 'perf/images_per_sec')


def picture(values, most):
  curves = thinning.Curves()
  curves.add(NAMES, np.asarray(values, np.float64))
  steps, drawn = panels.panels([curves], most)
  content = curves_png.draw(steps[0], drawn)
  with Image.open(io.BytesIO(content)) as image:
    return np.asarray(image.convert('RGB')).astype(int)


def test_each_kind_has_a_panel_with_its_curve():
  """Names are text, not formulas."""
  rows = [(s, s, 1 - s, 3, np.nan) for s in range(50)]
  image = picture(rows, 100)
  assert image.shape == (600, 1200, 3)  # Two lines of two.
  blue = (image[..., 2] - image[..., 0]) > 80
  quarters = blue[:300, :600], blue[300:, :600], blue[300:, 600:]
  assert all(part.sum() > 300 for part in quarters)


def test_a_spike_stays_in_sight():
  rows = [(s, 1.0, 0.0, 0.0, 0.0) for s in range(4000)]
  rows[1234] = (1234, 1e3, 0.0, 0.0, 0.0)
  image = picture(rows, 50)
  # The band of its bucket rises over nearly all of the first panel.
  blue = (image[:300, :600, 2] - image[:300, :600, 0]) > 20
  assert blue.sum(0).max() > 150
