"""Compiled programs, kept from one start of a command to the next.

JAX does the work; here is where it keeps them. A program is machine code, so
whoever can write to the directory can run code as the user: it must be private.
"""

import hashlib
import importlib.metadata
import os
import pathlib
import platform
import stat
import sys

from sagan_jax import errors, files

OFF = 'off'
_VARIABLE = 'JAX_COMPILATION_CACHE_DIR'
# A start waits for dozens of small programs too; JAX keeps those of 1 s.
_MIN_SECS = ('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.1')


def use(where: str | None) -> None:
  """Makes this process and its children keep what they compile.

  To be called before jax is imported. What the user has set by JAX's own
  variable stays as it is.

  Args:
    where: a directory or URL; `OFF` for none; None for the user's own cache,
      which is done without where it cannot be made.

  Raises:
    UserError: if the directory cannot be made, or others can write to it.
  """
  if where == OFF or (where is None and _VARIABLE in os.environ):
    if where == OFF:
      os.environ.pop(_VARIABLE, None)
    return
  directory = private_directory(
    where, 'programs', version(), flag='--compilation_cache'
  )
  if directory is not None:
    os.environ[_VARIABLE] = os.fspath(directory)
    os.environ.setdefault(*_MIN_SECS)


def keep_in_all_processes() -> None:
  """Lets this process, not only process 0, keep what it compiles.

  JAX leaves it to process 0, for the others to read. But hosts may have disks
  of their own, and on CPU every process has other keys: all but process 0 would
  compile at every start. In a bucket, it stays with process 0.

  To be called when jax has joined the processes. jax has no public name for it.
  """
  from jax._src import compiler, distributed

  where = os.environ.get(_VARIABLE)
  if where is None or files.is_remote(where):
    return
  write, state = compiler._cache_write, distributed.global_state

  def write_as_the_first(*arguments, **options):
    index, state.process_id = state.process_id, 0
    try:
      write(*arguments, **options)
    finally:
      state.process_id = index

  compiler._cache_write = write_as_the_first


def private_directory(where: str | None, kind: str, name: str, *, flag: str):
  """Makes a directory that only this user can write to.

  Args:
    where: a directory or URL; None for the user's own cache.
    kind: of what is kept, a directory of the user's cache.
    name: of the directory below.
    flag: that gives `where`, for errors.

  Returns:
    Its path; None where the user's own cache cannot be made.

  Raises:
    UserError: if `where` cannot be made, or others can write to either.
  """
  default = files.as_path(
    os.environ.get('SAGAN_JAX_CACHE', '~/.cache/sagan_jax')
  )
  root = default / kind if where is None else files.as_path(where)
  directory = root / name
  if not files.is_remote(root):
    try:
      with files.writing(root):
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_private(root, kind, flag)
        directory.mkdir(mode=0o700, exist_ok=True)
        _check_private(directory, kind, flag)
    except errors.UserError as e:
      if where is not None or not isinstance(e.__cause__, OSError):
        raise
      print(f'{kind} are not kept: {e}', file=sys.stderr)
      return None
  return directory


def version() -> str:
  """What programs depend on besides what JAX's own key holds.

  JAX does not ask for which processor a program was made; a home directory may
  be shared by several kinds.
  """
  packages = '-'.join(importlib.metadata.version(x) for x in ('jax', 'jaxlib'))
  return f'{packages}-{platform.machine()}-{_processor()}'


def _processor():
  """A few digits of what this processor can do."""
  try:
    text = pathlib.Path('/proc/cpuinfo').read_text()
  except OSError:  # Not on Linux.
    text = platform.processor()
  lines = {
    line
    for line in text.splitlines()
    if line.split('\t')[0] in ('flags', 'Features', 'model name')
  }
  return hashlib.sha256(
    '\n'.join(sorted(lines or {text})).encode()
  ).hexdigest()[:8]


def _check_private(directory, kind, flag):
  status = os.stat(directory)
  others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
  if status.st_uid != os.geteuid() or others:
    raise errors.UserError(
      f'{kind} are not kept in {os.fspath(directory)}: others can write to it, '
      'and so choose what you run; chmod go-w it (it must be yours), or set '
      f'{flag} to another directory, or to {OFF}'
    )
