"""The files of a folder of images: their list, and a look at each header."""

import concurrent.futures
import dataclasses
import functools
import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO, TypeVar

import numpy as np
from etils import epath

from sagan_jax import errors, files
from sagan_jax.data import image_file, progress

SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp')
FLAT_CLASS_NAMES = ('images',)

_SPLIT_NAMES = ('train', 'test', 'val', 'valid', 'validation')
# The header is nearly always in it. It is part of the fingerprint.
_HEAD_BYTES = 4096
_CHUNK_FILES = 256
_WAITING_THREADS = 32
_MAX_LISTED = 20

_Result = TypeVar('_Result')


@dataclasses.dataclass(frozen=True)
class Listing:
  """The image files of one split."""

  name: str  # of the source, e.g. 'folder:DIR'.
  root: str  # local path or URL.
  class_names: tuple[str, ...]
  files: list[str]  # [N], relative to the root, by class and name.
  labels: np.ndarray  # int32 [N]
  num_other: int  # files with other suffixes.
  num_loose: int  # images beside class folders.

  def path(self, i: int) -> str:
    """Returns the path of file number `i`."""
    return f'{self.root}/{self.files[i]}'


@dataclasses.dataclass(frozen=True)
class Headers:
  """What the beginnings of all files say."""

  sizes: list[int]  # [N], bytes.
  digests: list[bytes]  # [N], BLAKE2 of the first 4 KB.
  sides: np.ndarray  # int64 [N], the smaller of height and width, pixels.


def list_files(directory: str | os.PathLike, split: str) -> Listing:
  """Lists the images of a split.

  Hidden files and folders are passed over, as are macOS's `._*` and __MACOSX.

  Args:
    directory: holds the split's folder, or what that would hold.
    split: name of the split's folder.

  Returns:
    The list: one class for each folder, or one class for images in no folder.

  Raises:
    UserError: if a folder is missing or has no image.
  """
  root = _split_folder(files.as_path(directory), split)
  classes, loose, num_other = _entries(root, follow_links=True)
  if not classes and not loose:
    raise errors.UserError(
      f'{os.fspath(root)!r} has no class folders and no images; set '
      '--config.dataset.name=folder:DIR such that images are '
      'DIR/<split>/<class>/*.jpg, or DIR/<split>/*.jpg for a single class'
    )
  found: list[str] = []
  labels = []
  for label, name in enumerate(classes):
    of_class, others = _images_below(root, name)
    if not of_class:
      raise errors.UserError(
        f'class folder {os.fspath(root / name)!r} has no image '
        f'({", ".join(SUFFIXES)}); fill it or remove it'
      )
    found += of_class
    labels += [label] * len(of_class)
    num_other += others
  return Listing(
    name=f'folder:{directory}',
    root=os.fspath(root),
    class_names=tuple(classes) or FLAT_CLASS_NAMES,
    files=found or loose,
    labels=np.asarray(labels or [0] * len(loose), np.int32),
    num_other=num_other,
    num_loose=len(loose) if classes else 0,
  )


def read_headers(listing: Listing) -> Headers:
  """Reads the beginning of every file.

  Args:
    listing: of the files.

  Returns:
    Their sizes and digests.

  Raises:
    UserError: if any is not an image that can be read, with all their names.
  """
  found = for_each(
    listing,
    _read_header,
    what='checking images',
    num_threads=_num_threads(listing),
  )
  refuse_unreadable(listing, [reason for *_, reason in found])
  sizes, digests, sides, _ = zip(*found, strict=True)
  return Headers(list(sizes), list(digests), np.asarray(sides))


def for_each(
  listing: Listing,
  function: Callable[[str], _Result],
  *,
  what: str,
  num_threads: int,
) -> list[_Result]:
  """Applies a function to the path of every file, in threads.

  Args:
    listing: of the files.
    function: path -> result.
    what: is being done, for the progress on stderr.
    num_threads: that call the function.

  Returns:
    The results, [N].
  """
  paths = [listing.path(i) for i in range(len(listing.files))]
  starts = range(0, len(paths), _CHUNK_FILES)
  chunks = [paths[start : start + _CHUNK_FILES] for start in starts]
  results = []
  pool = concurrent.futures.ThreadPoolExecutor(num_threads)
  try:
    with progress.Progress(what, len(paths), unit='files') as shown:
      for part in pool.map(lambda chunk: [*map(function, chunk)], chunks):
        results += part
        shown.update(len(part))
  finally:  # After Ctrl-C, the chunks that have not begun are left out.
    pool.shutdown(cancel_futures=True)
  return results


def refuse_unreadable(listing: Listing, reasons: list[str | None]) -> None:
  """Raises a `UserError` that lists the files that have a reason."""
  bad = [i for i, reason in enumerate(reasons) if reason is not None]
  if not bad:
    return
  lines = [f'  {listing.files[i]}: {reasons[i]}' for i in bad[:_MAX_LISTED]]
  if len(bad) > _MAX_LISTED:
    lines.append(f'  and {len(bad) - _MAX_LISTED:,} more')
  raise errors.UserError(
    f'{len(bad):,} of {len(reasons):,} files in {listing.root} cannot be read '
    'as images; repair or remove them:\n' + '\n'.join(lines)
  )


def class_digests(listing: Listing, headers: Headers) -> dict:
  """Returns {class: [number of files, digest]} in the order of the classes.

  The digest covers the files' names, their sizes and their first 4 KB.
  """
  digests = [hashlib.sha256() for _ in listing.class_names]
  for name, label, size, head in zip(
    listing.files, listing.labels, headers.sizes, headers.digests, strict=True
  ):
    digests[label].update(f'{name}\0{size}\0'.encode(errors='surrogateescape'))
    digests[label].update(head)
  counts = np.bincount(listing.labels)
  return {
    name: [int(count), digest.hexdigest()[:32]]
    for name, count, digest in zip(
      listing.class_names, counts, digests, strict=True
    )
  }


def _read_header(path: str) -> tuple[int, bytes, int, str | None]:
  """Returns a file's (size, digest, smaller side, reason if it is not one)."""
  try:
    if files.is_remote(path):
      remote = epath.Path(path)
      size = remote.stat().length
      with remote.open('rb') as file:
        digest, side = _read_beginning(file)
    else:
      with open(path, 'rb', buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        digest, side = _read_beginning(file)
  except image_file.UnreadableError as e:
    return 0, b'', 0, str(e)
  except OSError as e:
    return 0, b'', 0, e.strerror or str(e)
  return size, digest, side, None


def _read_beginning(file: BinaryIO) -> tuple[bytes, int]:
  """Returns (digest of the first 4 KB, the smaller of height and width)."""
  head = file.read(_HEAD_BYTES)
  try:
    size = image_file.read_size(io.BytesIO(head))
  except image_file.UnreadableError:
    file.seek(0)  # A header may be longer: camera settings, colour profiles.
    size = image_file.read_size(file)
  return hashlib.blake2b(head, digest_size=16).digest(), min(size)


def _num_threads(listing: Listing) -> int:
  """Returns how many threads read headers fastest.

  Many, where a thread mostly waits for a disk or a network. Where the files are
  in memory already, Python's lock makes several slower than one.
  """
  if files.is_remote(listing.root):
    return _WAITING_THREADS
  start, busy_start = time.perf_counter(), time.thread_time()
  for i in range(0, len(listing.files), len(listing.files) // 200 + 1):
    _read_header(listing.path(i))
  busy = time.thread_time() - busy_start
  waits = busy < 0.5 * (time.perf_counter() - start)
  return _WAITING_THREADS if waits else 1


def _split_folder(directory: epath.Path, split: str) -> epath.Path:
  """Returns the folder that holds a split's images or class folders."""
  if not directory.is_dir():
    raise errors.UserError(
      f'{os.fspath(directory)!r} is not a folder; set --config.dataset.name='
      'folder:DIR'
    )
  if (directory / split).is_dir():
    return directory / split
  splits = [s for s in _SPLIT_NAMES if (directory / s).is_dir()]
  if split == 'train' and not splits:
    return directory
  found = ', '.join(splits) or "no split folders, so that all is split 'train'"
  raise errors.UserError(
    f'{os.fspath(directory)!r} has no split folder {split!r}; it has {found}; '
    'set --config.dataset.split'
  )


def _images_below(root: epath.Path, name: str) -> tuple[list[str], int]:
  """Returns a class's images, sorted, relative to `root`; and other files."""
  found, num_other, folders = [], 0, [name]
  while folders:
    here = folders.pop()
    inner, images, others = _entries(root / here, follow_links=False)
    folders += [f'{here}/{n}' for n in inner]
    found += [f'{here}/{n}' for n in images]
    num_other += others
  return sorted(found), num_other


def _entries(
  folder: epath.Path, *, follow_links: bool
) -> tuple[list[str], list[str], int]:
  """Returns a folder's (folders, images, number of other files), sorted."""
  folders, images, num_other = [], [], 0
  for name, is_folder in _scan(folder, follow_links):
    if name.startswith('.') or name == '__MACOSX':
      continue
    if name.lower().endswith(SUFFIXES) and not is_folder():
      images.append(name)
    elif is_folder():
      folders.append(name)
    else:
      num_other += 1
  return sorted(folders), sorted(images), num_other


def _scan(
  folder: epath.Path, follow_links: bool
) -> Iterator[tuple[str, Callable[[], bool]]]:
  """Yields (name, whether it is a folder) of what is in a folder."""
  try:
    if files.is_remote(folder):
      for path in folder.iterdir():
        yield path.name, path.is_dir
      return
    with os.scandir(folder) as entries:
      for entry in entries:
        yield (
          entry.name,
          functools.partial(entry.is_dir, follow_symlinks=follow_links),
        )
  except OSError as e:
    raise errors.UserError(
      f'cannot list {os.fspath(folder)!r}: {e.strerror or e}'
    ) from e
