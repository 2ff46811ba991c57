"""Paths, local or remote, and files that are there whole or not at all."""

import contextlib
import fnmatch
import importlib.util
import json
import os
import re
import secrets

from etils import epath

from sagan_jax import errors

_MAX_JSON_BYTES = 2**28  # The names of all files of a large data set fit.
# {scheme of a URL: the package that reads and writes it, where TensorFlow is
# not}.
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
  if isinstance(content, str):
    content = content.encode()
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
    raise errors.UserError(
      f'cannot write {os.fspath(path)}: {e.strerror or e}; free space there, '
      'mend its permissions, or choose another directory'
    ) from e


def read_json(path):
  """Reads a JSON file.

  Args:
    path: of a file.

  Returns:
    What it holds.

  Raises:
    UserError: if it cannot be read or is not JSON.
  """
  path = epath.Path(path)
  try:
    if (size := path.stat().length) > _MAX_JSON_BYTES:
      raise errors.UserError(
        f'{os.fspath(path)} is damaged: it has {size:,} bytes, more than any '
        'that is written here; restore it from a copy'
      )
    return json.loads(path.read_text())
  except errors.UserError:
    raise
  except OSError as e:
    raise errors.UserError(
      f'cannot read {os.fspath(path)}: {e.strerror or e}; mend its '
      'permissions, or restore it from a copy'
    ) from e
  except (ValueError, RecursionError) as e:  # Also of bytes that are no text.
    raise errors.UserError(
      f'{os.fspath(path)} is damaged: it is not JSON ({e}); restore it from a '
      'copy, or delete what it describes and make that again'
    ) from e
