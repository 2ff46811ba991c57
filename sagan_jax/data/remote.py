"""Local copies of remote files, which cannot be memory-mapped."""

import contextlib
import hashlib
import os
import shutil
import time

from etils import epath

from sagan_jax import errors, files
from sagan_jax.data import checksums

# Room to leave on the disk for others.
_SPARE_BYTES = 64 << 20
_ABANDONED_SECS = 3600.0


def local_copy(path: epath.Path, sha256: str) -> epath.Path:
  """Copies a remote file into the user's cache, once.

  Args:
    path: a file, e.g. gs://bucket/data/images.npy.
    sha256: what its SHA-256 must be, 64 hexadecimal digits.

  Returns:
    The copy in `checksums.cache_dir()`, whose checksum has been compared.

  Raises:
    UserError: if the file is another than the checksum says, or the disk has
      no room for it.
  """
  folder = checksums.cache_dir() / 'arrays'
  target = folder / f'{sha256[:32]}-{path.name}'
  if target.exists() and checksums.of_unchanged(target) == sha256:
    return target
  with files.writing(target):
    folder.mkdir(parents=True, exist_ok=True)
    _remove_parts(target)
  size = path.stat().length
  free = shutil.disk_usage(folder).free
  if free < size + _SPARE_BYTES:
    raise errors.UserError(
      f'{path} needs {size:,} bytes in {folder}, its disk has {free:,} free; '
      'set SAGAN_JAX_CACHE to a folder of another disk'
    )
  digest = hashlib.sha256()
  with files.writing(target), files.replacing(target) as copy:
    for block in checksums.blocks(path, what='copying'):
      digest.update(block)
      copy.write(block)
    if digest.hexdigest() != sha256:
      raise errors.UserError(
        f'{path} has changed since it was prepared: its SHA-256 is '
        f'{digest.hexdigest()}, not {sha256}; copy it there again, or prepare '
        'it again'
      )
  checksums.remember(target, sha256)
  return target


def _remove_parts(target: epath.Path) -> None:
  """Removes what processes left that died while they copied."""
  for part in files.matching(target.parent, f'.{target.name}.*.part'):
    with contextlib.suppress(FileNotFoundError):  # Another process was faster.
      if time.time() - os.stat(part).st_mtime > _ABANDONED_SECS:
        part.unlink()
