"""How different the images of a class are, by hand."""

import itertools

import numpy as np

from sagan_jax.metrics import diversity


def test_it_is_the_mean_over_pairs_of_a_class():
  images = np.random.default_rng(0).integers(
    0, 256, (2 * 4, 5, 3, 3), dtype=np.uint8
  )
  squares = [
    np.square(a - b).mean()
    for of_class in images.astype(np.float64).reshape(2, 4, 5, 3, 3)
    for a, b in itertools.combinations(of_class, 2)
  ]
  np.testing.assert_allclose(
    diversity.within_class(images, 4), np.sqrt(np.mean(squares)), rtol=1e-6
  )


def test_classes_that_differ_do_not_count():
  images = np.repeat(np.uint8([0, 255]), 3)[:, None, None, None]
  assert diversity.within_class(np.tile(images, (1, 8, 8, 3)), 3) == 0
