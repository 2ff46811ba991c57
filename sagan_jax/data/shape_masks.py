"""Where images of the drawn shapes, or like them, show their figure.

Of the data set itself it is known. Of images that a generator made it is told
by colour alone: figure and corner marks share a hue, the background has the
complementary one and is paler.
"""

import numpy as np

from sagan_jax.data import indexed, shapes, source

# Of half the frame: marks end and figures begin beyond this from a corner.
_MARKS_REACH = 0.375
_ROUNDS = 20  # Of two-means on a line, which settles in a few.


def true(
  src: source.Source, places: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
  """The masks of examples, as `shapes.masks`.

  Args:
    src: any source.
    places: int [n], of the examples in its batches of seed 0, within an epoch.

  Returns:
    (figure, marks), float32 [n, S, S]; None if the source does not draw shapes.
  """
  if src.identity.get('name') != 'shapes':
    return None
  index = indexed.epoch_order(0, 0, src.num_examples)[places]
  seed = shapes.SPLITS[src.identity['split']]
  return shapes.masks(index, image_size=src.image_size, seed=seed)


def infer(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Finds figure and marks of images in the palette of the data set `shapes`.

  Hue and purity make a plane, in which complementary colours lie on a line
  through grey. The line is the main axis of an image's pixels; two-means cuts
  it, and the end further from grey is the figure's.

  Args:
    images: uint8 [n, S, S, 3].

  Returns:
    (figure, marks, fit): bool [n, S, S] twice, and float64 [n], which is how
    much of an image's colour (sum of squares) lies on its line: about 1 where
    the palette is kept, 0.5 where colours are random.
  """
  n, size = images.shape[:2]
  red, green, blue = np.moveaxis(images.reshape(n, -1, 3) / 255.0, -1, 0)
  colour = np.stack([red - (green + blue) / 2, (green - blue) * 0.75**0.5], -1)
  squares = np.einsum('npi,npj->nij', colour, colour)
  values, vectors = np.linalg.eigh(squares)
  total = values.sum(-1)
  fit = np.divide(values[:, 1], total, out=np.zeros(n), where=total > 0)
  along = np.einsum('npi,ni->np', colour, vectors[:, :, 1])
  low, high = np.percentile(along, [3, 97], axis=1)
  along *= np.where(high + low < 0, -1, 1)[:, None]
  front = (along > _thresholds(along)).reshape(n, size, size)
  near = _near_corners(size)
  return front & ~near, front & near, fit


def _thresholds(values: np.ndarray) -> np.ndarray:
  """Cuts each row [n, P] in two, by two-means; float64 [n, 1]."""
  cut = (values.max(1, keepdims=True) + values.min(1, keepdims=True)) / 2
  for _ in range(_ROUNDS):
    above = values > cut
    count = above.sum(1, keepdims=True)
    upper = (values * above).sum(1, keepdims=True) / np.maximum(count, 1)
    rest = values.shape[1] - count
    lower = (values * ~above).sum(1, keepdims=True) / np.maximum(rest, 1)
    cut = np.where((count > 0) & (rest > 0), (upper + lower) / 2, cut)
  return cut


def _near_corners(size: int) -> np.ndarray:
  """Whether pixels are where only marks can be, bool [S, S]."""
  centre = (np.arange(size) + 0.5) * (2 / size) - 1
  short = 1 - np.abs(centre)
  return np.hypot(short[:, None], short) < _MARKS_REACH
