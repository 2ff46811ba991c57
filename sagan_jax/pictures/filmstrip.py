"""Grids of a run over its steps, small enough for a page."""

import collections
import io
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from sagan_jax import errors, files
from sagan_jax.data import image_file
from sagan_jax.pictures import labelled_grid, page

MAX_STEPS = 60  # More than anyone moves a slider over; half a second each.
_MAX_PIXELS = 2_500_000  # A sheet that is larger is made smaller.
_MAX_OPENED = 64_000_000
_SMALL = 64  # Pixels of a tile whose colours a JPEG should not mix.


class Grid(NamedTuple):
  """A sheet of images on a disk or in a bucket."""

  step: int
  weights: str  # 'raw' or 'ema'.
  path: Any  # Of a PNG.


def frames(
  grids: list[Grid],
  tile: int | None,
  names: Callable[[int], list[str]],
  budget: int,
  complain: Callable[[str], None],
) -> list[dict]:
  """Encodes grids, evenly thinned until they fit.

  Args:
    grids: of one run.
    tile: height of an image in pixels, of grids that do not name their rows;
      None if it is not known.
    names: from the number of rows of such a grid to their names.
    budget: bytes that all of them may take, in base64.
    complain: told of grids that are damaged, which are left out.

  Returns:
    {'step', 'weights', 'rows': names or [], 'image': URL} of each, by step.
  """
  by_step = collections.defaultdict(list)
  for grid in grids:
    by_step[grid.step].append(grid)
  steps, found, spent = sorted(by_step), [], 0
  for i in _spread(len(steps))[:MAX_STEPS]:
    for grid in by_step[steps[i]]:
      try:
        rows, content = _encode(grid.path, tile, names)
      except errors.UserError as e:
        complain(f'{e}; it is left out')
        continue
      except image_file.DAMAGES as e:
        complain(f'{grid.path.name} is damaged ({_why(e)}); it is left out')
        continue
      url = page.data_url(content, 'image/jpeg')
      spent += len(url)
      if found and spent > budget:
        return sorted(found, key=_order)
      shown = {'step': grid.step, 'weights': grid.weights}
      found.append(shown | {'rows': _told_apart(rows), 'image': url})
  return sorted(found, key=_order)


def _told_apart(names):
  """Names as they are, with a number where one comes again."""
  seen = collections.Counter()
  found = []
  for name in names:
    seen[name] += 1
    found.append(name if seen[name] == 1 else f'{name} ({seen[name]})')
  return found


def _why(error):
  if isinstance(error, Image.UnidentifiedImageError):
    return 'it is no PNG image'
  return getattr(error, 'strerror', None) or error


def _order(frame):
  return frame['step'], frame['weights']


def _spread(count):
  """All indices: the last, the first, then always the middles between them."""
  if count < 2:
    return list(range(count))
  order, intervals = [count - 1, 0], collections.deque([(0, count - 1)])
  while intervals:
    low, high = intervals.popleft()
    if high - low > 1:
      middle = (low + high) // 2
      order.append(middle)
      intervals += [(low, middle), (middle, high)]
  return order


def _encode(path, tile, names):
  """Returns (names of the rows, bytes of a JPEG file)."""
  content = io.BytesIO(files.read(path, 4 * _MAX_OPENED))
  with Image.open(content, formats=['PNG']) as opened:
    width, height = opened.size
    if width * height > _MAX_OPENED:
      raise ValueError(f'it has {width} x {height} pixels')
    image = opened.convert('RGB')
    rows = labelled_grid.names_in(opened)
  if rows is None:
    rows, image = _name(image, tile, names)
  shrink = (_MAX_PIXELS / (image.width * image.height)) ** 0.5
  if shrink < 1:
    size = [max(1, int(x * shrink)) for x in image.size]
    image = image.resize(size, Image.Resampling.BOX)
  is_small = image.height / max(1, len(rows)) < _SMALL
  content = io.BytesIO()
  image.save(
    content,
    format='jpeg',
    quality=88 if is_small else 78,
    subsampling=0 if is_small else 2,
  )
  return rows, content.getvalue()


def _name(image, tile, names):
  """Names the rows of a grid from before grids did so by themselves."""
  if tile is None:
    return [], image
  gap = max(1, tile // 32)
  count, rest = divmod(image.height + gap, tile + gap)
  if rest or not count:
    return [], image
  rows = names(count)
  sheet = labelled_grid.add_names(np.asarray(image), rows, tile)
  return rows, Image.fromarray(sheet)
