"""Which entries of a directory are checkpoints, and what the others are.

A checkpoint is a directory that has its step as name and one of the parts of
one; whether it is damaged is seen when it is read. A directory is listed once,
and nothing is looked at but what has a number as name.
"""

import math
import os
import re
from typing import NamedTuple

import orbax.checkpoint as ocp
from etils import epath

from sagan_jax import errors, files

PARTS = ('meta', 'state', '_CHECKPOINT_METADATA')
COMMITTED = 'commit_success.txt'
DAMAGED = '.damaged'
STRAY = '.stray'
DELETED = '.deleted'
# What was being written when its process died, or being deleted.
_LEFTOVER = re.compile(rf'\d+(\.orbax-checkpoint-tmp.*|{re.escape(DELETED)})')
_SET_ASIDE = re.compile(rf'\d+({re.escape(DAMAGED)}|{re.escape(STRAY)})')
_STEP = re.compile('0|[1-9][0-9]{0,9}')
_ARRAYS = 'd'  # A folder of files that TensorStore reads piece by piece.
_MAX_TEXT_BYTES = 2**26  # Of all other files: descriptions in JSON.
_SHOWN = 3  # Names in a line.


class Entries(NamedTuple):
  """What is in a directory of checkpoints."""

  steps: list[int]  # Ascending.
  leftovers: list[str]  # Names of what can be deleted.
  strays: dict[str, list[str]]  # {what is wrong with them: names}.


def read(directory: epath.Path) -> Entries:
  """Lists a directory.

  Args:
    directory: local or remote; it may be missing.

  Returns:
    Its `Entries`; of a remote one only the steps.

  Raises:
    UserError: if it cannot be read.
  """
  if files.is_remote(directory):
    return Entries(_remote_steps(directory), [], {})
  steps, leftovers, strays = [], [], {}
  try:
    with os.scandir(directory) as entries:
      for entry in entries:
        if _LEFTOVER.fullmatch(entry.name):
          leftovers.append(entry.name)
        elif why := _stray(entry):
          strays.setdefault(why, []).append(entry.name)
        elif not _SET_ASIDE.fullmatch(entry.name):
          steps.append(int(entry.name))
  except (FileNotFoundError, NotADirectoryError):
    pass
  except OSError as e:
    raise errors.UserError(
      f'cannot read {directory}: {e.strerror or e}; mend its permissions'
    ) from e
  return Entries(sorted(steps), leftovers, strays)


def _remote_steps(directory):
  """Where nothing can be renamed, a file is written when all is complete."""
  if not directory.is_dir():
    return []
  named = (p for p in directory.iterdir() if _STEP.fullmatch(p.name))
  return sorted(int(p.name) for p in named if (p / COMMITTED).exists())


def _stray(entry):
  """Why an entry is no checkpoint; None if it may be one, or is set aside."""
  if not _STEP.fullmatch(entry.name):
    return None if _SET_ASIDE.fullmatch(entry.name) else 'their names are none'
  if not entry.is_dir():
    return 'they are no directories'
  if not any(os.path.exists(os.path.join(entry.path, x)) for x in PARTS):
    return 'there is nothing of a checkpoint in them'
  return 'they hold what no save writes' if _is_odd(entry.path) else None


def _is_odd(folder, most_bytes=_MAX_TEXT_BYTES):
  """Whether there is what orbax would wait for, or read without an end."""
  try:
    with os.scandir(folder) as entries:
      for entry in entries:
        if entry.is_dir():
          most = math.inf if entry.name == _ARRAYS else most_bytes
          if _is_odd(entry.path, most):
            return True
        elif entry.is_symlink() and not os.path.exists(entry.path):
          continue  # As good as missing, which is found when it is read.
        elif not entry.is_file() or entry.stat().st_size > most_bytes:
          return True
  except OSError:  # It is being deleted, or cannot be read, which is told then.
    pass
  return False


def complaints(directory: epath.Path, entries: Entries) -> list[str]:
  """Lines about what is passed over, one for each kind."""
  lines = []
  for why, names in sorted(entries.strays.items()):
    shown = ', '.join(map(repr, sorted(names)[:_SHOWN]))
    more = f' and {len(names) - _SHOWN:,} more' if len(names) > _SHOWN else ''
    lines.append(
      f'{directory}: {shown}{more} passed over as no checkpoints of a step, '
      f'because {why}'
    )
  return lines


class NameFormat(ocp.path.step.NameFormat):
  """What orbax finds in a directory: what `read` does."""

  def build_name(self, step):
    """The name of the directory of a step."""
    return str(step)

  def find_all(self, base_path):
    """Yields the metadata of all steps."""
    base_path = epath.Path(base_path)
    for step in read(base_path).steps:
      yield ocp.path.step.Metadata(step, base_path / str(step))

  def find_step(self, base_path, step):
    """The metadata of a step; raises ValueError if there is none."""
    path = epath.Path(base_path) / str(step)
    if not path.is_dir():
      raise ValueError(f'there is no {path}')
    return ocp.path.step.Metadata(step, path)
