"""Tests of the drawn data set."""

import colorsys

import numpy as np
import pytest

from sagan_jax import data, errors
from sagan_jax.data import shapes


def _hue(rgb):
  return colorsys.rgb_to_hsv(*(np.asarray(rgb) / 255))[0]


def _hue_distance(a, b):
  return abs((a - b + 0.5) % 1 - 0.5)


def _masks(image):
  """Pixels closer in colour to the marks than to the other two corners."""
  image = image.astype(np.float32)
  corners = np.stack(
    [image[:, 0, 0], image[:, 0, -1], image[:, -1, 0], image[:, -1, -1]], 1
  )
  # The marked diagonal has the purer colour.
  chroma = np.ptp(corners, axis=2)
  first = chroma[:, 0] + chroma[:, 3] > chroma[:, 1] + chroma[:, 2]
  front = np.where(first[:, None], corners[:, 0], corners[:, 1])
  back = np.where(first[:, None], corners[:, 1], corners[:, 0])
  front, back = front[:, None, None], back[:, None, None]
  near_front = np.linalg.norm(image - front, axis=-1)
  return near_front < np.linalg.norm(image - back, axis=-1)


def test_an_example_does_not_depend_on_its_batch():
  alone = shapes.draw(np.array([123]), image_size=32)[0]
  together = shapes.draw(np.array([7, 123, 3, 13, 123]), image_size=32)
  np.testing.assert_array_equal(together[1], alone)
  np.testing.assert_array_equal(together[4], alone)
  assert (together[3] != alone).any()  # Of the same class.
  assert (shapes.draw(np.array([123]), image_size=32, seed=1)[0] != alone).any()


def test_drawing_is_pinned_to_its_version():
  # Statistics of the data are cached under the version: when this fails on
  # purpose, raise `VERSION` and write down the new means.
  image = shapes.draw(np.arange(200), image_size=32)
  assert shapes.VERSION == 1
  np.testing.assert_allclose(
    image.mean((0, 1, 2)), [129.279, 128.349, 128.122], rtol=0, atol=0.02
  )


def test_marks_agree_with_the_figure_and_oppose_the_background():
  # Bars and checker have no ink or only a cell in the middle; a disc is sure.
  index = np.arange(0, 2000, len(shapes.CLASS_NAMES))
  image = shapes.draw(index, image_size=32)
  diagonals = np.zeros(2, int)
  for x in image:
    figure = _hue(x[16, 16])
    falling = (_hue(x[0, 0]), _hue(x[-1, -1]))
    rising = (_hue(x[-1, 0]), _hue(x[0, -1]))
    marked = [
      max(_hue_distance(h, figure) for h in pair) for pair in (falling, rising)
    ]
    diagonals[np.argmin(marked)] += 1
    assert min(marked) < 0.02
    background = rising if marked[0] < marked[1] else falling
    assert min(_hue_distance(h, figure) for h in background) > 0.4
  assert diagonals.min() > 70  # Of 200, each diagonal equally likely.


def test_hues_are_spread_evenly():
  image = shapes.draw(np.arange(0, 5000, 10), image_size=8)
  hues = [_hue(x[4, 4]) for x in image]
  counts = np.histogram(hues, bins=6, range=(0, 1))[0]
  assert counts.min() > 50  # 83 expected.


def test_classes_are_told_apart_by_their_mean_silhouette():
  image = shapes.draw(np.arange(1000), image_size=32)
  masks = _masks(image).reshape(1000, -1).astype(np.float32)
  label = np.arange(1000) % 10
  mean = np.stack([masks[:500][label[:500] == c].mean(0) for c in range(10)])
  distance = np.abs(masks[500:, None] - mean).mean(-1)
  accuracy = (distance.argmin(-1) == label[500:]).mean()
  assert accuracy > 0.95
  apart = np.abs(mean[:, None] - mean).mean(-1) + np.eye(10)
  assert apart.min() > 0.09


@pytest.mark.parametrize('size', [32, 64])
def test_sizes_show_the_same_picture(size):
  index = np.arange(200)
  large = shapes.draw(index, image_size=128).astype(np.float32)
  k = 128 // size
  reduced = large.reshape(200, size, k, size, k, 3).mean((2, 4))
  error = np.abs(reduced - shapes.draw(index, image_size=size))
  assert error.mean() < 1.5  # Of 255; only edges differ.
  assert error.max() < 90


def test_figures_stay_inside_the_frame():
  image = shapes.draw(np.arange(1000), image_size=64)
  masks = _masks(image)
  # Marks reach 0.34 along each side; between them the border is background.
  assert not masks[:, 0, 16:48].any()
  assert not masks[:, -1, 16:48].any()
  assert not masks[:, 16:48, 0].any()
  assert not masks[:, 16:48, -1].any()


def test_source_reads_in_order_and_memoises(monkeypatch):
  src = data.make_source('shapes', image_size=16, num_examples=25)
  assert (src.num_classes, src.class_names) == (10, shapes.CLASS_NAMES)
  batches = list(src.examples(batch_size=10))
  assert [len(b['label']) for b in batches] == [10, 10, 5]
  image = np.concatenate([b['image'] for b in batches])
  label = np.concatenate([b['label'] for b in batches])
  np.testing.assert_array_equal(label, np.arange(25) % 10)
  assert label.dtype == np.int32
  np.testing.assert_array_equal(
    image, shapes.draw(np.arange(25), image_size=16)
  )
  monkeypatch.setattr(shapes, 'draw', None)  # Everything is drawn by now.
  again = next(src.batches(seed=0, batch_size=25))
  order = np.argsort([x.tobytes() for x in again['image']])
  np.testing.assert_array_equal(
    again['label'][order], label[np.argsort([x.tobytes() for x in image])]
  )


def test_source_without_memo_draws_the_same(monkeypatch):
  kept = data.make_source('shapes', image_size=16, num_examples=25)
  monkeypatch.setattr(shapes, '_MEMO_BYTES', 0)
  redrawn = data.make_source('shapes', image_size=16, num_examples=25)
  for a, b in zip(
    kept.examples(batch_size=10), redrawn.examples(batch_size=10), strict=True
  ):
    np.testing.assert_array_equal(a['image'], b['image'])
    np.testing.assert_array_equal(a['label'], b['label'])


def test_fingerprint_tells_splits_sizes_and_counts_apart():
  prints = {
    data.make_source('shapes', **kwargs).fingerprint
    for kwargs in (
      dict(image_size=16, num_examples=10),
      dict(image_size=16, num_examples=11),
      dict(image_size=32, num_examples=10),
      dict(image_size=16, num_examples=10, split='test'),
    )
  }
  assert len(prints) == 4
  again = data.make_source('shapes', image_size=16, num_examples=10)
  assert again.fingerprint in prints
  # Statistics that were computed before are found under it.
  assert shapes.open_source(image_size=32).fingerprint == '13b023c321a26734'


@pytest.mark.parametrize(
  ('kwargs', 'match'),
  [
    (dict(split='validation'), "no split 'validation'.*'test', 'train'"),
    (dict(image_size=4), 'image_size 4: 8 pixels is the least'),
    (dict(num_examples=0), 'num_examples 0 must be positive'),
  ],
)
def test_wrong_arguments_are_refused(kwargs, match):
  with pytest.raises(errors.UserError, match=match):
    data.make_source('shapes', **{'image_size': 32, **kwargs})
