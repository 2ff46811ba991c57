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


def numbers_or_shares(labels, class_names):
  """The same of names and numbers; shares of classes stay as they are.

  Args:
    labels: as in `numbers`, or float [n, num_classes], shares of the classes.
    class_names: as in `numbers`.

  Returns:
    int32 [n], or float32 [n, num_classes].

  Raises:
    UserError: as `numbers`, or if shares are of another shape or not finite.
  """
  if getattr(labels, 'ndim', 1) == 1:
    return numbers(labels, class_names)
  shares = np.asarray(labels, np.float32)
  wanted = (len(shares), len(class_names))
  if not len(shares) or shares.shape != wanted or not np.isfinite(shares).all():
    raise errors.UserError(
      f'shares of classes must be finite, [images, {len(class_names)}], not '
      f'{shares.shape}'
    )
  return shares


def chosen(texts, class_names):
  """The classes that a command line names.

  Args:
    texts: each a class, several with commas in between, or 'all'. A class is
      its name or its number; a name that holds a comma is a text of its own.
    class_names: of all classes, in the order of their labels.

  Returns:
    A list of labels, each once, in the order given.

  Raises:
    UserError: if one is no class.
  """
  found = []
  for text in texts:
    if text in class_names:
      found.append(class_names.index(text))
    elif text == 'all':
      found.extend(range(len(class_names)))
    else:
      found.extend(_chosen(part, class_names) for part in text.split(','))
  return list(dict.fromkeys(found))


def _chosen(text, class_names):
  # A name comes first: classes may be called by other numbers than theirs.
  if text not in class_names and text.isdecimal() and len(text) < 10:
    return _number(int(text), class_names)
  try:
    return _number(text, class_names)
  except errors.UserError as e:
    raise errors.UserError(
      f'--classes: {e}; a name that holds a comma needs a --classes of its own'
    ) from e


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
