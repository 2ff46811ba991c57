"""What is told of a save that has failed, and whether for want of room."""

import re

from sagan_jax import errors, files
from sagan_jax.checkpoints import orbax_manager

# In what TensorStore says, whose errors have no class.
_SIGNS = re.compile(
  'RESOURCE_EXHAUSTED|No space left on device|Disk quota exceeded'
)


def of_save(what, directory, last_step, error) -> errors.UserError:
  """What to raise when a save has failed; `DiskFull` where that was it.

  Args:
    what: was to be saved.
    directory: of the checkpoints.
    last_step: of the newest there; None if there is none.
    error: what was raised.
  """
  kind = errors.DiskFull if is_full_disk(error) else errors.UserError
  earlier = (
    'there is no earlier one'
    if last_step is None
    else f'that of step {last_step} is intact'
  )
  return kind(
    f'{what} could not be written to {directory} '
    f'({orbax_manager.in_one_line(error)}); {earlier}: free space there or mend '
    'its permissions, and run the same command again'
  )


def is_full_disk(error: BaseException) -> bool:
  """Whether an exception, or what has caused it, is of a full disk."""
  seen: set[int] = set()
  left: list[BaseException | None] = [error]
  while left:
    each = left.pop()
    if each is None or id(each) in seen:
      continue
    seen.add(id(each))
    if isinstance(each, errors.DiskFull) or _SIGNS.search(str(each)):
      return True
    if isinstance(each, OSError) and each.errno in files.FULL:
      return True
    left += [each.__cause__, each.__context__]
  return False
