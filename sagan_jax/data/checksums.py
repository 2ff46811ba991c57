"""SHA-256 of files, remembered for as long as the files stay as they are.

A file of 63 GB takes minutes to read. What was found once is kept in
checksums.json in the user's cache, under the file's size, modification time and
inode: a file that was written to since is read again.
"""

import hashlib
import json
import os
from collections.abc import Iterator

from etils import epath

from sagan_jax import errors, files, progress

_BLOCK_BYTES = 1 << 22
_MAX_FILES = 1000  # The oldest are forgotten.


def cache_dir() -> epath.Path:
  """Returns $SAGAN_JAX_CACHE, or ~/.cache/sagan_jax."""
  return files.as_path(os.environ.get('SAGAN_JAX_CACHE', '~/.cache/sagan_jax'))


def sha256(path: os.PathLike | str) -> str:
  """Reads a file, local or remote.

  Args:
    path: of the file.

  Returns:
    Its SHA-256, 64 hexadecimal digits.

  Raises:
    UserError: if it cannot be read.
  """
  digest = hashlib.sha256()
  for block in blocks(path, what='reading'):
    digest.update(block)
  return digest.hexdigest()


def blocks(path: os.PathLike | str, *, what: str) -> Iterator[bytes]:
  """Reads a file, local or remote, with progress on stderr.

  Args:
    path: of the file.
    what: is being done with it, for the progress.

  Yields:
    Its contents in pieces.

  Raises:
    UserError: if it cannot be read.
  """
  path = epath.Path(path)
  try:
    total = path.stat().length
    with (
      path.open('rb') as file,
      progress.Progress(f'{what} {path}', total, unit='B') as shown,
    ):
      while block := file.read(_BLOCK_BYTES):
        yield block
        shown.update(len(block))
  except OSError as e:
    raise errors.UserError(f'cannot read {path}: {e.strerror or e}') from e


def of_unchanged(path: os.PathLike | str) -> str:
  """Returns the SHA-256 of a local file; reads it only if it has changed."""
  place, stamp = _stamp(path)
  known = _read().get(place)
  # A damaged cache may hold anything.
  if (
    isinstance(known, list)
    and known[:-1] == stamp
    and isinstance(known[-1], str)
  ):
    return known[-1]
  digest = sha256(place)
  if _stamp(path) == (place, stamp):  # Nobody was writing to it.
    remember(path, digest)
  return digest


def remember(path: os.PathLike | str, digest: str) -> None:
  """Notes the SHA-256 of a local file as it is now.

  Where the cache cannot be written, a line on stderr says so: the file will be
  read again the next time.

  Args:
    path: of the file.
    digest: its SHA-256.
  """
  place, stamp = _stamp(path)
  known = _read()
  known.pop(place, None)
  known[place] = [*stamp, digest]
  kept = dict(list(known.items())[-_MAX_FILES:])
  try:
    _cache_file().parent.mkdir(parents=True, exist_ok=True)
    with files.replacing(_cache_file()) as file:
      os.fchmod(file.fileno(), 0o600)
      file.write(json.dumps(kept, indent=1).encode())
  except OSError as e:
    progress.say(
      f'the checksum of {place} cannot be kept in {_cache_file()}: {e.strerror}'
      '; the file will be read again at the next start'
    )


def _cache_file() -> epath.Path:
  return cache_dir() / 'checksums.json'


def _read() -> dict:
  """Returns what is remembered: nothing if that is missing or damaged."""
  try:
    known = files.read_json(_cache_file())
  except errors.UserError:
    return {}
  return known if isinstance(known, dict) else {}


def _stamp(path: os.PathLike | str) -> tuple[str, list[int]]:
  """Returns (real path, [size, modification time in ns, inode])."""
  place = os.path.realpath(path)
  stat = os.stat(place)
  return place, [stat.st_size, stat.st_mtime_ns, stat.st_ino]
