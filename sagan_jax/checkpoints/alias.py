"""A name that orbax can take for a directory with any name.

It merges the files of a checkpoint by a pattern, into which the names of all
folders above go as they are: `lr[1e-4]` then finds nothing, and `a*` the files
of others too. TensorStore reads a backslash as a slash, and neither takes bytes
that are no UTF-8. Such a directory is given to them through a link.
"""

import atexit
import os
import re
import shutil
import tempfile

from etils import epath

from sagan_jax import errors, files

_SPECIAL = re.compile(r'[\[*?\\\udc80-\udcff]')
_links: dict[str, epath.Path] = {}  # {folder: the link to it}.


def of(directory):
  """A path by which orbax can be asked for a directory.

  Args:
    directory: an `epath.Path`, whose parent exists; URLs stay as they are.

  Returns:
    It, or where its name says something else to orbax, a path through a link
    that is there as long as this process.

  Raises:
    UserError: if no link can be made.
  """
  if files.is_remote(directory) or not _SPECIAL.search(os.fspath(directory)):
    return directory
  folder = os.fspath(directory.parent)
  if folder not in _links:
    _links[folder] = _link_to(folder)
  return _links[folder] / directory.name


def undone(text):
  """A text in which directories have their own names again."""
  for folder, link in _links.items():
    text = text.replace(os.fspath(link), folder)
  return text


def _link_to(folder):
  temporary = tempfile.gettempdir()
  if _SPECIAL.search(temporary):
    raise errors.UserError(
      f'checkpoints in {folder} are written through a link, which cannot lie '
      f'in {temporary}; set TMPDIR to a directory without [, *, ? and \\'
    )
  with files.writing(temporary):
    home = tempfile.mkdtemp(prefix='sagan_jax_')
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    link = os.path.join(home, 'run')
    os.symlink(folder, link, target_is_directory=True)
  return epath.Path(link)
