"""Moving pictures."""

import io

import numpy as np
from PIL import Image

from sagan_jax.pictures import animation


def test_an_animation_loops_over_its_frames():
  frames = [np.full((8, 9, 3), value, np.uint8) for value in (0, 90, 200)]
  content = animation.gif(iter(frames), [True, False, False], 'made by a test')
  image = Image.open(io.BytesIO(content))
  assert image.format == 'GIF' and image.n_frames == 3
  assert image.info['loop'] == 0  # For ever.
  assert image.info['comment'] == b'made by a test'
  durations = []
  for i, frame in enumerate(frames):
    image.seek(i)
    durations.append(image.info['duration'])
    np.testing.assert_array_equal(image.convert('RGB'), frame)
  assert durations[0] > durations[1] == durations[2]


def test_colours_are_close():
  y, x = np.mgrid[:32, :32] * 8
  frame = np.stack([y, x, 255 - x], -1).astype(np.uint8)
  image = Image.open(io.BytesIO(animation.gif([frame], [False], 'x')))
  found = np.asarray(image.convert('RGB')).astype(int)
  assert np.abs(found - frame).mean() < 6
