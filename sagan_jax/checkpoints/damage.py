"""Checkpoints that are not as they were saved, or cannot be read now."""

import re

from sagan_jax import errors
from sagan_jax.checkpoints import orbax_manager


class Damaged(errors.UserError):
  """A checkpoint is incomplete, or not what was saved.

  Args:
    path: of the checkpoint.
    what: is wrong with it.
  """

  def __init__(self, path, what):
    super().__init__(
      f'the checkpoint {path} is damaged ({what}); restore its files from a '
      'copy, or move it away to go on from the one before it, or to begin anew '
      'if there is none'
    )


def refusal(path, error):
  """What to raise when reading a checkpoint has raised something.

  Args:
    path: of the checkpoint.
    error: an exception.

  Returns:
    `Damaged`, or another `UserError` where the files may be as they were.
  """
  line = orbax_manager.in_one_line(error)
  if _is_passing(error.__cause__ or error):
    return errors.UserError(
      f'the checkpoint {path} cannot be read ({line}); run the same command '
      'again when it can'
    )
  return Damaged(path, line)


def _is_passing(error):
  """Whether something may be readable at another time, or by somebody else."""
  if isinstance(error, (PermissionError, TimeoutError, ConnectionError)):
    return True
  return bool(
    re.search(
      'PERMISSION_DENIED|UNAUTHENTICATED|UNAVAILABLE|DEADLINE_EXCEEDED',
      str(error),
    )
  )
