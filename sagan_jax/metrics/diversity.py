"""How different images are that should not be the same."""

import numpy as np


def within_class(images, per_class):
  """The root-mean-square difference of two images of one class.

  Near zero where a generator ignores its latents. It looks at pixels, so that
  it costs nothing; only values of one kind of images can be compared.

  Args:
    images: uint8 [classes * per_class, H, W, 3], those of a class together.
    per_class: images of each class, at least 2.

  Returns:
    Grey levels, between 0 and 255.
  """
  pixels = images.reshape(-1, per_class, images[0].size).astype(np.float32)
  # Of two independent draws the mean squared difference is twice the variance.
  return float(np.sqrt(2 * pixels.var(1, ddof=1, dtype=np.float64).mean()))
