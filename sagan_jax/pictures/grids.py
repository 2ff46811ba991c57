"""Sheets of images, as PNG files."""

import io
import math

import numpy as np
from PIL import Image, PngImagePlugin

from sagan_jax import files


def grid(images, columns):
  """Tiles uint8 [n, H, W, 3] row by row into one image with thin gaps."""
  n, h, w, _ = images.shape
  rows = math.ceil(n / columns)
  gap = max(1, h // 32)
  sheet = np.full(
    (rows * (h + gap) - gap, columns * (w + gap) - gap, 3), 255, np.uint8
  )
  for i, image in enumerate(images):
    top, left = i // columns * (h + gap), i % columns * (w + gap)
    sheet[top : top + h, left : left + w] = image
  return sheet


def save_png(path, image, software=None):
  """Writes uint8 [H, W, 3] as PNG; the file is there whole or not at all.

  Args:
    path: where to, local or remote.
    image: the pixels.
    software: what the file says that it was made by; None for nothing.

  Raises:
    UserError: if it cannot be written.
  """
  content = io.BytesIO()
  info = PngImagePlugin.PngInfo()
  if software:
    info.add_text('Software', software)
  Image.fromarray(image).save(content, format='png', pnginfo=info)
  files.write(path, content.getvalue())
