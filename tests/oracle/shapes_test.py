"""Known parameter counts for the oracle's shapes."""

import pytest

from tests.oracle import shapes as oracle_shapes


@pytest.mark.parametrize(
  ('image_size', 'num_classes', 'places', 'g_count', 'd_count'),
  [
    # The layer table of generator_test and discriminator_test, added up.
    (128, 1000, ((32,), (32,)), 42_078_852, 39_463_618),
    # PyTorch-StudioGAN's training logs of its SAGAN configurations.
    (128, 1000, ((64,), (64,)), 42_017_412, 39_448_258),
    (64, 200, ((32,), (32,)), 13_387_396, 19_752_642),
    (32, 10, ((16,), (16,)), 4_386_308, 1_075_586),
  ],
)
def test_parameter_counts(image_size, num_classes, places, g_count, d_count):
  kwargs = {'image_size': image_size, 'ch': 64, 'num_classes': num_classes}
  counts = (
    oracle_shapes.count(
      oracle_shapes.generator_shapes(**kwargs, attention=places[0])
    ),
    oracle_shapes.count(
      oracle_shapes.discriminator_shapes(**kwargs, attention=places[1])
    ),
  )
  assert counts == (g_count, d_count)
