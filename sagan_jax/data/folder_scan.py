"""A look at every file in a folder of images, in threads."""

import concurrent.futures
import dataclasses
import hashlib
import io
import os
import time
from collections.abc import Callable
from typing import IO, TypeVar

import numpy as np
from etils import epath

from sagan_jax import errors, files, progress
from sagan_jax.data import folder_listing, image_file

# The header is nearly always in it. It is part of the fingerprint.
_HEAD_BYTES = 4096
_CHUNK_FILES = 256
_WAITING_THREADS = 32
_MAX_LISTED = 20

_Result = TypeVar('_Result')


@dataclasses.dataclass(frozen=True)
class Headers:
  """What the beginnings of all files say."""

  sizes: list[int]  # [N], bytes.
  digests: list[bytes]  # [N], BLAKE2 of the first 4 KB.
  sides: np.ndarray  # int64 [N], the smaller of height and width, pixels.


def read_headers(listing: folder_listing.Listing) -> Headers:
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
  listing: folder_listing.Listing,
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


def refuse_unreadable(
  listing: folder_listing.Listing, reasons: list[str | None]
) -> None:
  """Raises a `UserError` that lists the files that have a reason."""
  bad = [i for i, reason in enumerate(reasons) if reason is not None]
  if bad:
    raise errors.UserError(
      f'{len(bad):,} of {len(reasons):,} files in {listing.root} cannot be read '
      'as images; repair or remove them:\n' + _lines(listing, reasons, bad)
    )


def leave_out(
  listing: folder_listing.Listing, reasons: list[str | None], most: int
) -> folder_listing.Listing:
  """Returns a listing without the files that have a reason, which are told.

  Args:
    listing: of the files.
    reasons: why each cannot be read; None if it can.
    most: how many may be left out.

  Raises:
    UserError: if there are more, with their list, or none of a class is left.
  """
  bad = [i for i, reason in enumerate(reasons) if reason is not None]
  if len(bad) > most:
    refuse_unreadable(listing, reasons)
  if not bad:
    return listing
  progress.say(
    f'{listing.name}: left out {len(bad):,} files that cannot be read as '
    f'images (max_bad_images={most}):\n' + _lines(listing, reasons, bad)
  )
  kept = np.flatnonzero([reason is None for reason in reasons])
  labels = listing.labels[kept]
  counts = np.bincount(labels, minlength=len(listing.class_names))
  if not counts.all():
    empty = listing.class_names[int(counts.argmin())]
    raise errors.UserError(
      f'no image of the class {empty!r} in {listing.root} can be read; repair '
      'or remove it'
    )
  return dataclasses.replace(
    listing, files=[listing.files[i] for i in kept], labels=labels
  )


def _lines(listing, reasons, bad):
  lines = [f'  {listing.files[i]}: {reasons[i]}' for i in bad[:_MAX_LISTED]]
  if len(bad) > _MAX_LISTED:
    lines.append(f'  and {len(bad) - _MAX_LISTED:,} more')
  return '\n'.join(lines)


def class_digests(listing: folder_listing.Listing, headers: Headers) -> dict:
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
      with files.open_file(path) as file:
        digest, side = _read_beginning(file)
    else:
      with files.open_file(path, buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        digest, side = _read_beginning(file)
  except image_file.UnreadableError as e:
    return 0, b'', 0, str(e)
  except OSError as e:
    return 0, b'', 0, e.strerror or str(e)
  return size, digest, side, None


def _read_beginning(file: IO[bytes]) -> tuple[bytes, int]:
  """Returns (digest of the first 4 KB, the smaller of height and width)."""
  head = file.read(_HEAD_BYTES)
  try:
    size = image_file.read_size(io.BytesIO(head))
  except image_file.UnreadableError:
    file.seek(0)  # A header may be longer: camera settings, colour profiles.
    size = image_file.read_size(file)
  return hashlib.blake2b(head, digest_size=16).digest(), min(size)


def _num_threads(listing: folder_listing.Listing) -> int:
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
