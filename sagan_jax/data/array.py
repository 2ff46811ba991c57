"""Images in memory-mapped NumPy files, as `python -m sagan_jax.prepare` writes.

A prepared directory holds one split at one size:

  images.npy    uint8 [N, H, W, 3]
  labels.npy    int32 [N]
  dataset.json  the fields of `Info`; written last, so that a directory with
                this file is complete.

Reading a batch is a gather of rows, with random access to any batch and no
decoding: the fastest source, and the one for large runs.

The files are bound to the checksums in dataset.json. They are read in full when
they are first opened on a machine, and after that only if they have changed. A
remote directory is copied into the user's cache first.
"""

import dataclasses
import os
import re
import typing
from collections.abc import Callable

import numpy as np
from etils import epath

from sagan_jax import errors, files
from sagan_jax.data import checksums, indexed, remote, source
from sagan_jax.formats import npy_header

FORMAT_VERSION = 1
IMAGES_FILE = 'images.npy'
LABELS_FILE = 'labels.npy'
INFO_FILE = 'dataset.json'


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
    directory: the prepared directory, local or a URL.

  Returns:
    Its `Info`.

  Raises:
    UserError: if the directory is missing, unfinished or of another format.
  """
  path = files.as_path(directory) / INFO_FILE
  if not path.exists():
    raise errors.UserError(
      f'{os.fspath(directory)!r} is not a prepared data set: it has no '
      f'{INFO_FILE}. Finish it with `python -m sagan_jax.prepare`, or set '
      '--config.dataset.name=array:DIR'
    )
  fields = files.read_json(path)
  version = fields.get('format_version') if isinstance(fields, dict) else None
  if version != FORMAT_VERSION:
    raise errors.UserError(
      f'{path} has format version {version}, this program reads version '
      f'{FORMAT_VERSION}; prepare the directory again'
    )
  wrong = _wrong_fields(fields)
  if wrong:
    raise errors.UserError(
      f'{path} is damaged: wrong or missing {", ".join(wrong)}; prepare it again'
    )
  return Info(**fields)


def _wrong_fields(fields: dict) -> list[str]:
  """Returns the names of fields that `Info` does not have as they are."""
  types = typing.get_type_hints(Info)
  wrong = {
    name
    for name, kind in types.items()
    if type(fields.get(name)) is not (typing.get_origin(kind) or kind)
  }
  if 'class_names' not in wrong and not (
    fields['class_names']
    and all(isinstance(x, str) for x in fields['class_names'])
  ):
    wrong.add('class_names')
  for name in {'num_examples', 'image_size'} - wrong:
    if not 0 < fields[name] < 2**31:
      wrong.add(name)
  for name in {'images_sha256', 'labels_sha256'} - wrong:
    if not re.fullmatch('[0-9a-f]{64}', fields[name]):  # Names a copied file.
      wrong.add(name)
  return sorted(wrong | (fields.keys() - types.keys()))


def verify(directory: str | os.PathLike) -> Info:
  """Compares the files of a prepared directory with their checksums.

  Args:
    directory: the prepared directory, local or a URL.

  Returns:
    Its `Info`.

  Raises:
    UserError: if a file has changed since it was written, or is missing.
  """
  info = read_info(directory)
  for path, expected in _paths(files.as_path(directory), info):
    _check_exists(path)
    actual = checksums.sha256(path)
    _compare(path, actual, expected)
    if not files.is_remote(path):
      checksums.remember(path, actual)
  return info


def open_source(
  directory: str | os.PathLike, *, image_size: int, split: str
) -> indexed.IndexedSource:
  """Opens a prepared directory; reads the labels, maps the images.

  Args:
    directory: written by `python -m sagan_jax.prepare`, local or a URL.
    image_size: the size the directory must hold, pixels.
    split: the split the directory must hold.

  Returns:
    The source.

  Raises:
    UserError: if the directory holds another size or split, is not a prepared
      one, or if its files are missing or not those that were prepared.
  """
  info = read_info(directory)
  if info.image_size != image_size:
    raise errors.UserError(
      f'{os.fspath(directory)!r} holds images of {info.image_size} pixels, not '
      f'{image_size}; set --config.image_size={info.image_size} or prepare '
      f'another directory with --image_size={image_size}'
    )
  if info.split != split:
    raise errors.UserError(
      f'{os.fspath(directory)!r} holds the split {info.split!r}, not {split!r}; set '
      f'--config.dataset.split={info.split} or prepare another directory with '
      f'--split={split}'
    )
  name = f'array:{directory}'
  shape = (info.num_examples, image_size, image_size, 3)
  images_file, labels_file = _paths(files.as_path(directory), info)
  images = _open_map(*images_file, shape, np.uint8)
  labels = _open_map(*labels_file, shape[:1], np.int32)
  labels = source.check_labels(labels, len(info.class_names), where=name)

  check = _size_check(images_file[0])

  def gather(index):
    check()
    return source.Batch(image=images.take(index, axis=0), label=labels[index])

  return indexed.IndexedSource(
    lambda indices: map(gather, indices),
    name=name,
    num_examples=info.num_examples,
    class_names=tuple(info.class_names),
    image_size=image_size,
    identity={
      'name': 'array',
      'images_sha256': info.images_sha256,
      'labels_sha256': info.labels_sha256,
      'class_names': info.class_names,
    },
  )


def _paths(directory: epath.Path, info: Info) -> list[tuple[epath.Path, str]]:
  """Returns (path, SHA-256) of the images and of the labels."""
  return [
    (directory / IMAGES_FILE, info.images_sha256),
    (directory / LABELS_FILE, info.labels_sha256),
  ]


def _open_map(
  path: epath.Path, sha256: str, shape: tuple[int, ...], dtype: type
) -> np.ndarray:
  """Maps a .npy file read-only after checking shape, type and contents."""
  _check_exists(path)
  local = remote.local_copy(path, sha256) if files.is_remote(path) else path
  try:
    with files.open_file(local) as file:
      there, by_columns, kind = npy_header.read(file)
      start = file.tell()
    if by_columns:
      raise ValueError('its values lie by columns')
    array: np.ndarray = np.memmap(local, kind, 'r', start, there)
  except (ValueError, OverflowError, OSError) as e:
    raise errors.UserError(
      f'{path} is cut short or damaged: {e}; copy it again, or prepare it again'
    ) from e
  if array.shape != shape or array.dtype != dtype:
    raise errors.UserError(
      f'{path} is {array.dtype} {list(array.shape)}, but {INFO_FILE} says '
      f'{np.dtype(dtype)} {list(shape)}; prepare it again'
    )
  _compare(path, checksums.of_unchanged(local), sha256)
  # Gathering from a memmap would make memmaps, slower and tied to the file.
  return np.asarray(array)


def _size_check(path: epath.Path) -> Callable[[], None]:
  """A function that raises if a mapped file is no more what it was.

  Reading a map beyond the end of its file ends the process with SIGBUS. What is
  cut short between this and the reading still does; a batch takes a moment.
  """
  if files.is_remote(path):  # The map is of a copy in the user's cache.
    return lambda: None
  before = os.stat(path).st_size

  def check():
    try:
      size = os.stat(path).st_size
    except OSError as e:
      raise errors.UserError(
        f'{path} has vanished: {e.strerror}; bring it back, and run the same '
        'command again'
      ) from e
    if size != before:
      raise errors.UserError(
        f'{path} has changed while it was read, from {before:,} to {size:,} '
        'bytes; bring it back, or prepare it again'
      )

  return check


def _check_exists(path: epath.Path) -> None:
  if not path.exists():
    raise errors.UserError(f'{path} is missing; prepare it again')


def _compare(path: epath.Path, actual: str, expected: str) -> None:
  if actual != expected:
    raise errors.UserError(
      f'{path} has changed since it was prepared: its SHA-256 is {actual}, '
      f'{INFO_FILE} says {expected}; prepare it again'
    )
