"""Turns nested values into frozen dataclasses, and names every mistake.

A config is a frozen dataclass whose fields are leaves, annotated as
`annotations` says, or sections: dataclasses again. A leaf is called by its
path, 'section.leaf'. A default is for configs that were saved before the leaf
was added; what a person writes gives every leaf.
"""

import dataclasses
import functools
import typing
from typing import Any

from sagan_jax import errors
from sagan_jax.config import annotations

_NAMED = 5  # Missing keys that an error lists.


@dataclasses.dataclass(frozen=True)
class Leaf:
  """What is known of one key."""

  annotation: Any
  may_change: bool  # When a run is resumed.
  default: Any  # Of older configs, or dataclasses.MISSING.


@functools.cache
def leaves(kind, prefix='', may_change=False):
  """Lists the leaves of a config.

  Args:
    kind: a dataclass.
    prefix: of the keys.
    may_change: whether all of them may.

  Returns:
    {'section.leaf': Leaf}, in order.
  """
  found = {}
  for field, annotation, section in _fields(kind):
    _, marks = annotations.unpack(annotation)
    free = may_change or annotations.MAY_CHANGE in marks
    if section:
      found |= leaves(section, f'{prefix}{field.name}.', free)
    else:
      found[prefix + field.name] = Leaf(annotation, free, field.default)
  return found


def read(kind, tree, overrides=None, *, origin='', older=False):
  """Builds a config of checked leaves.

  Args:
    kind: the dataclass to build.
    tree: a ConfigDict, a dict or a config; dicts may be nested, or have keys
      such as 'section.leaf'.
    overrides: {'section.leaf': text} of a command line; they come first.
    origin: the file that the tree is from, for errors.
    older: whether leaves with a default may be missing.

  Returns:
    A `kind`.

  Raises:
    UserError: with a line for every mistake: keys that are unknown or missing,
      wrong types, and values that are not allowed.
  """
  known = leaves(kind)
  overrides = overrides or {}
  flat = {k: v for k, v in flatten(tree).items() if k not in overrides}
  place = f'{origin}: ' if origin else ''
  mistakes = [place + _unknown(key, known) for key in flat if key not in known]
  mistakes += [_unknown(key, known) for key in overrides if key not in known]
  defaults = {
    key: leaf.default
    for key, leaf in known.items()
    if older and leaf.default is not dataclasses.MISSING
  }
  given = {**flat, **overrides}
  missing = [key for key in known if key not in defaults | given]
  if missing:
    mistakes.append(place + _missing(missing))
  values = {}
  for key, leaf in known.items():
    if key in overrides:
      value = annotations.parse(leaf.annotation, overrides[key])
    elif key in flat or key in defaults:
      value = flat[key] if key in flat else defaults[key]
    else:
      continue
    values[key] = annotations.fit(leaf.annotation, value)
    if values[key] is annotations.UNFIT:
      where = '' if key in overrides else place
      mistakes.append(where + _unfit(key, leaf.annotation, value))
  if mistakes:
    raise errors.UserError('\n'.join(mistakes))
  return _build(kind, values)


def flatten(tree, prefix=''):
  """Returns {'section.leaf': value} of a ConfigDict, dict or config."""
  if dataclasses.is_dataclass(tree):
    tree = vars(tree)
  flat = {}
  for key, value in tree.items():
    # An empty section stays, to be refused.
    if dataclasses.is_dataclass(value) or (
      hasattr(value, 'items') and len(value)
    ):
      flat |= flatten(value, f'{prefix}{key}.')
    else:
      flat[f'{prefix}{key}'] = value
  return flat


def replace(config, changes=None, /, **leaves_by_name):
  """Returns a copy with other leaves, checked again.

  Args:
    config: of a dataclass that `read` builds.
    changes: {'section.leaf': value}.
    **leaves_by_name: the same, as section__leaf=value.

  Raises:
    UserError: as `read`.
  """
  named = {k.replace('__', '.'): v for k, v in leaves_by_name.items()}
  return read(type(config), flatten(config) | (changes or {}) | named)


def differences(old, new):
  """Lists 'key: old -> new' of the leaves that may not change in a run.

  Args:
    old: a config.
    new: another of the same type.

  Returns:
    {key: text}.
  """
  before, after = flatten(old), flatten(new)
  return {
    key: f'{key}: {before[key]!r} -> {after[key]!r}'
    for key, leaf in leaves(type(old)).items()
    if not leaf.may_change and before[key] != after[key]
  }


def _fields(kind):
  """Yields (field, annotation, its dataclass if it is a section)."""
  hints = typing.get_type_hints(kind, include_extras=True)
  for field in dataclasses.fields(kind):
    inner, _ = annotations.unpack(hints[field.name])
    section = inner if dataclasses.is_dataclass(inner) else None
    yield field, hints[field.name], section


def _build(kind, values, prefix=''):
  arguments = {}
  for field, _, section in _fields(kind):
    key = prefix + field.name
    arguments[field.name] = (
      _build(section, values, f'{key}.') if section else values[key]
    )
  return kind(**arguments)


def _unknown(key, known):
  inside = [k for k in known if k.startswith(f'{key}.')]
  if inside:
    return f'config key {key!r} is a section; set --config.{inside[0]} etc.'
  hint = annotations.nearest(key, known)
  return f'unknown config key {key!r}{hint or "; remove it"}'


def _missing(keys):
  named = ', '.join(repr(key) for key in keys[:_NAMED])
  more = f' and {len(keys) - _NAMED} more' if len(keys) > _NAMED else ''
  many = 's' if len(keys) > 1 else ''
  return (
    f'missing config key{many} {named}{more}, which every run needs; '
    f'set --config.{keys[0]}{" etc." if many else ""}'
  )


def _unfit(key, annotation, value):
  return (
    f'{key}={value!r} must be {annotations.describe(annotation)}'
    f'{annotations.hint(annotation, value)}; set --config.{key}'
  )
