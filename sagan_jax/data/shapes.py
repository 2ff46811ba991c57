"""Ten drawn shapes: a labelled data set that needs no download.

Every image is a bold shape in a random colour on a smooth background, with a
mark in two opposite corners. The marks and the shape share their hue, and the
background has the complementary one: distant parts of the image must agree,
which a network that only looks at neighbourhoods does not get right.

An example is a function of (split, example number) alone and is drawn at any
size from signed distances, with edges one pixel soft.

Coordinates run from -1 to 1, x to the right and y up, over the whole frame.
"""

import threading
from collections.abc import Callable

import numpy as np

from sagan_jax import errors
from sagan_jax.data import figures, indexed, source

CLASS_NAMES = tuple(figures.FIGURES)
DEFAULT_NUM_EXAMPLES = 20_000
# A change of any pixel of any example must change this: it is part of the
# fingerprint, under which statistics of the data set are cached.
VERSION = 1

SPLITS = {'train': 0, 'test': 1}  # The seed of each.
# Drawing a chunk of this many pixels at a time keeps its temporaries in cache.
_CHUNK_PIXELS = 1 << 17
# Drawn examples are kept up to this size: 20,000 of 128 px need 0.98e9 bytes.
_MEMO_BYTES = 1 << 30

_MARK_RADIUS = 0.34
_MAX_SHIFT = 0.07  # of half the frame.
_MAX_RESIZE = 0.10
_MAX_TURN = 0.14  # radians, 8 degrees.


def open_source(
  *,
  image_size: int,
  split: str = 'train',
  num_examples: int | None = None,
) -> indexed.IndexedSource:
  """Opens the data set; draws nothing yet.

  Args:
    image_size: height and width of the images, pixels.
    split: 'train' or 'test', which share no example.
    num_examples: size of the split; None is `DEFAULT_NUM_EXAMPLES`.

  Returns:
    The source. It keeps what it has drawn.

  Raises:
    UserError: if the split is unknown or a size is not positive.
  """
  if num_examples is None:
    num_examples = DEFAULT_NUM_EXAMPLES
  if split not in SPLITS:
    raise errors.UserError(
      f"dataset 'shapes' has no split {split!r}, only {sorted(SPLITS)}; set "
      '--config.dataset.split'
    )
  if image_size < 8:
    raise errors.UserError(
      f"dataset 'shapes' cannot be drawn at image_size {image_size}: 8 pixels "
      'is the least; set --config.image_size'
    )
  if num_examples < 1:
    raise errors.UserError(
      f'num_examples {num_examples} must be positive; set '
      '--config.dataset.num_examples'
    )
  album = _Album(image_size, SPLITS[split], num_examples)
  return indexed.IndexedSource(
    lambda indices: map(album.gather, indices),
    name='shapes',
    num_examples=num_examples,
    class_names=CLASS_NAMES,
    image_size=image_size,
    identity={
      'name': 'shapes',
      'version': VERSION,
      'split': split,
      'num_examples': num_examples,
      'image_size': image_size,
    },
  )


class _Album:
  """Draws each example once and keeps it, as memory allows."""

  def __init__(self, image_size: int, seed: int, num_examples: int):
    self._image_size = image_size
    self._seed = seed
    self._lock = threading.Lock()
    self._images = self._drawn = None
    shape = (num_examples, image_size, image_size, 3)
    if np.prod(shape, dtype=np.int64) <= _MEMO_BYTES:
      self._images = np.empty(shape, np.uint8)
      self._drawn = np.zeros(num_examples, bool)

  def gather(self, index: np.ndarray) -> source.Batch:
    """Returns the examples numbered `index`, int64 [n]."""
    label = (index % len(CLASS_NAMES)).astype(np.int32)
    if self._images is None or self._drawn is None:
      return source.Batch(image=self._draw(index), label=label)
    with self._lock:
      new = np.unique(index[~self._drawn[index]])
      if new.size:
        self._images[new] = self._draw(new)
        self._drawn[new] = True
    return source.Batch(image=self._images[index], label=label)

  def _draw(self, index: np.ndarray) -> np.ndarray:
    return draw(index, image_size=self._image_size, seed=self._seed)


def draw(index: np.ndarray, *, image_size: int, seed: int = 0) -> np.ndarray:
  """Draws examples; example i is of class `i % len(CLASS_NAMES)`.

  Args:
    index: integers [n], example numbers, >= 0.
    image_size: height and width, pixels.
    seed: of the data set; 0 is the train split, 1 the test split.

  Returns:
    uint8 [n, image_size, image_size, 3]. An image depends on its own number
    and the seed only, not on the others it is drawn with.
  """
  index = np.asarray(index)
  image = np.empty((len(index), image_size, image_size, 3), np.uint8)
  # Examples of one class are drawn together: they share a formula.
  by_class = np.argsort(index % len(CLASS_NAMES), kind='stable')
  chunk_size = max(1, _CHUNK_PIXELS // image_size**2)
  for c, figure in enumerate(figures.FIGURES.values()):
    rows = by_class[index[by_class] % len(CLASS_NAMES) == c]
    for begin in range(0, len(rows), chunk_size):
      chunk = rows[begin : begin + chunk_size]
      image[chunk] = _draw_figure(figure, index[chunk], image_size, seed)
  return image


def masks(
  index: np.ndarray, *, image_size: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
  """Where examples show their figure, and where the marks of its colour.

  Args:
    index: integers [n], example numbers, as for `draw`.
    image_size: S, pixels.
    seed: of the data set, as for `draw`.

  Returns:
    (figure, marks), float32 [n, S, S]: the share of each pixel that is covered.
  """
  index = np.asarray(index)
  shape = (len(index), image_size, image_size)
  figure, marks = np.empty(shape, np.float32), np.empty(shape, np.float32)
  for i, distance in enumerate(figures.FIGURES.values()):
    rows = index % len(CLASS_NAMES) == i
    u = _uniform(seed, index[rows], 12)
    figure[rows], marks[rows] = _covers(distance, u, image_size)
  return figure, marks


def _draw_figure(
  distance: Callable[[np.ndarray, np.ndarray], np.ndarray],
  index: np.ndarray,
  image_size: int,
  seed: int,
) -> np.ndarray:
  """Draws uint8 [n, S, S, 3]: the examples `index`, all of one figure."""
  u = _uniform(seed, index, 12)
  x, y = _pixels(image_size)
  cover = np.maximum(*_covers(distance, u, image_size))[..., None]

  front, near, far = _palette(u[5:9])
  direction = 2 * np.pi * u[9]
  slope = _column(np.cos(direction)) * x + _column(np.sin(direction)) * y
  slope = (0.5 + slope * 0.35)[..., None]
  back = near[:, None, None] + slope * (far - near)[:, None, None]
  light = (0.9 + 0.1 * y)[None, :, :, None]  # Brighter towards the top.
  rgb = back + cover * (front[:, None, None] * light - back)
  return (rgb * 255 + 0.5).astype(np.uint8)


def _pixels(image_size: int) -> tuple[np.ndarray, np.ndarray]:
  """The coordinates of the pixels' centres: (x, y), float32 [S, S]."""
  centre = (np.arange(image_size, dtype=np.float32) + 0.5) * (2 / image_size)
  x, y = np.meshgrid(centre - 1, 1 - centre)
  return x, y


def _column(values: np.ndarray) -> np.ndarray:
  """Values of images [n], float32, to meet their pixels."""
  return np.asarray(values, np.float32)[:, None, None]


def _covers(
  distance: Callable[[np.ndarray, np.ndarray], np.ndarray],
  u: np.ndarray,
  image_size: int,
) -> tuple[np.ndarray, np.ndarray]:
  """How much of each pixel lies under the figure, and under the marks.

  Args:
    distance: of the figure.
    u: float64 [12, n], the numbers that `_uniform` has drawn.
    image_size: S.

  Returns:
    (figure, marks), float32 [n, S, S] in [0, 1].
  """
  x, y = _pixels(image_size)
  pixel = 2 / image_size

  def soft(d):
    """Coverage of a pixel at a signed distance from an edge."""
    return np.clip(0.5 - d / pixel, 0, 1)

  angle = (2 * u[0] - 1) * _MAX_TURN
  scale = _column(1 + (2 * u[1] - 1) * _MAX_RESIZE)
  dx = x - _column((2 * u[2] - 1) * _MAX_SHIFT)
  dy = y - _column((2 * u[3] - 1) * _MAX_SHIFT)
  cos, sin = _column(np.cos(angle)) / scale, _column(np.sin(angle)) / scale
  figure = distance(cos * dx + sin * dy, cos * dy - sin * dx) * scale
  # Which diagonal carries the marks: |x + s y| folds both corners into one.
  side = _column(np.where(u[4] < 0.5, 1, -1))
  corner = np.hypot(np.abs(x + side * y) - 2, x - side * y)
  marks = corner * np.float32(np.sqrt(0.5)) - _MARK_RADIUS
  return soft(figure), soft(marks)


def _palette(
  u: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Picks the colours of images: (front, near, far), float32 [n, 3] each."""
  hue, pick, shade, spread = u
  dark = pick < 0.5
  front = _hsv(hue, 0.92, 1.0)
  luminance = front @ np.array([0.3, 0.59, 0.11], np.float32)
  # Bright enough for a dark background (blue is not), dark enough for a light
  # one (yellow and cyan are not); neither step changes the hue.
  lift = np.clip((0.42 - luminance) / (1 - luminance), 0, 1) * dark
  dim = np.where(dark, 1, np.minimum(1, 0.55 / luminance))
  front = (front + lift[:, None] * (1 - front)) * dim[:, None]
  value = np.where(dark, 0.10 + 0.12 * shade, 0.86 + 0.06 * shade)
  saturation = np.where(dark, 0.75, 0.16 + 0.14 * spread)
  near = _hsv(hue + 0.5, saturation, value)
  far = _hsv(hue + 0.5, saturation * 0.7, value + np.where(dark, 0.22, 0.08))
  front, near, far = (c.astype(np.float32) for c in (front, near, far))
  return front, near, far


def _hsv(h, s, v) -> np.ndarray:
  """Converts hue (in turns), saturation and value [n] to RGB [n, 3]."""
  k = (np.array([5, 3, 1]) + np.asarray(h)[:, None] * 6) % 6
  s, v = (np.broadcast_to(a, np.shape(h))[:, None] for a in (s, v))
  return v - v * s * np.clip(np.minimum(k, 4 - k), 0, 1)


def _uniform(seed: int, index: np.ndarray, count: int) -> np.ndarray:
  """Draws `count` uniform numbers in [0, 1) for each example.

  SplitMix64 as a counter-based generator (Steele et al., OOPSLA 2014): any
  example's numbers come at once, in one vectorised pass.

  Args:
    seed: of the data set.
    index: integers [n], example numbers.
    count: numbers for an example, at most 16.

  Returns:
    float64 [count, n].
  """
  base = index.astype(np.uint64) * np.uint64(16) + np.uint64(seed << 48)
  z = base + np.arange(1, count + 1, dtype=np.uint64)[:, None]
  z = z * np.uint64(0x9E3779B97F4A7C15)
  z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
  z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
  z = z ^ (z >> np.uint64(31))
  return (z >> np.uint64(11)) * 2.0**-53
