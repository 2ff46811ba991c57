"""Hostile inputs: how files, values and names are damaged, and what must hold.

`mutated` damages the files of a directory; `guarded` runs what reads them
within bounds of memory and time, and lets through nothing but a `UserError`.
The suite tries a few inputs, always the same; more, and others each time, with

  SAGAN_JAX_FUZZ=300 python -m pytest -n 0 tests/fuzz
"""

import contextlib
import copy
import json
import os
import pathlib
import resource
import shutil
import signal
import time

import hypothesis
import jax
from hypothesis import strategies as st

from sagan_jax import errors

_asked = os.environ.get('SAGAN_JAX_FUZZ')
inputs = hypothesis.settings(
  max_examples=int(_asked or 10),
  derandomize=not _asked,
  database=None,
  deadline=None,  # `guarded` has one.
  suppress_health_check=list(hypothesis.HealthCheck),
  phases=[hypothesis.Phase.generate],  # Each input is a few lines already.
)
SECS = 10
BYTES = 2**30
_BIG = '@BIG@'  # Stands for a number with more digits than Python parses.


def _deep(levels):
  value = []
  for _ in range(levels):
    value = [value]
  return value


VALUES = (
  *(None, True, False, 0, 1, -1, 3, 1.5, -0.5, 1e308, float('nan')),
  *(float('inf'), 2**31, 2**63, -(2**63), 10**30, 10**400, _BIG),
  *('', ' ', '\0', 'a\nb', '\ud800', '\x1b[31m', 'x' * 5000, '../../outside'),
  *('/outside', '..', '.', 'a/b', '<script>', '$x^{$', '%s{0}', '1e5', 'nan'),
  *([], {}, [[]], [None], {'': None}, {'step': -1}, [1, 2], ['a', 'a']),
  *(_deep(40), _deep(400)),
)
NAMES = st.one_of(
  st.sampled_from([x for x in VALUES if isinstance(x, str) and x != _BIG]),
  st.text(max_size=40),
)
# What can be the name of an entry of a directory.
ENTRY_NAMES = (
  st.one_of(
    st.sampled_from(
      ['lr[1e-4]', 'a*', '-dash', '~', ' ', '$x^{$', 'a\nb', '\x1b[31m', '٣']
      + ['{0}%s', '\udcff', 'a\\b', "it's", '"', '<b>', 'é' * 60, 'con', '²']
    ),
    st.text(max_size=40),
  )
  .map(lambda x: x.replace('/', '_').replace('\0', '_'))
  .filter(lambda x: x not in ('', '.', '..') and _is_name(x))
)


def _is_name(text):
  try:
    return len(os.fsencode(text)) <= 200
  except UnicodeEncodeError:
    return False


@st.composite
def mutated(draw, names):
  """Draws (name of a file, function of its path that damages it)."""
  name = draw(st.sampled_from(names))
  if draw(st.integers(0, 9)) == 0:
    return name, draw(st.sampled_from(_REPLACEMENTS))
  seeds = draw(st.lists(st.integers(0, 2**30), min_size=5, max_size=5))
  times = draw(st.sampled_from([1, 1, 1, 2, 5]))
  is_text = name.endswith(('.json', '.jsonl', 'metadata'))
  change = draw(st.sampled_from(_JSON_CHANGES)) if is_text else None
  if change is None or draw(st.integers(0, 3)) == 0:
    how = draw(st.sampled_from(_BYTE_CHANGES))

    def damage(path):
      content = path.read_bytes()
      for i in range(times):
        content = how(content, [x * (i + 1) for x in seeds])
      path.write_bytes(content)

  else:

    def damage(path):
      path.write_bytes(_with_json(path, change, seeds))

  return name, damage


def _with_json(path, change, seeds):
  """The content of a file of JSON, or of JSON lines, with a change."""
  text = path.read_text()
  lines = text.split('\n') if path.name.endswith('.jsonl') else [text]
  number = seeds[4] % len(lines)
  if lines[number].strip():
    tree = [json.loads(lines[number])]
    change(tree, seeds)
    dumped = json.dumps(tree[0], ensure_ascii=bool(seeds[3] % 2))
    lines[number] = dumped.replace(json.dumps(_BIG), '9' * 5000)
  return '\n'.join(lines).encode(errors='surrogatepass')


def _nodes(tree):
  """All (container, key) of a tree."""
  found, left = [], [tree]
  while left:
    each = left.pop()
    items = each.items() if isinstance(each, dict) else enumerate(each)
    for key, value in items:
      found.append((each, key))
      if isinstance(value, (dict, list)):
        left.append(value)
  return found


def _replace(tree, seeds):
  nodes = _nodes(tree)
  container, key = nodes[seeds[0] % len(nodes)]
  container[key] = copy.deepcopy(VALUES[seeds[1] % len(VALUES)])


def _delete(tree, seeds):
  nodes = [x for x in _nodes(tree) if x[0] is not tree]
  if nodes:
    container, key = nodes[seeds[0] % len(nodes)]
    del container[key]


def _rename(tree, seeds):
  nodes = [x for x in _nodes(tree) if isinstance(x[0], dict)]
  if nodes:
    container, key = nodes[seeds[0] % len(nodes)]
    names = [x for x in VALUES if isinstance(x, str)]
    container[names[seeds[1] % len(names)]] = container.pop(key)


def _swap(tree, seeds):
  nodes = _nodes(tree)
  (a, i), (b, j) = (nodes[seed % len(nodes)] for seed in seeds[:2])
  a[i] = copy.deepcopy(b[j])


_JSON_CHANGES = (_replace, _replace, _delete, _rename, _swap)


def _flip(content, seeds):
  if not content:
    return content
  content = bytearray(content)
  content[seeds[0] % len(content)] ^= 1 << seeds[1] % 8
  return bytes(content)


def _cut(content, seeds):
  return content[: seeds[0] % (len(content) + 1)]


def _insert(content, seeds):
  at = seeds[0] % (len(content) + 1)
  pieces = (b'\0', b'\xff', b'\n', b'{', b'"', b'9' * 5000, b'[' * 10**5, b'\r')
  return content[:at] + pieces[seeds[1] % len(pieces)] + content[at:]


def _extreme(content, seeds):
  """Overwrites a number with one at the end of its range."""
  at = seeds[0] % (len(content) + 1)
  pieces = (
    b'\xff' * 4,
    b'\xff\xff\xff\x7f',
    b'\0' * 8,
    b'\xff' * 8,
    b'\0\0\0@',
  )
  piece = pieces[seeds[1] % len(pieces)]
  return content[:at] + piece + content[at + len(piece) :]


def _drop(content, seeds):
  start, end = sorted(seed % (len(content) + 1) for seed in seeds[:2])
  return content[:start] + content[end:]


def _repeat(content, seeds):
  start, end = sorted(seed % (len(content) + 1) for seed in seeds[:2])
  return content[:end] + content[start:]


def _other(content, seeds):
  del content
  return bytes(
    (seeds[0] * i * i + seeds[1]) % 256 for i in range(seeds[2] % 99)
  )


_BYTE_CHANGES = (_flip, _flip, _cut, _insert, _extreme, _drop, _repeat, _other)


def _pipe(path):
  path.unlink()
  os.mkfifo(path)


def _link(target):
  def replace(path):
    path.unlink()
    path.symlink_to(target)

  return replace


def _folder(path):
  path.unlink()
  path.mkdir()


def _huge(path):
  with open(path, 'r+b') as file:
    file.truncate(2**40)  # Takes no room.


_REPLACEMENTS = (
  _pipe,
  _link('/dev/zero'),
  _link('../nowhere'),
  _link('../../beside'),
  _folder,
  _huge,
  lambda path: path.unlink(),
  lambda path: path.write_bytes(b''),
)


def fresh(template, directory):
  """A copy of a template, in place of the one before."""
  shutil.rmtree(directory, ignore_errors=True)
  return pathlib.Path(shutil.copytree(template, directory, symlinks=True))


@contextlib.contextmanager
def guarded(own):
  """Runs what reads a hostile file.

  Args:
    own: the directory in which it may write.

  Yields:
    A list, into which the text of a `UserError` is put.
  """
  jax.devices()  # It ends the process where that comes to its limit.
  before = _around(own)
  refusals = []
  began = time.monotonic()
  with _limited():
    try:
      yield refusals
    except errors.UserError as e:
      refusals.append(str(e))
  assert time.monotonic() - began < SECS
  assert _around(own) == before


@contextlib.contextmanager
def _limited():
  """Bounds of memory and time, in which a MemoryError or an alarm is a fault."""
  _, most = resource.getrlimit(resource.RLIMIT_AS)
  with open('/proc/self/statm') as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
  resource.setrlimit(resource.RLIMIT_AS, (now + BYTES, most))
  handler = signal.signal(signal.SIGALRM, _too_slow)
  signal.alarm(SECS)
  try:
    yield
  finally:
    signal.alarm(0)
    signal.signal(signal.SIGALRM, handler)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _too_slow(*_):
  raise AssertionError(f'it took more than {SECS} s')


def _around(own):
  """What lies beside a directory, with its times and sizes."""
  folder = pathlib.Path(own).parent
  if not (folder / 'beside').exists():  # Where some links lead.
    (folder / 'beside').write_text('{"step": 9}\n')
  return {
    path: os.lstat(path).st_mtime_ns + os.lstat(path).st_size
    for path in folder.iterdir()
    if path != pathlib.Path(own)
  }
