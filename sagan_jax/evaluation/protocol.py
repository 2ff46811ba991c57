"""The protocol of a score: everything that moves the number, beside it.

Records are kept as JSON lines. Older files call the protocol 'card'; `read`
gives it its present name.
"""

import json
import os
from collections.abc import Callable
from typing import Any

from etils import epath

from sagan_jax import errors, files

# What a state is scored several times by.
VARIANT = ('weights', 'bn_statistics', 'truncation')
# Two scores may differ in these and still be of one protocol: they say which
# model was scored and where, not how.
IDENTITY = (*VARIANT, 'step', 'versions', 'device_kind')


# Parsed, a value takes a hundred bytes. 1,000 classes and evaluations have a
# million.
_MAX_BYTES, _MAX_VALUES = 2**27, 2**22
# {of a protocol: what it may be, where anybody may have written it}.
_KINDS = {
  'weights': str | None,
  'bn_statistics': str | None,
  'truncation': int | float | None,
}


def check_same(a: dict[str, Any], b: dict[str, Any]) -> None:
  """Refuses to compare scores of different protocols.

  Args:
    a: a protocol, as `evaluator.Evaluator` makes it.
    b: another one.

  Raises:
    UserError: listing what differs, but for `IDENTITY`.
  """
  lines = [
    f'{key}: {a.get(key, "nothing")!r} and {b.get(key, "nothing")!r}'
    for key in _differences(a, b)
  ]
  if lines:
    raise errors.UserError(
      'these scores are of different protocols and cannot be compared:\n  '
      + '\n  '.join(lines)
    )


def is_same(a: dict[str, Any], b: dict[str, Any]) -> bool:
  """Whether scores of two protocols may be compared."""
  return not _differences(a, b)


def _differences(a, b):
  return [
    key
    for key in sorted(a.keys() | b.keys())
    if key not in IDENTITY and a.get(key) != b.get(key)
  ]


def read(
  path: epath.PathLike, say: Callable[[str], None] = print
) -> list[dict[str, Any]]:
  """Reads the records of a run.

  Args:
    path: of JSON lines.
    say: told of a last line that was cut short, which is dropped.

  Returns:
    {'protocol': ..., 'scores': ...} or {'protocol': {'step': ...}, 'error':
    ...} of each evaluation; [] if there is no such file.

  Raises:
    UserError: if the file cannot be read, or naming the line that is damaged.
  """
  lines, last = _lines(epath.Path(path))
  records = [
    _record(line, f'{path}:{number}') for number, line in enumerate(lines, 1)
  ]
  if last:
    try:
      records.append(_record(last, str(path)))
    except errors.UserError:
      say(f'{path}: the last line was cut short and is dropped')
  return records


def read_whole_ones(
  path: epath.PathLike, complain: Callable[[str], None]
) -> list[dict[str, Any]]:
  """Reads the records that are not damaged, to look at them.

  Args:
    path: of JSON lines.
    complain: told of each line that is left out, and why.

  Returns:
    As `read`.

  Raises:
    UserError: if the file cannot be read.
  """
  path, records = epath.Path(path), []
  lines, last = _lines(path)
  for number, line in enumerate([*lines, last] if last else lines, 1):
    try:
      records.append(_record(line, f'{path.name}, line {number}'))
    except errors.UserError as e:
      complain(str(e))
  return records


def _lines(path):
  """Returns (the lines of a file, what follows the last end of a line)."""
  if not path.exists():
    return [], b''
  content = files.read(path, _MAX_BYTES)
  if sum(map(content.count, (b',', b'[', b'{'))) > _MAX_VALUES:
    raise errors.UserError(
      f'{path} is damaged: it holds more values than records of evaluations '
      'can; restore it from a copy'
    )
  *lines, last = content.split(b'\n')
  return lines, last


def write(path: epath.PathLike, records: list[dict[str, Any]]) -> None:
  """Writes records as JSON lines, all or none of them.

  Raises:
    UserError: if the file cannot be written.
  """
  files.write(path, _text(records))


def _text(records):
  return ''.join(json.dumps(record) + '\n' for record in records)


def append(
  path: epath.PathLike,
  before: list[dict[str, Any]],
  records: list[dict[str, Any]],
) -> None:
  """Adds records to a file.

  On a disk, what another process adds at the same time is not lost.

  Args:
    path: of JSON lines.
    before: what it holds.
    records: to add.

  Raises:
    UserError: if the file cannot be written.
  """
  path = epath.Path(path)
  if files.is_remote(path) or _lines(path)[1]:  # The last line was cut short.
    write(path, [*before, *records])
    return
  with files.writing(path), files.open_to_append(path) as file:
    rest = _text(records).encode()
    while rest:
      rest = rest[file.write(rest) :]
    os.fsync(file.fileno())


def _problem(record):
  """What is wrong with a record; None if nothing is."""
  made_by = record['protocol']
  if type(made_by['step']) is not int or not 0 <= made_by['step'] < 2**63:
    return 'its step is not a number of steps'
  for key, kind in _KINDS.items():
    if not isinstance(made_by.get(key), kind):
      return f'its {key} is {str(made_by[key])[:40]!r}'
  for name in ('scores', 'per_class'):
    found = record.get(name)
    if found is not None and not all(map(_is_number, found.values())):
      return f'its {name} are not numbers'
  if not isinstance(record.get('error', ''), str):
    return 'its error is no text'
  return None


def _is_number(value):
  return isinstance(value, float) or (
    isinstance(value, int) and abs(value) < 2**63
  )


def _record(line, where):
  """The record of a line."""
  try:
    record = files.parse_json(line)
    if 'card' in record:
      record = {'protocol': record.pop('card')} | record
    problem = _problem(record)
    if problem is None:
      return record
  except (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
  ) as e:
    problem = str(e)
  raise errors.UserError(
    f'{where} is damaged: it is no record of an evaluation ({problem}); mend '
    'or delete the line'
  )
