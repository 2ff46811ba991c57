"""Mean and variance of groups of images from one pass and one sum.

An image's own moments are taken around the mean of its first row of pixels,
which no other device needs to know. What devices exchange is a sum of a few
numbers per image, from which the moments of the group follow exactly: a mean
of 100 deviations, of which E[x^2] - E[x]^2 would make an error of percents,
costs no digit.
"""

import jax
import jax.numpy as jnp

NUM_SUMMANDS = 4


def of_images(x):
  """The mean and biased variance of every image.

  Args:
    x: [B, H, W, C].

  Returns:
    (mean, variance), float32 [B, C].
  """
  # The row's distance from the mean is at most sqrt(H) deviations of the
  # image, so that the difference below loses log2(H) bits at most.
  near = x[:, :1].astype(jnp.float32).mean((1, 2), keepdims=True)
  x = x.astype(jnp.float32) - near
  mean = x.mean((1, 2))
  var = jnp.square(x).mean((1, 2)) - jnp.square(mean)
  return near[:, 0, 0] + mean, jnp.maximum(var, 0)


def summands(mean, var):
  """What an image contributes to the sums that `of_sums` takes.

  Numbers and their squares, cut to 12 of 24 bits, and what was cut off. Sums
  of the former are exact where the means are alike, and only there do they
  have to be.

  Args:
    mean: float32 [B, C], of images of equal size.
    var: float32 [B, C], biased.

  Returns:
    float32 [NUM_SUMMANDS, B, C].
  """
  high, low = _cut(mean)
  square, _ = _cut(high * high)
  rest = (high * high - square) + low * (high + mean) + var
  return jnp.stack([high, low, square, rest])


def of_sums(sums, num_images):
  """The moments of groups.

  Args:
    sums: float32 [NUM_SUMMANDS, ...], `summands` added up over each group.
    num_images: in a group, at most 4096.

  Returns:
    (mean, biased variance), float32 [...].
  """
  high, low, square, rest = sums
  # Around a number of 12 bits near the mean, all large products are exact.
  near, _ = _cut(high / num_images)
  beyond = high - num_images * near  # Exact, for the two are close.
  first, second = _cut(high)
  squares = square - near * first - near * second - near * beyond
  squares += rest - 2 * near * low
  offset = (beyond + low) / num_images
  var = squares / num_images - jnp.square(offset)
  return near + offset, jnp.maximum(var, 0)


def _cut(x):
  """x as a float32 of 12 significant bits and the exact rest, of 12 too."""
  high = jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=11)
  return high, x - high
