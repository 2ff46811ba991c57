"""Classes as a person names them."""

import numpy as np

from sagan_jax import errors
from sagan_jax.config import schema


def numbers(labels, class_names):
  """Turns names and numbers of classes into labels.

  Args:
    labels: names or numbers of classes, one per image.
    class_names: of all classes, in the order of their labels.

  Returns:
    int32 [n].

  Raises:
    UserError: if one is no class, or there is none.
  """
  found = [_number(label, class_names) for label in labels]
  if not found:
    raise errors.UserError('no labels were given: one per image')
  return np.array(found, np.int32)


def _number(label, class_names):
  if isinstance(label, str):
    if label in class_names:
      return class_names.index(label)
    names = ', '.join(class_names[:20])
    hint = schema.nearest(label, class_names) or f'; there are {names}'
    raise errors.UserError(
      f'there is no class {label!r}{hint}; set labels to names or numbers of '
      'classes'
    )
  if isinstance(label, (int, np.integer)) and 0 <= label < len(class_names):
    return int(label)
  raise errors.UserError(
    f'label {label!r} must be an integer in [0, {len(class_names)}), or the '
    'name of a class'
  )
