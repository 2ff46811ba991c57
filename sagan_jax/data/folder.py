"""Image files in one folder a class; needs no TensorFlow.

The layout is that of TFDS's ImageFolder and of torchvision's:

  DIR/<split>/<class>/*.jpg

where DIR/<class>/*.jpg is read too, as the split 'train', and files may lie in
sub-folders of a class. Classes are numbered in the order of their names.

An image is reduced to its centre square and resized with an antialiased
bilinear filter, as the 'tfds' source does it; the decoders differ by a few grey
levels. Decoding takes some 2 ms of a core for a photo of 500 x 375 pixels: for
long runs prepare an array directory.
"""

import concurrent.futures
import os
import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from sagan_jax.data import indexed, source

SUFFIXES = ('.jpg', '.jpeg', '.png')
# A few kilobytes of PNG can unfold to gigabytes. ImageNet's largest image has
# some 52 million pixels; Pillow warns from 89 million on.
MAX_PIXELS = 80_000_000
# A change of the decoded pixels must change this; it is in the fingerprint.
_PREPROCESSING = 'centre square, antialiased bilinear, v1'

_SPLIT_NAMES = ('train', 'test', 'val', 'valid', 'validation')


def open_source(
  directory: str | os.PathLike, *, image_size: int, split: str
) -> indexed.IndexedSource:
  """Lists the files of a folder; decodes none.

  Args:
    directory: holds the split's folder, or the class folders.
    image_size: height and width to resize to, pixels.
    split: name of the split's folder.

  Returns:
    The source. Its fingerprint covers the names and sizes of the files, not
    their contents.

  Raises:
    ValueError: if a folder is missing or a class has no image.
  """
  root = _split_folder(pathlib.Path(directory), split)
  classes = sorted(e.name for e in os.scandir(root) if e.is_dir())
  if not classes:
    raise ValueError(
      f'{str(root)!r} has no class folders; set '
      '--config.dataset.name=folder:DIR such that images are '
      'DIR/<split>/<class>/*.jpg'
    )
  files: list[str] = []  # relative to the root.
  labels = []
  for label, name in enumerate(classes):
    found = _list_images(root, name)
    if not found:
      raise ValueError(
        f'class folder {str(root / name)!r} has no image '
        f'({", ".join(SUFFIXES)}); fill it or remove it'
      )
    files += found
    labels += [label] * len(found)
  return indexed.IndexedSource(
    _Decoder(root, files, np.asarray(labels, np.int32), image_size),
    name=f'folder:{directory}',
    num_examples=len(files),
    class_names=tuple(classes),
    image_size=image_size,
    fingerprint=lambda: source.fingerprint(
      files=files,
      sizes=[os.path.getsize(root / f) for f in files],
      image_size=image_size,
      preprocessing=_PREPROCESSING,
    ),
  )


class _Decoder:
  """Decodes batches of files in order, in threads: Pillow releases the GIL."""

  def __init__(
    self,
    root: pathlib.Path,
    files: list[str],
    labels: np.ndarray,
    image_size: int,
  ):
    self._root = root
    self._files = files
    self._labels = labels
    self._image_size = image_size
    # Starts its threads on first use; they end with the source.
    self._pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())

  def __call__(self, indices: Iterator[np.ndarray]) -> Iterator[source.Batch]:
    pending = None
    for index in indices:
      # Begun before the last batch is waited for, lest threads idle at its end.
      begun = index, [self._pool.submit(self._load, i) for i in index]
      if pending is not None:
        yield self._finish(*pending)
      pending = begun
    if pending is not None:
      yield self._finish(*pending)

  def _load(self, i: int) -> np.ndarray:
    return load_image(self._root / self._files[i], self._image_size)

  def _finish(self, index: np.ndarray, images: list) -> source.Batch:
    return source.Batch(
      image=np.stack([i.result() for i in images]), label=self._labels[index]
    )


def load_image(path: str | os.PathLike, image_size: int) -> np.ndarray:
  """Reads the centre square of an image file.

  Args:
    path: a JPEG or PNG file, whatever its suffix; greyscale, palette, CMYK and
      transparent images are converted to RGB.
    image_size: height and width to resize to, pixels.

  Returns:
    uint8 [image_size, image_size, 3].

  Raises:
    ValueError: if the file cannot be decoded or has over `MAX_PIXELS`.
  """
  try:
    # Only the header is read here.
    with Image.open(path, formats=('JPEG', 'PNG')) as image:
      width, height = image.size
      if width * height > MAX_PIXELS:
        raise ValueError(
          f'it has {width} x {height} pixels, over the limit of {MAX_PIXELS:,}'
        )
      image = _to_rgb(image)
      width, height = image.size
      side = min(width, height)
      left, top = (width - side) // 2, (height - side) // 2
      # Not `resize(box=...)`, whose filter would see pixels outside the box.
      image = image.crop((left, top, left + side, top + side))
      # Bilinear of Pillow is antialiased when it reduces.
      image = image.resize((image_size,) * 2, Image.Resampling.BILINEAR)
      return np.asarray(image)
  except (
    OSError,
    ValueError,
    SyntaxError,  # Pillow's for a broken PNG chunk.
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,  # Where warnings are errors.
  ) as e:
    raise ValueError(
      f'{path} cannot be read as an image: {e}; repair it or remove it'
    ) from e


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


def _split_folder(directory: pathlib.Path, split: str) -> pathlib.Path:
  """Returns the folder that holds a split's class folders."""
  if not directory.is_dir():
    raise ValueError(
      f'{str(directory)!r} is not a folder; set --config.dataset.name='
      'folder:DIR'
    )
  if (directory / split).is_dir():
    return directory / split
  splits = [s for s in _SPLIT_NAMES if (directory / s).is_dir()]
  if split == 'train' and not splits:
    return directory
  found = ', '.join(splits) or "class folders only, which are split 'train'"
  raise ValueError(
    f'{str(directory)!r} has no split folder {split!r}; it has {found}; set '
    '--config.dataset.split'
  )


def _list_images(root: pathlib.Path, name: str) -> list[str]:
  """Returns a class's image files, sorted, relative to `root`."""
  files = []
  for folder, _, names in os.walk(root / name):
    relative = os.path.relpath(folder, root)
    files += [f'{relative}/{n}' for n in names if n.lower().endswith(SUFFIXES)]
  return sorted(files)
