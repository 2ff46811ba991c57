"""Data that makes losses NaN: images that are white all over.

Images are uint8, so that none can hold a NaN itself: a discriminator finds it
in them.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp


def poisonable(discriminator: Any) -> Any:
  """A discriminator that finds NaN in images that are white all over.

  Args:
    discriminator: of a `models.Architecture`; the new one computes the same for
      all other images.
  """

  class Poisonable(discriminator):
    @nn.compact
    def __call__(self, x, label):
      """Returns logits [B]."""
      white = (x > 0.999).all((1, 2, 3))
      return super().__call__(x, label) * jnp.where(white, jnp.nan, 1.0)

  return Poisonable


def whiten(source, number: int, seed: int) -> None:
  """Makes the first image of a batch white.

  Args:
    source: a `data.Source`, which is changed.
    number: of the batch, 0 for the first.
    seed: for batches in this order only, so that a rollback, which draws anew,
      leaves the poison behind.
  """
  batches = source.batches

  def poisoned(*, start=0, **options):
    for i, batch in enumerate(batches(start=start, **options), start):
      if i == number and options['seed'] == seed:
        batch['image'][0] = 255
      yield batch

  source.batches = poisoned
