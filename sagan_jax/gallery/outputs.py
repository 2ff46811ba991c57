"""Pictures and tables in a directory that may hold other files."""

import csv
import io
import re
from collections.abc import Iterable, Sequence

import numpy as np

from sagan_jax import errors, files
from sagan_jax.pictures import grids

# Inside every picture, by which the next command knows it.
MARK = 'sagan_jax.sample'
_HEAD_BYTES = 4096  # The mark is in these, behind the palette of a GIF.
_NAME = 40  # Characters of a class's name in the name of a file.


class Output:
  """A directory to write to; no file that others made is ever replaced.

  Args:
    directory: a path or URL; made if need be.
  """

  def __init__(self, directory: str):
    self.directory = files.as_path(directory)
    self.written: list[str] = []

  def claim(self, names: Iterable[str], others: str | None = None) -> None:
    """Makes the directory and looks whether files can be written there.

    Args:
      names: of the files.
      others: pattern of names of further files of the kind, which would be
        taken for some of these.

    Raises:
      UserError: if a file is there that is not of this command, or one that
        would be taken for another's.
    """
    with files.writing(self.directory):
      self.directory.mkdir(parents=True, exist_ok=True)
      # A bucket has no empty directories.
      found = self.directory.iterdir() if self.directory.is_dir() else ()
      there = {path.name for path in found}
    names = set(names)
    for name in sorted(names & there):
      if not self._is_own(name):
        raise errors.UserError(
          f'{self.directory / name} was not written by this command and is not '
          'replaced; move it away, or choose another --output'
        )
    stale = [x for x in there - names if others and re.fullmatch(others, x)]
    if stale:
      raise errors.UserError(
        f'{self.directory} holds {len(stale):,} images of other samples, such '
        f'as {min(stale)}, that would be taken for some of these; delete them, '
        'or choose another --output'
      )

  def png(self, name: str, image: np.ndarray) -> None:
    """Writes uint8 [H, W, 3]."""
    grids.save_png(self.directory / name, image, MARK)
    self.written.append(name)

  def gif(self, name: str, content: bytes) -> None:
    """Writes an animation, which bears the mark."""
    files.write(self.directory / name, content)
    self.written.append(name)

  def table(
    self, name: str, columns: Sequence[str], rows: Iterable[Sequence]
  ) -> None:
    """Writes rows as CSV, in UTF-8; what that cannot hold is escaped."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    writer.writerow(columns)
    writer.writerows(rows)
    content = text.getvalue().encode('utf-8', 'backslashreplace')
    files.write(self.directory / name, content)
    self.written.append(name)

  def _is_own(self, name):
    path = self.directory / name
    try:
      with files.open_file(path) as file:
        head = file.read(_HEAD_BYTES)
    except OSError:  # No file, or none that may be read.
      return False
    return MARK.encode() in head or head.startswith(b'file,label,class,')


def slug(name: str) -> str:
  """The letters and digits of ASCII in a name, for use in that of a file."""
  return re.sub('[^A-Za-z0-9]+', '_', name).strip('_')[:_NAME] or 'class'
