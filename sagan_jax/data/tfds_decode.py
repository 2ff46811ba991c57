"""Decodes the centre square of an encoded image, as TensorFlow ops."""

import tensorflow as tf

# A few kilobytes of PNG can unfold to gigabytes. ImageNet's largest image has
# some 52 million pixels.
MAX_PIXELS = 80_000_000
_JPEG_MAGIC = b'\xff\xd8\xff'
_PNG_MAGIC = b'\x89PNG\r\n\x1a\n'


def decode_square(data, image_size: int, *, record):
  """Decodes the centre square of an image at a given size.

  Args:
    data: string [], a JPEG or PNG file; greyscale, CMYK and transparent images
      are converted to RGB.
    image_size: height and width to resize to, pixels.
    record: string [], a name for error texts.

  Returns:
    uint8 [image_size, image_size, 3]. Running it raises InvalidArgumentError
    for other formats, damaged files and images of over `MAX_PIXELS`.
  """
  image = tf.cond(
    tf.strings.substr(data, 0, len(_JPEG_MAGIC)) == _JPEG_MAGIC,
    lambda: _jpeg_square(data, record),
    lambda: _png_square(data, record),
  )
  image = tf.image.resize(image, (image_size, image_size), antialias=True)
  image = tf.clip_by_value(tf.round(image), 0, 255)
  return tf.cast(image, tf.uint8)


def _jpeg_square(data, record):
  """Decodes the centre square of a JPEG, and only that."""
  height, width, _ = tf.unstack(tf.io.extract_jpeg_shape(data))
  side, top, left = _square(height, width, record)
  return tf.io.decode_and_crop_jpeg(
    data, tf.stack([top, left, side, side]), channels=3
  )


def _png_square(data, record):
  """Decodes a PNG and cuts out its centre square."""
  is_png = tf.strings.substr(data, 0, len(_PNG_MAGIC)) == _PNG_MAGIC
  # Width and height are bytes 16 to 24, big-endian (PNG specification, IHDR).
  is_png &= tf.strings.length(data) >= 24
  message = 'neither JPEG nor PNG: record'
  with tf.control_dependencies(
    [tf.debugging.Assert(is_png, [message, record])]
  ):
    header = tf.strings.substr(data, 16, 8)
  width, height = tf.unstack(
    tf.io.decode_raw(header, tf.int32, little_endian=False), num=2
  )
  side, top, left = _square(height, width, record)
  with tf.control_dependencies([side]):
    image = tf.io.decode_png(data, channels=3)
  return image[top : top + side, left : left + side]


def _square(height, width, record):
  """Returns (side, top, left) of the centre square, int32 scalars each."""
  pixels = tf.cast(height, tf.int64) * tf.cast(width, tf.int64)
  message = f'over {MAX_PIXELS:,} pixels: record'
  allowed = tf.debugging.Assert(pixels <= MAX_PIXELS, [message, record])
  with tf.control_dependencies([allowed]):
    side = tf.minimum(height, width)
  return side, (height - side) // 2, (width - side) // 2
