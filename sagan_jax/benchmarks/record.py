"""The figures of a matrix on disk: a line is added when a cell is done."""

import json
import os

from sagan_jax import errors, files


class Record:
  """Figures by cell, in a local file that outlives the process.

  Args:
    path: of the file. Its first line says what was measured on what.
    setting: dict for JSON of everything that figures depend on, except cells.

  Raises:
    UserError: if the file is of another setting, damaged, or cannot be read or
      written.
  """

  def __init__(self, path, setting):
    self._path = path
    self._lines = [setting]
    if path.exists():
      self._lines = _read(path)
      _refuse_another(path, self._lines[0], setting)
    # Without the half of a line that a killed process may have left.
    files.write(path, ''.join(map(_line, self._lines)))

  @property
  def rows(self):
    """[{'cell': dict, ...}] in the order in which they were measured."""
    return self._lines[1:]

  def get(self, cell):
    """The row of a cell; None if it was not measured."""
    return next((r for r in self.rows if r['cell'] == cell), None)

  def add(self, row):
    """Adds the row of a cell.

    Args:
      row: dict for JSON with a key 'cell'.

    Raises:
      UserError: if it cannot be written.
    """
    with files.writing(self._path), files.open_to_append(self._path) as file:
      file.write(_line(row).encode())
      os.fsync(file.fileno())
    self._lines.append(row)


def _line(value):
  return json.dumps(value) + '\n'


def _read(path):
  content = files.read(path, files.MAX_JSON_BYTES)
  *lines, _ = content.split(b'\n')  # What follows the last is torn.
  try:
    first, *rows = [files.parse_json(line) for line in lines] or [None]
    if not all(isinstance(r, dict) and 'cell' in r for r in rows):
      raise ValueError('it holds what are no figures of a cell')
    return [first, *rows]
  except ValueError as e:
    raise errors.UserError(
      f'{path} is damaged ({e}); delete it, or set --output to another directory'
    ) from e


def _refuse_another(path, found, wanted):
  if not isinstance(found, dict):
    found = {}
  differ = [
    f'{key}: {found.get(key)!r} there, {wanted.get(key)!r} now'
    for key in sorted({*found, *wanted})
    if found.get(key) != wanted.get(key)
  ]
  if differ:
    raise errors.UserError(
      f'{path} has figures of something else ({"; ".join(differ)}); delete it, '
      'or set --output to another directory'
    )
