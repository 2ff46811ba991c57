"""Paths, local or remote, and files that are there whole or not at all."""

import contextlib
import errno
import fnmatch
import importlib.util
import io
import itertools
import json
import os
import re
import secrets
import stat
from typing import cast

from etils import epath

from sagan_jax import errors

# Parsed, JSON may take thirty times its bytes; the names of 300,000 classes fit.
MAX_JSON_BYTES = 2**24
FULL = (errno.ENOSPC, errno.EDQUOT)  # A disk, or a share of it.
_DEEPEST = 50  # Levels; what is written here has a dozen at most.
# {scheme of a URL: the package that knows it, where TensorFlow is not}.
PACKAGES = {
  'gs': 'gcsfs',
  's3': 's3fs',
  'az': 'adlfs',
  'hf': 'huggingface_hub',
}


def as_path(name):
  """Turns what a person wrote into a path.

  Args:
    name: a local path, which may begin with `~`, or a URL such as `gs://b/r`.

  Returns:
    An `epath.Path`; a local one is absolute.

  Raises:
    UserError: if it can be no path, or a URL needs a package that is missing.
  """
  _refuse_what_is_no_path(os.fspath(name))
  path = epath.Path(name).expanduser()
  return path if is_remote(path) else epath.Path(os.path.abspath(path))


def _refuse_what_is_no_path(text):
  if not text or '\0' in text:
    raise errors.UserError(
      f'{text!r} is no path; give that of a file or folder'
    )
  scheme, slashes = re.match('(?:([a-z][a-z0-9+.-]+):(/+))?', text).groups()
  if scheme in PACKAGES:
    if slashes != '//':
      raise errors.UserError(
        f'{text!r} is no path; did you mean {scheme}://BUCKET/NAME?'
      )
    packages = ('tensorflow', PACKAGES[scheme])
    if not any(importlib.util.find_spec(name) for name in packages):
      raise errors.UserError(
        f'{text} needs a package for {scheme}://: pip install {packages[1]}'
      )
  elif slashes and slashes.startswith(
    '//'
  ):  # Else it would become a folder called SCHEME:.
    raise errors.UserError(
      f'{text!r} is no path; URLs may begin with '
      f'{", ".join(f"{known}://" for known in PACKAGES)}'
    )


def is_remote(path):
  """Whether a path is a URL: no renames, no appending, no memory maps."""
  return '://' in os.fspath(path)


def matching(directory, pattern):
  """The entries of a directory whose names match a pattern, in order.

  Unlike `epath.Path.glob`, it takes the name of the directory as it is.

  Args:
    directory: an `epath.Path`.
    pattern: of a name, with `*` and `?`.

  Returns:
    Paths; none if there is no such directory.
  """
  if not directory.is_dir():
    return []
  found = directory.iterdir()
  return sorted(p for p in found if fnmatch.fnmatchcase(p.name, pattern))


def write(path, content):
  """Writes a file whole, or leaves what was there before.

  A reader sees the old file or the new one, whenever the process or the machine
  dies. The permissions are those of the user's umask.

  Args:
    path: where to; its directory exists.
    content: str or bytes.

  Raises:
    UserError: if it cannot be written, with the reason.
  """
  if isinstance(content, str):  # Names of files may be no text.
    content = content.encode(errors='backslashreplace')
  path = epath.Path(path)
  with writing(path):
    if is_remote(path):  # An object appears when it is complete.
      path.write_bytes(content)
      return
    with replacing(path) as file:
      file.write(content)


@contextlib.contextmanager
def replacing(path):
  """Opens a local file for writing that takes its name when it is complete.

  Args:
    path: where to; its directory exists.

  Yields:
    A binary file. If the block raises, nothing of it stays.
  """
  # A name that nobody can have prepared, and no link is followed.
  part = os.path.join(
    os.path.dirname(path),
    f'.{os.path.basename(path)}.{secrets.token_hex(8)}.part',
  )
  flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
  try:
    with open(os.open(part, flags, 0o666), 'wb') as file:
      yield file
      file.flush()
      os.fsync(file.fileno())
    os.replace(part, path)
  except BaseException:
    with contextlib.suppress(FileNotFoundError):
      os.unlink(part)
    raise


@contextlib.contextmanager
def writing(path):
  """Turns what a disk refuses into a `UserError` that names the path."""
  try:
    yield
  except OSError as e:
    kind = errors.DiskFull if e.errno in FULL else errors.UserError
    raise kind(
      f'cannot write {os.fspath(path)}: {e.strerror or e}; free space there, '
      'mend its permissions, or choose another directory'
    ) from e


def open_file(path, buffering=-1) -> io.BufferedReader:
  """Opens a file for reading that is one: no pipe, device or folder.

  Those may never end, or never answer.

  Args:
    path: of a file, local or a URL, or of a link to one.
    buffering: as of `open`.

  Returns:
    A binary file.

  Raises:
    OSError: if it cannot be opened, or is something else.
  """
  if is_remote(path):
    return cast(io.BufferedReader, epath.Path(path).open('rb'))
  # Else the opening of a pipe waits for somebody who writes.
  descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
  try:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
      return cast(
        io.BufferedReader, open(descriptor, 'rb', buffering=buffering)
      )
    if stat.S_ISDIR(mode):
      raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    raise OSError(errno.EINVAL, 'it is no file, but a pipe or a device')
  except BaseException:
    os.close(descriptor)
    raise


def open_to_append(path):
  """Opens a local file for appending, without a buffer; made if need be.

  Args:
    path: of a file; of no link, which could lead to any file.

  Returns:
    A binary file.

  Raises:
    OSError: if it cannot be opened, or is something else.
  """
  flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
  check_own(path)
  return open(os.open(path, flags | os.O_NOFOLLOW, 0o666), 'ab', buffering=0)


def check_own(path):
  """Raises OSError where there is something else than a file at a path."""
  with contextlib.suppress(FileNotFoundError):
    if not stat.S_ISREG(os.lstat(path).st_mode):
      raise OSError(errno.EINVAL, 'it is no file, but a link or something else')


def read(path, most_bytes):
  """Reads a file that anybody may have written.

  Args:
    path: of a file, local or a URL.
    most_bytes: that it may have; looked at before anything is read.

  Returns:
    Its content, bytes.

  Raises:
    UserError: if it cannot be read, is no file, or has more bytes.
  """
  path = epath.Path(path)
  try:
    with open_file(path) as file:
      size = file.seek(0, os.SEEK_END)
      file.seek(0)
      if size <= most_bytes:
        return file.read(size)  # No more, if it grows meanwhile.
  except OSError as e:
    raise errors.UserError(
      f'cannot read {os.fspath(path)}: {e.strerror or e}; mend its '
      'permissions, or restore it from a copy'
    ) from e
  raise errors.UserError(
    f'{os.fspath(path)} is damaged: it has {size:,} bytes, {most_bytes:,} are '
    'the most for what is written here; restore it from a copy'
  )


def lines(file, most_bytes=2**20):
  """Yields the lines of a binary file up to one longer than any, then b'\\n'."""
  while line := file.readline(most_bytes):
    if len(line) == most_bytes and not line.endswith(b'\n'):
      yield b'\n'
      return
    yield line


def read_json(path):
  """Reads a JSON file.

  Args:
    path: of a file, local or a URL.

  Returns:
    What it holds.

  Raises:
    UserError: if it cannot be read, has more than `MAX_JSON_BYTES` or is not
      JSON.
  """
  content = read(path, MAX_JSON_BYTES)
  try:
    return parse_json(content)
  except ValueError as e:
    raise errors.UserError(
      f'{os.fspath(path)} is damaged: it is not JSON ({e}); restore it from a '
      'copy, or delete what it describes and make that again'
    ) from e


def parse_json(content):
  """What JSON in UTF-8, as bytes, holds.

  Raises:
    ValueError: if it is no JSON, or nested too deeply.
  """
  try:
    found = json.loads(content.decode())
  except RecursionError as e:
    raise ValueError('it is nested too deeply') from e
  level = [found]
  for _ in range(_DEEPEST):
    held = [x for x in level if isinstance(x, (dict, list))]
    inner = (x.values() if isinstance(x, dict) else x for x in held)
    level = list(itertools.chain.from_iterable(inner))
  if level:
    raise ValueError('it is nested too deeply')
  return found
