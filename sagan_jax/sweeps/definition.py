"""What a sweep changes: grids, lists and seeds, from flags or from a file.

A sweep file has a function `get_sweep()` that returns a dict:

  config  the base config, a name or a path
  grid    {key: list of values}: every combination is run
  list    [{key: value}, ...]: settings that go together
  seeds   a number n for 0 to n-1, or a list of seeds

The members of a sweep are list x grid x seeds; each but `config` may be left
out.
"""

import dataclasses
import itertools
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from sagan_jax import errors, files
from sagan_jax.config import annotations, compatibility, reader, schema, source
from sagan_jax.sweeps import names

SEED = 'seed'
_MAX_LIST_BYTES = 2**24
FILE = source.Kind('sweep', '--sweep', 'get_sweep', source.SHIPPED / 'sweeps')
_KEYS = ('config', 'grid', 'list', 'seeds')
_OPENING, _CLOSING = '([', ')]'


@dataclasses.dataclass(frozen=True)
class Member:
  """One run of a sweep."""

  name: str  # Of its directory, unless the run is found in another.
  changes: dict[str, Any]  # {'section.leaf': value}, in the order given.
  config: schema.Config

  @property
  def setting(self):
    """The changes but for the seed, as text: what members have in common."""
    return setting(self.changes)


@dataclasses.dataclass(frozen=True)
class Definition:
  """A sweep as a person gives it; texts are those of a command line."""

  config: str
  overrides: Mapping[str, str]  # Of the base.
  grid: Mapping[str, Sequence[Any]]
  settings: Sequence[Mapping[str, Any]]
  seeds: Sequence[int] | None


def setting(changes):
  """The text of changes, without the seed."""
  return ','.join(
    f'{key}={names.text(value)}'
    for key, value in changes.items()
    if key != SEED
  )


def from_flags(config, overrides, grid=(), list_path=None, seeds=None):
  """Reads what the flags of the command say.

  Args:
    config: name or path of the base.
    overrides: {key: text} for all members.
    grid: texts 'key=value,value'.
    list_path: of a file with a setting per line, 'key=value key=value', quoted
      as for a shell; '#' begins a comment.
    seeds: how many, or None.

  Raises:
    UserError: if a text cannot be understood or the file not be read.
  """
  axes = {}
  for text in grid:
    key, equals, values = text.partition('=')
    if not equals or not values.strip():
      raise errors.UserError(
        f'--grid={text!r} must be KEY=VALUE,VALUE; give the values of one key'
      )
    if key in axes:
      raise errors.UserError(
        f'--grid names {key} twice; give all its values in one --grid'
      )
    axes[key] = split(values)
  return Definition(
    config,
    overrides,
    axes,
    _read_list(list_path) if list_path else (),
    None if seeds is None else _seeds(seeds, '--seeds'),
  )


def from_file(name, overrides):
  """Executes a sweep file.

  Args:
    name: a path, or the name of one in `experiments/sweeps`.
    overrides: {key: text} for all members.

  Raises:
    UserError: if there is no such file, it fails, or returns no sweep.
  """
  tree = source.execute(FILE, name)
  for key in tree:
    if key not in _KEYS:
      raise errors.UserError(
        f'{name}: unknown key {key!r} of a sweep'
        f'{annotations.nearest(str(key), _KEYS)}; there are {", ".join(_KEYS)}'
      )
  config, grid = tree.get('config'), tree.get('grid', {})
  settings, seeds = tree.get('list', ()), tree.get('seeds')
  if not isinstance(config, str):
    raise errors.UserError(
      f'{name}: config={config!r} must be the name or the path of a config'
    )
  if not isinstance(grid, Mapping) or not all(
    isinstance(values, (list, tuple)) and values for values in grid.values()
  ):
    raise errors.UserError(
      f'{name}: grid={grid!r} must be a dict of key: list of values'
    )
  if not isinstance(settings, (list, tuple)) or not all(
    isinstance(changes, Mapping) for changes in settings
  ):
    raise errors.UserError(
      f'{name}: list={settings!r} must be a list of dicts of key: value'
    )
  return Definition(
    config,
    overrides,
    grid,
    settings,
    None if seeds is None else _seeds(seeds, f'{name}: seeds'),
  )


def members(definition):
  """Makes and checks the runs of a sweep.

  Args:
    definition: a `Definition`.

  Returns:
    A list of `Member`, each with another directory.

  Raises:
    UserError: with a line for every mistake in the base or in a change, or if
      two members are the same run.
  """
  base = schema.load(definition.config, definition.overrides)
  found, mistakes = [], {}
  for changes in _combinations(definition):
    try:
      found.append(_member(base, changes))
    except errors.UserError as e:
      mistakes |= dict.fromkeys(str(e).splitlines())  # Each once, in order.
  if mistakes:
    raise errors.UserError('\n'.join(mistakes))
  _check_distinct(found)
  return found


def split(text):
  """Splits at the commas that are not inside brackets or quotes."""
  parts, depth, quote = [''], 0, None
  for char in text:
    if quote or char in '\'"':
      quote = None if char == quote else quote or char
    elif char in _OPENING:
      depth += 1
    elif char in _CLOSING:
      depth -= 1
    if char == ',' and not depth and not quote:
      parts.append('')
    else:
      parts[-1] += char
  return [part.strip() for part in parts]


def _combinations(definition):
  axes = dict(definition.grid)
  if definition.seeds is not None:
    if SEED in axes or any(SEED in s for s in definition.settings):
      raise errors.UserError(
        'the seeds are given twice, as seeds and as values of the key seed; '
        'give one of them'
      )
    axes[SEED] = definition.seeds
  for changes in definition.settings:
    twice = [key for key in changes if key in axes]
    if twice:
      raise errors.UserError(
        f'{twice[0]} is in the list and in the grid; give it in one of them'
      )
  for changes in definition.settings or ({},):
    for values in itertools.product(*axes.values()):
      both = {**changes, **dict(zip(axes, values, strict=True))}
      # The seed last: directories sort by what is compared.
      yield dict(sorted(both.items(), key=lambda item: item[0] == SEED))


def _member(base, changes):
  known = reader.leaves(schema.Config)
  values = {
    key: annotations.parse(known[key].annotation, value)
    if isinstance(value, str) and key in known
    else value
    for key, value in changes.items()
  }
  config = schema.replace(base, values)
  filled = schema.replace(config, num_classes=config.num_classes or 1)
  compatibility.check(filled, config.num_devices or 1)
  flat = schema.flatten(config)
  values = {key: flat[key] for key in changes}
  return Member(names.directory(values), values, config)


def _check_distinct(found):
  known = reader.leaves(schema.Config)
  fixed = [key for key, leaf in known.items() if not leaf.may_change]
  first = {}
  for b in found:
    flat = schema.flatten(b.config)
    a = first.setdefault(tuple(flat[key] for key in fixed), b)
    if a is b:
      continue
    if a.config == b.config:
      raise errors.UserError(
        f'{a.name} is given twice; remove one of the values that are the same'
      )
    raise errors.UserError(
      f'{a.name} and {b.name} compute the same: they differ only in keys that '
      'may change while a run goes on; sweep over other keys'
    )


def _seeds(given, what):
  if type(given) is int and given > 0:
    return range(given)
  if isinstance(given, (list, tuple)) and given:
    return list(given)
  raise errors.UserError(
    f'{what}={given!r} must be a number of seeds > 0'
    f'{"" if what.startswith("--") else " or a list of seeds"}'
  )


def _read_list(path):
  path = files.as_path(path)
  try:
    with path.open('rb') as file:  # It may be a pipe.
      lines = file.read(_MAX_LIST_BYTES).decode().splitlines()
  except (OSError, UnicodeDecodeError) as e:
    raise errors.UserError(
      f'cannot read --list={path}: {getattr(e, "strerror", None) or e}'
    ) from e
  found = []
  for number, line in enumerate(lines, 1):
    try:
      words = shlex.split(line, comments=True)
    except ValueError as e:
      raise errors.UserError(f'{path}:{number}: {e}; mend the line') from e
    pairs = [word.partition('=') for word in words]
    if not all(equals for _, equals, _ in pairs):
      raise errors.UserError(
        f'{path}:{number}: {line.strip()!r} must be KEY=VALUE KEY=VALUE ...; '
        'mend the line'
      )
    if pairs:
      found.append({key: value for key, _, value in pairs})
  if not found:
    raise errors.UserError(f'--list={path} has no settings; give one per line')
  return found


def as_json(member):
  """A member as the manifest keeps it."""
  return {
    'name': member.name,
    'changes': json.loads(json.dumps(member.changes)),
    'setting': member.setting,
    'seed': member.config.seed,
    'num_steps': member.config.num_steps,
  }
