"""What one leaf of a config may hold, as its annotation says.

An annotation is made of `int`, `float`, `str`, `bool`, `None`, `Literal`,
unions of them and `tuple[T, ...]`; `Annotated` adds a `Range`, a `OneOf`,
`NON_EMPTY` or `MAY_CHANGE`. Numbers are finite.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Collection
from typing import Any, Literal

UNFIT = object()  # What `fit` returns for a value that is not allowed.

_UNIONS = (typing.Union, types.UnionType)
_NOUNS = {
  int: 'an integer',
  float: 'a finite number',
  str: 'a string',
  bool: 'True or False',
  type(None): 'None',
}


@dataclasses.dataclass(frozen=True)
class Range:
  """Bounds of a number; those that are None are not there."""

  at_least: float | None = None
  _: dataclasses.KW_ONLY
  above: float | None = None
  at_most: float | None = None
  below: float | None = None

  def admits(self, value):
    """Whether a number is within the bounds; NaN never is."""
    return (
      (self.at_least is None or value >= self.at_least)
      and (self.above is None or value > self.above)
      and (self.at_most is None or value <= self.at_most)
      and (self.below is None or value < self.below)
    )

  def __str__(self):
    if None not in (self.at_least, self.at_most):
      return f'from {self.at_least} to {self.at_most}'
    bounds = {
      '>=': self.at_least,
      '>': self.above,
      '<=': self.at_most,
      '<': self.below,
    }
    return ' and '.join(
      f'{sign} {bound}' for sign, bound in bounds.items() if bound is not None
    )


@dataclasses.dataclass(frozen=True, eq=False)
class OneOf:
  """The names of a registry, as it is when a value is checked."""

  names: Collection

  def admits(self, value):
    """Whether the registry has it."""
    return value in self.names


class _Mark:
  pass


NON_EMPTY = _Mark()  # Of a tuple.
MAY_CHANGE = _Mark()  # Of a leaf or a section: also when a run is resumed.


def unpack(annotation):
  """Returns (what is annotated, the marks of `Annotated`)."""
  if typing.get_origin(annotation) is typing.Annotated:
    kind, *marks = typing.get_args(annotation)
    return kind, tuple(marks)
  return annotation, ()


def fit(annotation, value):
  """Returns a value as its annotation has it.

  Args:
    annotation: see the module.
    value: anything.

  Returns:
    The value, integers as floats and lists as tuples where these are expected;
    or `UNFIT`.
  """
  kind, marks = unpack(annotation)
  origin, members = typing.get_origin(kind), typing.get_args(kind)
  if origin in _UNIONS:
    fitted = (fit(member, value) for member in members)
    return next((x for x in fitted if x is not UNFIT), UNFIT)
  if origin is Literal:
    found = any(type(value) is type(x) and value == x for x in members)
    return value if found else UNFIT
  if origin is tuple:
    if not isinstance(value, (tuple, list)) or (
      NON_EMPTY in marks and not value
    ):
      return UNFIT
    fitted = tuple(fit(members[0], x) for x in value)
    return UNFIT if any(x is UNFIT for x in fitted) else fitted
  if kind is float:
    value = _finite(value)
  elif type(value) is not kind or (NON_EMPTY in marks and not value):
    return UNFIT
  admitted = value is not UNFIT and all(
    mark.admits(value) for mark in marks if isinstance(mark, (Range, OneOf))
  )
  return value if admitted else UNFIT


def describe(annotation):
  """Says in words what `fit` accepts, to follow 'must be'."""
  kind, marks = unpack(annotation)
  origin, members = typing.get_origin(kind), typing.get_args(kind)
  if origin in _UNIONS:
    return ' or '.join(describe(member) for member in members)
  if origin is tuple:
    filled = 'non-empty ' if NON_EMPTY in marks else ''
    return f'a {filled}tuple, each {describe(members[0])}'
  names = choices(annotation)
  if names:
    text = ', '.join(repr(name) for name in names)
    return text if len(names) == 1 else f'one of {text}'
  bounds = [str(mark) for mark in marks if isinstance(mark, Range)]
  if NON_EMPTY in marks:
    return 'a non-empty string'
  return ' '.join([_NOUNS[kind], *bounds])


def choices(annotation):
  """All values that an annotation lists by name."""
  kind, marks = unpack(annotation)
  listed = [x for mark in marks if isinstance(mark, OneOf) for x in mark.names]
  if typing.get_origin(kind) is Literal:
    return [*listed, *typing.get_args(kind)]
  for member in typing.get_args(kind):
    listed += choices(member)
  return listed


def parse(annotation, text):
  """Turns what was written on a command line into a value.

  Args:
    annotation: see the module.
    text: such as '1e6', 'None', 'true', '(32, 64)', '32', "('fid', 'is')".

  Returns:
    A value for `fit`; where the text cannot mean what is expected, what it
    says, for the error that `fit` leads to.
  """
  text = text.strip()
  if text == 'None':
    return None
  kind, _ = unpack(annotation)
  origin, members = typing.get_origin(kind), typing.get_args(kind)
  if origin in _UNIONS:
    values = [parse(member, text) for member in members]
    fitting = (
      value
      for member, value in zip(members, values, strict=True)
      if fit(member, value) is not UNFIT
    )
    return next(fitting, values[0])
  if origin is tuple:
    if text[:1] + text[-1:] in ('()', '[]'):
      text = text[1:-1].strip()
    items = text.removesuffix(',').split(',') if text else []
    return tuple(parse(members[0], _unquoted(item)) for item in items)
  if kind in (int, float):
    return _number(kind, text)
  if kind is bool:
    return {'true': True, '1': True, 'false': False, '0': False}.get(
      text.lower(), text
    )
  return text


def nearest(name: str, allowed) -> str:
  """'; did you mean ...?' for the closest allowed name, or ''."""
  close = difflib.get_close_matches(name, list(allowed), 1)
  return f'; did you mean {close[0]!r}?' if close else ''


def hint(annotation, value):
  """`nearest` for a value, or the first item of it, that is not listed."""
  names = [x for x in choices(annotation) if isinstance(x, str)]
  for item in value if isinstance(value, (tuple, list)) else [value]:
    if names and isinstance(item, str) and item not in names:
      return nearest(item, names)
  return ''


def _finite(value) -> Any:
  if type(value) is int:
    try:
      return float(value)
    except OverflowError:
      return UNFIT
  if isinstance(value, float) and math.isfinite(value):
    return float(value)
  return UNFIT


def _number(kind, text):
  try:
    return kind(text)
  except ValueError:
    pass
  try:
    number = float(text)
  except ValueError:
    return text
  return int(number) if number.is_integer() else number  # 1e6 is an integer.


def _unquoted(text):
  text = text.strip()
  if len(text) > 1 and text[0] == text[-1] and text[0] in '\'"':
    return text[1:-1]
  return text
