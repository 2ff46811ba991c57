"""Names of directories: what a run changes, in characters that are safe."""

import hashlib
import json
import re

# Bytes of a name: file systems allow 255, and temporary files append to it.
_LONGEST = 120
# Nothing that a shell, a URL, orbax or a glob reads as something else.
_UNSAFE = re.compile(r'[^A-Za-z0-9_.=-]+')


def directory(changes):
  """Names the directory of a run.

  Args:
    changes: {'section.leaf': value} against the base.

  Returns:
    'key=value,key=value'; where that is too long or a text had to be altered
    it ends in a hash of the changes, so that no two runs share a name.
  """
  if not changes:
    return 'base'
  name = ','.join(f'{k}={_safe(text(v))}' for k, v in changes.items())
  exact = all(_is_plain(value) for value in changes.values())
  if exact and len(name) <= _LONGEST:
    return name
  content = json.dumps(changes).encode()
  return f'{name[:_LONGEST]}-{hashlib.sha256(content).hexdigest()[:8]}'


def text(value):
  """A value of a config as it is shown: tuples as '8+16', () as 'none'."""
  if isinstance(value, tuple):
    return '+'.join(map(text, value)) or 'none'
  return str(value)


def _safe(shown):
  return '+'.join(_UNSAFE.sub('-', part) for part in shown.split('+'))


def _is_plain(value):
  """Whether the text of a value stays as it is, and cannot be of another."""
  if isinstance(value, tuple):
    return all(_is_plain(item) for item in value)
  if isinstance(value, str):
    return (
      not _UNSAFE.search(value)
      and value not in ('', 'None', 'True', 'False', 'none')
      and not value[0].isdigit()
    )
  return True
