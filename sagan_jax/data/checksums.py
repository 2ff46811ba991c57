"""SHA-256 of files, remembered for as long as the files stay as they are.

A file of 63 GB takes minutes to read. What was found once is kept in
checksums.json in the user's cache, under the file's size, modification time and
inode: a file that was written to since is read again.
"""

import hashlib
import json
import os
from typing import IO

from etils import epath

from sagan_jax import files
from sagan_jax.data import progress

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
  """
  path = epath.Path(path)
  with path.open('rb') as file:
    return copy(file, None, what=f'reading {path}', total=path.stat().length)


def copy(
  source: IO[bytes], target: IO[bytes] | None, *, what: str, total: int
) -> str:
  """Copies a file and computes its checksum on the way.

  Args:
    source: to read from.
    target: to write to; None only reads.
    what: is being done, for the progress on stderr.
    total: size of the file, bytes.

  Returns:
    The SHA-256 of what was read, 64 hexadecimal digits.
  """
  digest = hashlib.sha256()
  with progress.Progress(what, total, unit='B') as shown:
    while block := source.read(_BLOCK_BYTES):
      digest.update(block)
      if target is not None:
        target.write(block)
      shown.update(len(block))
  return digest.hexdigest()


def of_unchanged(path: os.PathLike | str) -> str:
  """Returns the SHA-256 of a local file; reads it only if it has changed."""
  place, stamp = _stamp(path)
  known = _read().get(place)
  if isinstance(known, list) and known[:-1] == stamp:
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
    known = json.loads(_cache_file().read_text())
  except (OSError, ValueError):
    return {}
  return known if isinstance(known, dict) else {}


def _stamp(path: os.PathLike | str) -> tuple[str, list[int]]:
  """Returns (real path, [size, modification time in ns, inode])."""
  place = os.path.realpath(path)
  stat = os.stat(place)
  return place, [stat.st_size, stat.st_mtime_ns, stat.st_ino]
