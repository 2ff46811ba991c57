"""Where drawn shapes are, known and told by colour."""

import types

import numpy as np
import pytest

from sagan_jax import data
from sagan_jax.data import shape_masks, shapes

INDEX = np.arange(500)


def _iou(a, b):
  a, b = a.reshape(len(a), -1), b.reshape(len(b), -1)
  return (a & b).sum(1) / (a | b).sum(1)


def test_a_disc_and_two_quarter_discs_have_their_areas():
  figure, marks = shapes.masks(np.arange(0, 5000, 10), image_size=64)
  # Half the frame is one: the whole has an area of four. Discs are resized by
  # up to a tenth, evenly.
  assert figure.mean() == pytest.approx(
    np.pi * 0.66**2 / 4 * (1 + 0.1**2 / 3), rel=0.01
  )
  np.testing.assert_allclose(marks.mean((1, 2)), np.pi * 0.34**2 / 8, rtol=0.02)


@pytest.mark.parametrize('seed', [0, 1])
def test_masks_are_where_images_have_the_front_colour(seed):
  image = shapes.draw(INDEX, image_size=32, seed=seed) / 255.0
  figure, marks = shapes.masks(INDEX, image_size=32, seed=seed)
  assert not ((figure > 0.5) & (marks > 0.5)).any()
  # Of a covered pixel the colour is the front's, up to its light, 0.8 to 1.
  for mask in (figure, marks):
    for pixels, covered in zip(image, mask == 1, strict=True):
      colours = pixels[covered] / pixels[covered].max(-1, keepdims=True)
      assert np.ptp(colours, 0).max() < 0.03
  # And what is not covered has another: no pixel is left over.
  pale = np.ptp(image, -1)[figure + marks == 0]
  assert pale.max() < np.ptp(image, -1)[(figure + marks) == 1].min()


@pytest.mark.parametrize(('size', 'least'), [(16, 0.95), (32, 0.99)])
def test_colour_tells_the_masks(size, least):
  image = shapes.draw(INDEX, image_size=size)
  known = shapes.masks(INDEX, image_size=size)
  figure, marks, fit = shape_masks.infer(image)
  assert _iou(figure, known[0] > 0.5).mean() > least
  assert _iou(marks, known[1] > 0.5).mean() > 0.99
  assert fit.min() > 0.999


def test_images_without_the_palette_are_told():
  rng = np.random.default_rng(0)
  noise = rng.integers(0, 256, (3, 32, 32, 3)).astype(np.uint8)
  assert shape_masks.infer(noise)[2].max() < 0.6
  figure, marks, fit = shape_masks.infer(np.full((2, 32, 32, 3), 9, np.uint8))
  assert not figure.any() and not marks.any() and not fit.any()


@pytest.mark.parametrize('split', ['train', 'test'])
def test_the_masks_of_a_source_are_those_of_its_batches(split):
  source = data.make_source(
    'shapes', image_size=32, num_examples=90, split=split
  )
  batches = source.batches(seed=0, batch_size=30)
  images = np.concatenate([next(batches)['image'] for _ in range(3)])
  places = np.array([5, 17, 80])
  figure, marks = shape_masks.true(source, places)
  told = shape_masks.infer(images[places])
  assert _iou(told[0], figure > 0.5).min() > 0.9
  assert _iou(told[1], marks > 0.5).min() > 0.9


def test_other_data_has_no_masks():
  source = types.SimpleNamespace(identity={'name': 'folder'})
  assert shape_masks.true(source, np.arange(3)) is None
