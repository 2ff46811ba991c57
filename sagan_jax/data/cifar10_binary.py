"""CIFAR-10 as published: the files of cifar-10-binary.tar.gz.

A file is a row of records of 3,073 bytes: the label, then the red, green and
blue planes of 32 x 32 pixels (https://www.cs.toronto.edu/~kriz/cifar.html).
"""

import hashlib
import os
import pathlib
from collections.abc import Iterator

import numpy as np

from sagan_jax.data import source

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

_PATTERNS = {'train': 'data_batch_*.bin', 'test': 'test_batch*.bin'}


class Cifar10BinarySource:
  """CIFAR-10's own files as a `source.Source`, held in memory (184 MB)."""

  def __init__(self, place: str | os.PathLike, *, image_size: int, split: str):
    """Reads the files.

    Args:
      place: the unpacked folder, or one file in it.
      image_size: must be 32: the images are used as they are.
      split: 'train' reads data_batch_*.bin, 'test' reads test_batch.bin.

    Raises:
      ValueError: if the size or split is another, or if the files are missing,
        truncated or hold a label above 9.
    """
    if image_size != IMAGE_SIZE:
      raise ValueError(
        f'CIFAR-10 has images of 32 pixels, not {image_size}; set '
        '--config.image_size=32'
      )
    if split not in _PATTERNS:
      raise ValueError(
        f'CIFAR-10 has no split {split!r}, only {sorted(_PATTERNS)}; set '
        '--config.dataset.split'
      )
    digest = hashlib.sha256()
    images, labels = [], []
    for path in _find(pathlib.Path(place), split):
      content = path.read_bytes()
      if not content or len(content) % RECORD_BYTES:
        raise ValueError(
          f'{path} has {len(content)} bytes, which is not a positive multiple '
          f'of {RECORD_BYTES}, one record; is it truncated or another file?'
        )
      records = np.frombuffer(content, np.uint8).reshape(-1, RECORD_BYTES)
      labels.append(
        source.check_labels(
          records[:, 0].astype(np.int32), len(CLASS_NAMES), where=str(path)
        )
      )
      planes = records[:, 1:].reshape(-1, 3, IMAGE_SIZE, IMAGE_SIZE)
      images.append(planes.transpose(0, 2, 3, 1))
      digest.update(content)
    self._images = np.concatenate(images)
    self._labels = np.concatenate(labels)
    self.name = f'cifar10_binary:{place}'
    self.num_examples = len(self._labels)
    self.num_classes = len(CLASS_NAMES)
    self.class_names = CLASS_NAMES
    self.image_size = image_size
    self.fingerprint = source.fingerprint(
      name='cifar10_binary', sha256=digest.hexdigest()
    )

  def batches(
    self,
    *,
    seed: int,
    batch_size: int,
    start: int = 0,
    process_index: int = 0,
    process_count: int = 1,
  ) -> Iterator[source.Batch]:
    """Yields shuffled batches without end; see `source.Source.batches`."""
    return source.indexed_batches(
      self._gather,
      self.num_examples,
      seed=seed,
      batch_size=batch_size,
      start=start,
      process_index=process_index,
      process_count=process_count,
    )

  def examples(
    self,
    *,
    batch_size: int,
    start: int = 0,
    process_index: int = 0,
    process_count: int = 1,
  ) -> Iterator[source.Batch]:
    """Yields every example once, in order; see `source.Source.examples`."""
    indices = source.stored_indices(
      self.num_examples,
      batch_size=batch_size,
      start=start,
      process_index=process_index,
      process_count=process_count,
    )
    return map(self._gather, indices)

  def _gather(self, index: np.ndarray) -> source.Batch:
    return source.Batch(image=self._images[index], label=self._labels[index])


def _find(place: pathlib.Path, split: str) -> list[pathlib.Path]:
  """Returns the files of a split, in order."""
  pattern = _PATTERNS[split]
  if place.is_file():
    paths = [place] if place.match(pattern) else []
  else:
    paths = sorted(place.glob(pattern))
  if not paths:
    raise ValueError(
      f'{str(place)!r} holds no {pattern}, the {split} split of CIFAR-10; set '
      '--config.dataset.name=cifar10_binary:DIR to the unpacked folder of '
      'cifar-10-binary.tar.gz, or set --config.dataset.split'
    )
  return paths
