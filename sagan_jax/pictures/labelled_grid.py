"""Sheets of images with a name beside each row."""

import io
import json
import os

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from sagan_jax import files
from sagan_jax.pictures import grids

_NAMES = 'rows'  # The PNG text that holds the names of the rows, as JSON.
_MAX_LETTERS = 12  # Of average width, that a margin has room for.


def shown_classes(num_classes, most):
  """The classes that a grid shows, where it has no room for all of them.

  Args:
    num_classes: how many there are.
    most: how many rows the grid may have.

  Returns:
    int64 [min(num_classes, most)], evenly spaced, with the first and the last.
  """
  shown = np.linspace(0, num_classes - 1, min(num_classes, most))
  return shown.round().astype(np.int64)


def labelled(images, columns, row_names):
  """Tiles uint8 [n, H, W, 3] as `grids.grid`, with names at the left.

  Args:
    images: the tiles, row by row.
    columns: how many of them make a row.
    row_names: text for each row; what is too long for the margin is cut.

  Returns:
    uint8 [h, w, 3]; its right part is the grid, pixel by pixel.
  """
  sheet = grids.grid(images, columns)
  return add_names(sheet, row_names, images.shape[1])


def add_names(sheet, row_names, height):
  """Puts a margin with names at the left of a grid.

  Args:
    sheet: uint8 [h, w, 3], as `grids.grid` makes it.
    row_names: text for each row.
    height: of a tile, in pixels.

  Returns:
    uint8 [h, w', 3].
  """
  step = height + max(1, height // 32)
  font = _font(min(max(height * 3 // 8, 10), 24))
  room = round(_MAX_LETTERS * font.getlength('n'))
  names = [_fit(name, font, room) for name in row_names]
  gap = round(font.size / 2)
  width = round(max(map(font.getlength, names), default=0)) + 2 * gap
  margin = np.full((len(sheet), width, 3), 255, np.uint8)
  for row, name in enumerate(names[: -(-len(sheet) // step)]):
    # Drawn by itself, so that no letter reaches into another row.
    part = margin[row * step : row * step + height]
    image = Image.new('RGB', (width, len(part)), 'white')
    ImageDraw.Draw(image).text(
      (width - gap, len(part) / 2), name, 'black', font, anchor='rm'
    )
    part[:] = image
  return np.concatenate([margin, sheet], axis=1)


def save(path, sheet, row_names):
  """Writes a sheet as PNG, which holds the names of its rows as text too.

  Args:
    path: where to, local or remote.
    sheet: uint8 [h, w, 3].
    row_names: text for each row, which `names_in` gives back.

  Raises:
    UserError: if it cannot be written.
  """
  text = PngImagePlugin.PngInfo()
  text.add_itxt(_NAMES, json.dumps(list(row_names)))
  content = io.BytesIO()
  Image.fromarray(sheet).save(content, format='png', pnginfo=text)
  files.write(path, content.getvalue())


def names_in(image):
  """The names of the rows of an opened PNG; None if it holds none."""
  try:
    names = files.parse_json(str(image.info[_NAMES]).encode())
  except (KeyError, ValueError):
    return None
  is_text = isinstance(names, list) and all(isinstance(x, str) for x in names)
  return names if is_text else None


def _font(size):
  import matplotlib  # For a font with more letters than Pillow's own.

  path = os.path.join(
    matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf'
  )
  return ImageFont.truetype(path, size)


def _fit(name, font, room):
  """A name in a line of printable letters, cut to so many pixels."""
  name = ' '.join(''.join(x if x.isprintable() else ' ' for x in name).split())
  if font.getlength(name) <= room:
    return name
  while name and font.getlength(f'{name}…') > room:
    name = name[:-1]
  return f'{name}…'
