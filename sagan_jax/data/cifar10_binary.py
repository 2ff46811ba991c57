"""CIFAR-10 as published: the files of cifar-10-binary.tar.gz.

A file is a row of records of 3,073 bytes: the label, then the red, green and
blue planes of 32 x 32 pixels (https://www.cs.toronto.edu/~kriz/cifar.html).
"""

import hashlib
import os

import numpy as np
from etils import epath

from sagan_jax import errors, files
from sagan_jax.data import indexed, source

# The order of batches.meta.txt in the archive.
CLASS_NAMES = (
  'airplane',
  'automobile',
  'bird',
  'cat',
  'deer',
  'dog',
  'frog',
  'horse',
  'ship',
  'truck',
)
IMAGE_SIZE = 32
RECORD_BYTES = 1 + 3 * IMAGE_SIZE**2

_MAX_BYTES = 2**28  # Of a file; published ones have 31 MB.
_PATTERNS = {'train': 'data_batch_*.bin', 'test': 'test_batch*.bin'}


def open_source(
  place: str | os.PathLike, *, image_size: int, split: str
) -> indexed.IndexedSource:
  """Reads the files, into 184 MB of memory.

  Args:
    place: the unpacked folder, or one file in it.
    image_size: must be 32: the images are used as they are.
    split: 'train' reads data_batch_*.bin, 'test' reads test_batch.bin.

  Returns:
    The source.

  Raises:
    UserError: if the size or split is another, or if the files are missing,
      truncated or hold a label above 9.
  """
  if image_size != IMAGE_SIZE:
    raise errors.UserError(
      f'CIFAR-10 has images of 32 pixels, not {image_size}; set '
      '--config.image_size=32'
    )
  if split not in _PATTERNS:
    raise errors.UserError(
      f'CIFAR-10 has no split {split!r}, only {sorted(_PATTERNS)}; set '
      '--config.dataset.split'
    )
  digest = hashlib.sha256()
  image_parts, label_parts = [], []
  for path in _find(files.as_path(place), split):
    content = _read(path)
    image, label = _parse(content, path)
    image_parts.append(image)
    label_parts.append(label)
    digest.update(content)
  images, labels = np.concatenate(image_parts), np.concatenate(label_parts)

  def gather(index):
    return source.Batch(image=images[index], label=labels[index])

  return indexed.IndexedSource(
    lambda indices: map(gather, indices),
    name=f'cifar10_binary:{place}',
    num_examples=len(labels),
    class_names=CLASS_NAMES,
    image_size=image_size,
    identity={'name': 'cifar10_binary', 'sha256': digest.hexdigest()},
  )


def _read(path: epath.Path) -> bytes:
  return files.read(path, _MAX_BYTES)


def _parse(content: bytes, path: epath.Path) -> tuple[np.ndarray, np.ndarray]:
  """Returns (images [n, 32, 32, 3], labels [n]) of one file."""
  if not content or len(content) % RECORD_BYTES:
    raise errors.UserError(
      f'{path} has {len(content)} bytes, which is not a positive multiple of '
      f'{RECORD_BYTES}, one record; is it truncated or another file?'
    )
  records = np.frombuffer(content, np.uint8).reshape(-1, RECORD_BYTES)
  planes = records[:, 1:].reshape(-1, 3, IMAGE_SIZE, IMAGE_SIZE)
  labels = source.check_labels(
    records[:, 0].astype(np.int32), len(CLASS_NAMES), where=str(path)
  )
  return planes.transpose(0, 2, 3, 1), labels


def _find(place: epath.Path, split: str) -> list[epath.Path]:
  """Returns the files of a split, in order."""
  pattern = _PATTERNS[split]
  if place.is_file():
    paths = [place] if place.match(pattern) else []
  else:
    paths = files.matching(place, pattern)
  if not paths:
    raise errors.UserError(
      f'{str(place)!r} holds no {pattern}, the {split} split of CIFAR-10; set '
      '--config.dataset.name=cifar10_binary:DIR to the unpacked folder of '
      'cifar-10-binary.tar.gz, or set --config.dataset.split'
    )
  return paths
