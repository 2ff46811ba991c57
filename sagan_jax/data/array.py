"""Images in memory-mapped NumPy files, as `python -m sagan_jax.prepare` writes.

A prepared directory holds one split at one size:

  images.npy    uint8 [N, H, W, 3]
  labels.npy    int32 [N]
  dataset.json  the fields of `Info`; written last, so that a directory with
                this file is complete.

Reading a batch is a gather of rows, with random access to any batch and no
decoding: the fastest source, and the one for large runs.
"""

import dataclasses
import hashlib
import json
import os
import pathlib

import numpy as np

from sagan_jax.data import indexed, source

FORMAT_VERSION = 1
IMAGES_FILE = 'images.npy'
LABELS_FILE = 'labels.npy'
INFO_FILE = 'dataset.json'

_HASH_BLOCK_BYTES = 1 << 22


@dataclasses.dataclass(frozen=True)
class Info:
  """What `dataset.json` says."""

  format_version: int  # FORMAT_VERSION of the writer.
  num_examples: int
  image_size: int  # pixels.
  class_names: list[str]
  split: str  # of the original source.
  source: str  # name of the original source.
  source_fingerprint: str  # of the original source.
  images_sha256: str  # of the whole images.npy.
  labels_sha256: str  # of the whole labels.npy.


def read_info(directory: str | os.PathLike) -> Info:
  """Reads the description of a prepared directory.

  Args:
    directory: the prepared directory.

  Returns:
    Its `Info`.

  Raises:
    ValueError: if the directory is missing, unfinished or of another format.
  """
  path = pathlib.Path(directory) / INFO_FILE
  try:
    fields = json.loads(path.read_text())
  except (FileNotFoundError, NotADirectoryError) as e:
    raise ValueError(
      f'{str(directory)!r} is not a prepared data set: it has no {INFO_FILE}. '
      'Finish it with `python -m sagan_jax.prepare`, or set '
      '--config.dataset.name=array:DIR'
    ) from e
  except ValueError as e:
    raise ValueError(f'{path} is corrupt: {e}; prepare it again') from e
  version = fields.get('format_version') if isinstance(fields, dict) else None
  if version != FORMAT_VERSION:
    raise ValueError(
      f'{path} has format version {version}, this program reads version '
      f'{FORMAT_VERSION}; prepare the directory again'
    )
  try:
    return Info(**fields)
  except TypeError as e:
    raise ValueError(f'{path} is corrupt: {e}; prepare it again') from e


def verify(directory: str | os.PathLike) -> Info:
  """Compares the files of a prepared directory with their checksums.

  Args:
    directory: the prepared directory.

  Returns:
    Its `Info`.

  Raises:
    ValueError: if a file has changed since it was written, or is missing.
  """
  info = read_info(directory)
  for name, expected in (
    (IMAGES_FILE, info.images_sha256),
    (LABELS_FILE, info.labels_sha256),
  ):
    path = pathlib.Path(directory) / name
    try:
      actual = sha256(path)
    except FileNotFoundError as e:
      raise ValueError(f'{path} is missing; prepare it again') from e
    if actual != expected:
      raise ValueError(
        f'{path} has changed since it was prepared: its SHA-256 is {actual}, '
        f'{INFO_FILE} says {expected}; prepare it again'
      )
  return info


def sha256(path: str | os.PathLike) -> str:
  """Returns the SHA-256 of a file, 64 hexadecimal digits."""
  digest = hashlib.sha256()
  with open(path, 'rb') as f:
    while block := f.read(_HASH_BLOCK_BYTES):
      digest.update(block)
  return digest.hexdigest()


def open_source(
  directory: str | os.PathLike, *, image_size: int, split: str
) -> indexed.IndexedSource:
  """Opens a prepared directory; reads the labels, maps the images.

  Args:
    directory: written by `python -m sagan_jax.prepare`.
    image_size: the size the directory must hold, pixels.
    split: the split the directory must hold.

  Returns:
    The source.

  Raises:
    ValueError: if the directory holds another size or split, is not a prepared
      one, or if its files are missing or damaged.
  """
  info = read_info(directory)
  if info.image_size != image_size:
    raise ValueError(
      f'{str(directory)!r} holds images of {info.image_size} pixels, not '
      f'{image_size}; set --config.image_size={info.image_size} or prepare '
      f'another directory with --image_size={image_size}'
    )
  if info.split != split:
    raise ValueError(
      f'{str(directory)!r} holds the split {info.split!r}, not {split!r}; set '
      f'--config.dataset.split={info.split} or prepare another directory with '
      f'--split={split}'
    )
  name = f'array:{directory}'
  directory = pathlib.Path(directory)
  shape = (info.num_examples, image_size, image_size, 3)
  images = _open_map(directory / IMAGES_FILE, shape, np.uint8)
  labels = source.check_labels(
    _open_map(directory / LABELS_FILE, shape[:1], np.int32),
    len(info.class_names),
    where=name,
  )

  def gather(index):
    return source.Batch(image=images.take(index, axis=0), label=labels[index])

  return indexed.IndexedSource(
    lambda indices: map(gather, indices),
    name=name,
    num_examples=info.num_examples,
    class_names=tuple(info.class_names),
    image_size=image_size,
    fingerprint=lambda: source.fingerprint(
      images=info.images_sha256,
      labels=info.labels_sha256,
      class_names=info.class_names,
    ),
  )


def _open_map(
  path: pathlib.Path, shape: tuple[int, ...], dtype: type
) -> np.ndarray:
  """Maps a .npy file read-only after checking its shape and type."""
  try:
    array = np.load(path, mmap_mode='r', allow_pickle=False)
  except FileNotFoundError as e:
    raise ValueError(f'{path} is missing; prepare it again') from e
  except (ValueError, EOFError, OSError) as e:
    raise ValueError(
      f'{path} is truncated or corrupt: {e}; prepare it again'
    ) from e
  if array.shape != shape or array.dtype != dtype:
    raise ValueError(
      f'{path} is {array.dtype} {list(array.shape)}, but {INFO_FILE} says '
      f'{np.dtype(dtype)} {list(shape)}; prepare it again'
    )
  # Gathering from a memmap would make memmaps, slower and tied to the file.
  return np.asarray(array)
