"""Encoded images -> squares of pixels, with Pillow."""

import os
import struct
from typing import IO

import numpy as np
from PIL import Image

FORMATS = ('JPEG', 'PNG', 'WEBP')
# A few kilobytes of PNG can unfold to gigabytes. ImageNet's largest image has
# some 52 million pixels; Pillow warns from 89 million on.
MAX_PIXELS = 80_000_000
MAX_BYTES = 2**28  # Of a file: `MAX_PIXELS` without compression.
# A change of the decoded pixels must change this; it is in the fingerprint.
PREPROCESSING = 'upright, centre square, antialiased bilinear, v2'

_ORIENTATION_TAG = 0x0112  # Of EXIF; 1 is upright.
_UPRIGHT = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}
# What Pillow raises for damaged files.
DAMAGES = (
  OSError,
  ValueError,
  SyntaxError,  # A broken PNG chunk.
  struct.error,
  Image.DecompressionBombError,
  Image.DecompressionBombWarning,  # Where warnings are errors.
)


class UnreadableError(ValueError):
  """An image that cannot be decoded; the text is the reason."""


def read_size(file: IO[bytes]) -> tuple[int, int]:
  """Reads the header of an image.

  Args:
    file: a JPEG, PNG or WebP file.

  Returns:
    (width, height), pixels.

  Raises:
    UnreadableError: if it is none of these, if the header is damaged, if it
      names over `MAX_PIXELS`, or if it is an animation.
  """
  try:
    with _open(file) as image:
      return image.size
  except DAMAGES as e:
    raise UnreadableError(_reason(e)) from e


def decode_square(file: IO[bytes] | str, image_size: int) -> np.ndarray:
  """Decodes the centre square of an image.

  Args:
    file: a JPEG, PNG or WebP file or its path; greyscale, palette, CMYK and
      transparent images are converted to RGB. It is turned as its EXIF
      orientation says.
    image_size: height and width to resize to, pixels.

  Returns:
    uint8 [image_size, image_size, 3].

  Raises:
    UnreadableError: if the file cannot be decoded, has over `MAX_PIXELS`, or is
      an animation.
  """
  try:
    with _open(file) as opened:
      turn = _UPRIGHT.get(_orientation(opened) or 1)
      image = _to_rgb(opened)
      if turn is not None:
        image = image.transpose(turn)
      width, height = image.size
      side = min(width, height)
      left, top = (width - side) // 2, (height - side) // 2
      # Not `resize(box=...)`, whose filter would see pixels outside the box.
      image = image.crop((left, top, left + side, top + side))
      # Bilinear of Pillow is antialiased when it reduces.
      image = image.resize((image_size, image_size), Image.Resampling.BILINEAR)
      return np.asarray(image)
  except DAMAGES as e:
    raise UnreadableError(_reason(e)) from e


def _open(file: IO[bytes] | str) -> Image.Image:
  """Opens an image; reads its header only."""
  if not isinstance(file, (str, os.PathLike)):
    size = file.seek(0, os.SEEK_END)  # Pillow reads some formats whole.
    file.seek(0)
    if size > MAX_BYTES:
      raise UnreadableError(f'it has {size:,} bytes, over {MAX_BYTES:,}')
  image = Image.open(file, formats=FORMATS)
  width, height = image.size
  reason = None
  if width * height > MAX_PIXELS:
    reason = f'it has {width} x {height} pixels, over {MAX_PIXELS:,}'
  elif image.format == 'WEBP' and getattr(image, 'is_animated', False):
    reason = 'it is an animation'
  if reason is not None:
    image.close()
    raise UnreadableError(reason)
  return image


def _reason(error: Exception) -> str:
  if isinstance(error, Image.UnidentifiedImageError):
    return 'it is not a JPEG, PNG or WebP image'
  if isinstance(error, OSError) and error.strerror:
    return error.strerror
  return str(error)


def _orientation(image: Image.Image) -> int | None:
  """Returns EXIF's orientation; None where there is none that makes sense."""
  try:
    return image.getexif().get(_ORIENTATION_TAG)
  # The list is that of Pillow's own reader of EXIF: JpegImagePlugin.
  except (*DAMAGES, KeyError, TypeError, ZeroDivisionError):
    return None


def _to_rgb(image: Image.Image) -> Image.Image:
  if image.mode == 'RGB':
    return image
  if image.mode.startswith('I'):
    # 16-bit greyscale, which `convert` would clip at 255.
    high = np.asarray(image).astype(np.uint32) >> 8
    return Image.fromarray(high.astype(np.uint8)).convert('RGB')
  if 'transparency' in image.info:
    image = image.convert('RGBA')  # Or else Pillow warns about palettes.
  return image.convert('RGB')
