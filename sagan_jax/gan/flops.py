"""Work of a training step by formula: multiply-adds of the reference graph.

Convolutions, dense layers and attention count, padding included; norms,
activations and pooling do not. The count does not depend on how resampling is
computed, so that rates of different forms compare: a form that needs fewer
operations shows as a higher effective rate.
"""

from sagan_jax.models import discriminator, generator


def attention_macs(channels, size, formula='code'):
  """Multiply-adds of a self-attention block on a map size x size."""
  queries = size * size
  keys, width = (
    (queries // 4, channels // 2)
    if formula == 'code'
    else (
      queries,
      channels // 8,
    )
  )
  projections = queries * channels * (2 * (channels // 8) + 2 * width)
  return projections + queries * keys * (channels // 8 + width)


def residual_macs(channels, size):
  """Multiply-adds of a residual control block on a map size x size."""
  return size * size * 2 * 9 * channels * (channels // 8)


def generator_macs(c):
  """Multiply-adds of the generator, an image, forward."""
  first, *widths = (
    m * c.generator.ch for m in generator.MULTIPLIERS[c.image_size]
  )
  total = c.latent_dim * 16 * first
  inputs, size = first, 4
  for width in widths:
    size *= 2
    total += size**2 * (9 * inputs * width + 9 * width**2 + inputs * width)
    total += _long_range(c, c.generator, width, size)
    inputs = width
  return total + size**2 * 9 * inputs * 3


def discriminator_macs(c):
  """Multiply-adds of the discriminator, an image, forward."""
  multipliers, num_down = discriminator.MULTIPLIERS[c.image_size]
  total, inputs, size = 0, 3, c.image_size
  for i, multiplier in enumerate(multipliers):
    width = multiplier * c.discriminator.ch
    total += size**2 * (9 * inputs * width + 9 * width**2)
    if i == 0:  # The reference averages the image before its 1x1 skip.
      total += (size // 2) ** 2 * inputs * width
    elif i < num_down or inputs != width:
      total += size**2 * inputs * width
    if i < num_down:
      size //= 2
      total += _long_range(c, c.discriminator, width, size)
    inputs = width
  return total + inputs


def step_flops(c):
  """Floating-point operations of a step, per image of its batch.

  A backward pass counts twice its forward pass; the discriminator's weights
  get no gradient in the generator's update.
  """
  g, d = generator_macs(c), discriminator_macs(c)
  return 2 * (c.n_dis * (g + 6 * d) + 3 * g + 2 * d)


def _long_range(c, section, channels, size):
  total = 0
  if size in section.attention:
    total += attention_macs(channels, size, c.attention_formula)
  if size in section.residual:
    total += residual_macs(channels, size)
  return total
