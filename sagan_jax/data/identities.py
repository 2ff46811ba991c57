"""What a data set is, and what has changed between two of them."""

import hashlib
import itertools
import json


def fingerprint(identity: dict) -> str:
  """Returns a short SHA-256 of what identifies a data set.

  Args:
    identity: JSON-serialisable facts; a change of any changes the result.

  Returns:
    16 hexadecimal digits.
  """
  text = json.dumps(identity, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def changes(old: dict, new: dict) -> list[str]:
  """Describes how a data set differs from what it was.

  Args:
    old: `Source.identity` of then; may have been through JSON.
    new: `Source.identity` of now.

  Returns:
    A line for each difference, e.g. 'class cat: 120 files instead of 118';
    none if the identities are equal.
  """
  old, new = (json.loads(json.dumps(x)) for x in (old, new))
  if old.get('name') != new.get('name') and old.keys() != new.keys():
    # Of another kind: nothing else can be compared.
    return [_instead('name', old.get('name'), new.get('name'))]
  lines = []
  for key in dict.fromkeys([*new, *old]):
    before, now = old.get(key), new.get(key)
    if before == now:
      continue
    if isinstance(before, dict) and isinstance(now, dict):
      lines += _class_files(before, now)
    elif isinstance(before, list) and isinstance(now, list):
      lines += _class_names(before, now)
    else:
      lines.append(_instead(key, before, now))
  return lines


def _class_files(old: dict, new: dict) -> list[str]:
  """Compares {class: [number of files, digest of their contents]}."""
  lines = _class_names(list(old), list(new))
  for name in new:
    if name not in old or old[name] == new[name]:
      continue
    before, now = _count(old[name]), _count(new[name])
    if before is None or now is None:
      lines.append(f'class {name}: other contents')
    elif before == now:
      lines.append(f'class {name}: the same number of files, other contents')
    else:
      lines.append(f'class {name}: {now:,} files instead of {before:,}')
  return lines


def _count(entry) -> int | None:
  """The number of files of a class; None where a file says no such thing."""
  first = entry[0] if isinstance(entry, list) and entry else None
  return first if type(first) is int else None


def _class_names(old: list, new: list) -> list[str]:
  old, new = (list(map(str, names)) for names in (old, new))
  lines = []
  for what, names, others in (('added', new, old), ('removed', old, new)):
    if found := [name for name in names if name not in set(others)]:
      more = f' and {len(found) - 10} more' if len(found) > 10 else ''
      lines.append(f'classes {what}: {", ".join(found[:10])}{more}')
  if not lines and old != new:
    pairs = enumerate(itertools.zip_longest(new, old, fillvalue='nothing'))
    where, now, before = next((i, a, b) for i, (a, b) in pairs if a != b)
    lines.append(
      f'order of classes changed: number {where} is {now}, it was {before}'
    )
  return lines


def _instead(key: str, old, new) -> str:
  return f'{key}: {_show(new)} instead of {_show(old)}'


def _show(value) -> str:
  return 'nothing' if value is None else str(value)
