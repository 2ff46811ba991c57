"""Sheets of images with words: a title, names beside rows, captions below."""

import functools
import math
import pathlib

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sagan_jax import errors

# Few programs open more, and browsers scale it down.
MAX_SIDE = 30_000  # px
MAX_PIXELS = 120_000_000
_MIN_IMAGE = 64  # px; smaller images are enlarged, by a whole factor.
_FONT = 13  # px
_LINE = 18  # px
_MARGIN = 6  # px
_NAME = 220  # px; longer names are cut.
_INK, _PAPER = (38, 38, 38), (255, 255, 255)


class Sheet:
  """Where everything is on a sheet; known before there are images.

  Attributes:
    width: pixels.
    height: pixels.
  """

  def __init__(
    self,
    image_size,
    columns,
    names,
    *,
    titles=('',),
    captions=False,
    min_image=_MIN_IMAGE,
  ):
    """Lays a sheet out.

    Args:
      image_size: H = W of the images, pixels.
      columns: images per row.
      names: of the rows, drawn at their left; '' for none.
      titles: all that may stand above; a newline begins a line.
      captions: whether there is room for a line below each image.
      min_image: images smaller than this are enlarged, pixels.
    """
    self.columns = columns
    self.names = names
    self._scale = max(1, min_image // image_size)
    self._image = image_size * self._scale
    self._gap = max(2, self._image // 32)
    self._caption = _LINE if captions else 0
    wanted = max(map(_width, map(clean, names)), default=0)
    self._left = _MARGIN + (min(wanted, _NAME) + _MARGIN if wanted else 0)
    lines = max(len(t.split('\n')) if t else 0 for t in titles)
    self._top = _MARGIN + (lines * _LINE + _MARGIN if lines else 0)
    title = max(_width(line) for t in titles for line in t.split('\n'))
    row = columns * (self._image + self._gap) - self._gap
    self.width = max(self._left + row, _MARGIN + title) + _MARGIN
    self.height = self._top + len(names) * self._row - self._gap + _MARGIN

  @property
  def _row(self):
    return self._image + self._caption + self._gap

  def check(self, what, advice):
    """Refuses a sheet that is too large to be looked at.

    Args:
      what: it is, e.g. 'a grid of 8 images'.
      advice: what to do.

    Raises:
      UserError: with the size.
    """
    largest = max(self.width, self.height)
    if largest > MAX_SIDE or self.width * self.height > MAX_PIXELS:
      raise errors.UserError(
        f'{what} would be {self.width:,} x {self.height:,} pixels, more than '
        f'{MAX_SIDE:,} a side or {MAX_PIXELS // 10**6} million in all; {advice}'
      )

  def draw(self, images, *, title='', captions=None):
    """Draws a sheet.

    Args:
      images: uint8 [n, H, W, 3], row by row; n fills all rows but the last.
      title: one of those it was laid out for.
      captions: n texts, or None.

    Returns:
      uint8 [height, width, 3].
    """
    sheet = Image.new('RGB', (self.width, self.height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for i, line in enumerate(title.split('\n')):
      self._write(pen, (_MARGIN, _MARGIN + i * _LINE), line)
    for row, name in enumerate(self.names):
      top = self._top + row * self._row + (self._image - _LINE) // 2
      self._write(pen, (_MARGIN, top), fit(name, _NAME))
    for i, image in enumerate(images):
      left = self._left + i % self.columns * (self._image + self._gap)
      top = self._top + i // self.columns * self._row
      image = image.repeat(self._scale, 0).repeat(self._scale, 1)
      sheet.paste(Image.fromarray(image), (left, top))
      if captions:
        text = fit(captions[i], self._image)
        self._write(pen, (left, top + self._image), text)
    return np.asarray(sheet)

  def _write(self, pen, place, text):
    pen.text(place, text, font=_font(), fill=_INK)


def square(count):
  """Columns and rows of a sheet of `count` images, about as wide as high."""
  columns = math.ceil(math.sqrt(count))
  return columns, math.ceil(count / columns)


def clean(text):
  """`text` on one line: what no font can draw becomes a replacement mark."""
  return ''.join(x if x.isprintable() else '\ufffd' for x in text)


def fit(text, width):
  """`text`, clean and cut to a width in pixels."""
  text = clean(text)
  if _width(text) <= width:
    return text
  text = text[: width // 2]  # No letter is narrower.
  while text and _width(text + '…') > width:
    text = text[:-1]
  return text + '…'


@functools.cache
def _font():
  # Beside matplotlib, so that pictures are the same on all machines.
  path = pathlib.Path(matplotlib.get_data_path(), 'fonts/ttf/DejaVuSans.ttf')
  return ImageFont.truetype(
    str(path), _FONT, layout_engine=ImageFont.Layout.BASIC
  )


def _width(text):
  return math.ceil(_font().getlength(text[:1000]))
