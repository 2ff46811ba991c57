"""Which checkpoints stay, and how the others go: never by halves."""

import os
from collections.abc import Callable

from etils import epath

from sagan_jax import errors, files
from sagan_jax.checkpoints import listing


def old(
  steps: list[int], keep_last: int, keep_every_steps: int | None
) -> list[int]:
  """The steps that go.

  Args:
    steps: of all checkpoints, ascending.
    keep_last: how many of the last stay, >= 1.
    keep_every_steps: its multiples stay too; None for none.
  """
  return [
    step
    for step in steps[:-keep_last]
    if keep_every_steps is None or step % keep_every_steps
  ]


def delete(directory: epath.Path, step: int) -> None:
  """Deletes a checkpoint; one that is half deleted is none any more.

  Raises:
    UserError: if it cannot be deleted.
  """
  path = directory / str(step)
  with files.writing(path):
    if files.is_remote(path):
      (path / listing.COMMITTED).unlink(missing_ok=True)
    else:
      path = move(path, listing.DELETED)
    if os.path.islink(path):  # To a checkpoint that is kept elsewhere.
      path.unlink()
    else:
      path.rmtree()


def delete_leftovers(directory: epath.Path, names: list[str]) -> None:
  """Deletes what a process has left that died.

  Raises:
    UserError: if it cannot be deleted.
  """
  for name in names:
    path = directory / name
    with files.writing(path):
      path.rmtree() if path.is_dir() else path.unlink()


def move(path: epath.Path, suffix: str) -> epath.Path:
  """Renames an entry, in place of what has that name; returns the new path.

  Raises:
    UserError: if it cannot be renamed.
  """
  target = path.parent / f'{path.name}{suffix}'
  with files.writing(target):
    if target.is_dir() and not os.path.islink(target):
      target.rmtree()
    elif os.path.lexists(target):
      target.unlink()
    path.rename(target)
  return target


def delete_old(
  directory: epath.Path,
  keep_last: int,
  keep_every_steps: int | None,
  say: Callable[[str], None],
  undeleted: set[int],
) -> None:
  """Deletes the checkpoints that need not stay; a failure is told, once.

  Args:
    directory: of the checkpoints.
    keep_last: as of `old`.
    keep_every_steps: as of `old`.
    say: called with a line.
    undeleted: steps of which it was told; gets further ones.
  """
  try:
    steps = listing.read(directory).steps
  except errors.UserError as e:
    say(f'old checkpoints stay: {e}')
    return
  for step in old(steps, keep_last, keep_every_steps):
    try:
      delete(directory, step)
    except errors.UserError as e:
      if step not in undeleted:
        say(f'the old checkpoint of step {step} stays: {e}')
      undeleted.add(step)
