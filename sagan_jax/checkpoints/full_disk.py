"""Whether a save has failed for want of room."""

import re

from sagan_jax import errors, files

# In what TensorStore says, whose errors have no class.
_SIGNS = re.compile(
  'RESOURCE_EXHAUSTED|No space left on device|Disk quota exceeded'
)


def is_cause(error: BaseException) -> bool:
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
