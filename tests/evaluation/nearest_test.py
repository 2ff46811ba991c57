"""The search for training images that are like given ones."""

import numpy as np
import pytest

from sagan_jax import errors
from sagan_jax.cluster import sharding
from sagan_jax.data import shapes
from sagan_jax.evaluation import nearest
from tests.support import tiny


def _search(tmp_path, k, num_examples=60):
  c = tiny.config(
    eval__cache_dir=str(tmp_path), eval__batch_size=16, eval__num_reals=10
  )
  source = shapes.open_source(image_size=32, num_examples=num_examples)
  mesh = sharding.make_mesh(1)
  return nearest.Search(c, mesh, source, k, lambda _: None), source


def test_copies_are_found_among_all_images(tmp_path):
  search, source = _search(tmp_path, 3)
  (batch,) = source.examples(batch_size=60)
  images, labels = batch['image'], batch['label']
  wanted = [41, 3, 59, 41]
  found = search.nearest(images[wanted], labels[wanted])
  assert found.count == 60 and found.index.shape == (4, 3)
  np.testing.assert_array_equal(found.index[:, 0], wanted)
  np.testing.assert_array_equal(found.distance[:, 0], 0)
  assert (np.diff(found.distance, axis=1) >= 0).all()
  np.testing.assert_array_equal(found.label, labels[found.index])
  np.testing.assert_array_equal(search.images(found.index), images[found.index])
  # The yardstick: training images are not their own neighbours.
  assert 0 < found.small < found.typical
  assert found.space == 'random-conv-seed-0, pooled (224 dimensions)'


def test_an_image_that_is_none_of_them_is_farther_away(tmp_path):
  search, _ = _search(tmp_path, 1)
  noise = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
  found = search.nearest(noise, np.zeros(2, np.int32))
  assert (found.distance > found.typical).all()


def test_more_neighbours_than_images_are_refused(tmp_path):
  match = '--nearest=60 is too many: shapes has 60 images'
  with pytest.raises(errors.UserError, match=match):
    _search(tmp_path, 60)
