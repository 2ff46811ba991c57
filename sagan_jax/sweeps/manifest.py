"""The directory of a sweep: which run is where, and sweep.json.

sweep.json        the members: what they change, and their directories
sweep.md, .csv    tables; sweep.png holds curves
NAME/             a run, as `run.directory` says, and with it
NAME/output.log   what it printed
NAME/attempt.json how its last process ended
"""

import json
import pathlib

from sagan_jax import errors, files
from sagan_jax.config import schema
from sagan_jax.run import directory as run_directory
from sagan_jax.sweeps import definition, lock

_NAME = 'sweep.json'
_FORMAT = 1
_MEMBER = {
  'name': str,
  'directory': str,
  'setting': str,
  'seed': int,
  'num_steps': int,
}


def place(output, members):
  """Finds the directory of each run, by name or by content.

  Args:
    output: `epath.Path` of the sweep; need not exist.
    members: of `definition.members`.

  Returns:
    {member name: directory}. Some need not exist.

  Raises:
    UserError: if a directory holds another run than its name says, with the
      differences.
  """
  found, changed = {}, {}
  for member in members:
    config = _saved(output / member.name)
    if config is None:
      continue
    found[member.name] = output / member.name
    differences = _differences(config, member.config)
    if differences and (
      run_directory.has_states(output / member.name)
      or lock.is_held(output / member.name)
    ):
      lines = tuple(differences.values())
      changed.setdefault(lines, []).append(member.name)
  if changed:
    raise errors.UserError(_refusal(output, changed))
  strangers = _strangers(output, {member.name for member in members})
  for member in members:
    if member.name in found:
      continue
    same = [
      path
      for path, config in strangers.items()
      if not _differences(config, member.config)
    ]
    found[member.name] = same[0] if same else output / member.name
    strangers.pop(found[member.name], None)
  return found


def record(output, config, members, places):
  """Writes sweep.json, from which the sweep can be looked at.

  Args:
    output: of the sweep; made if need be.
    config: name of the base.
    members: of `definition.members`.
    places: of `place`.

  Raises:
    UserError: if it cannot be written.
  """
  with files.writing(output):
    output.mkdir(parents=True, exist_ok=True)
  entries = [
    definition.as_json(member) | {'directory': places[member.name].name}
    for member in members
  ]
  content = {'format': _FORMAT, 'config': config, 'members': entries}
  files.write(output / _NAME, json.dumps(content, indent=2) + '\n')


def read(output):
  """Returns what `record` wrote.

  Raises:
    UserError: if there is no sweep in the directory, or its file is damaged.
  """
  path = output / _NAME
  if not path.exists():
    raise errors.UserError(
      f'there is no sweep in {output}: it has no {_NAME}; set --output to the '
      'directory of a sweep, or start one with --config or --sweep'
    )
  content = files.read_json(path)
  if not isinstance(content, dict) or content.get('format') != _FORMAT:
    raise errors.UserError(
      f'{path} is damaged or of another version; repeat the command that '
      'started the sweep: it finds its runs again'
    )
  members = content.get('members')
  if not isinstance(members, list) or not all(map(_is_member, members)):
    raise errors.UserError(
      f'{path} is damaged: its members are none; repeat the command that '
      'started the sweep: it finds its runs again'
    )
  return content


def _is_member(entry):
  if not isinstance(entry, dict) or not all(
    type(entry.get(name)) is kind for name, kind in _MEMBER.items()
  ):
    return False
  name = entry['directory']  # Of a directory in that of the sweep, no other.
  return (
    pathlib.PurePosixPath(name).name == name
    and '\0' not in name
    and 0 <= entry['num_steps'] < 2**31
  )


def configure(directory, config, num_steps):
  """Writes the config of a run that is about to start or to go on.

  Args:
    directory: of the run; made if need be.
    config: of the member.
    num_steps: that the run is to reach this time.
  """
  with files.writing(directory):
    directory.mkdir(parents=True, exist_ok=True)
  saved = _saved(directory)
  if saved is not None and config.num_classes is None:
    config = schema.replace(config, num_classes=saved.num_classes)
  config = schema.replace(config, num_steps=num_steps)
  if config != saved:
    schema.save(config, directory / run_directory.CONFIG)


def _saved(directory):
  path = directory / run_directory.CONFIG
  return schema.saved(path) if path.exists() else None


def _differences(saved, config):
  if config.num_classes is None:  # As the data set, which the run checks.
    config = schema.replace(config, num_classes=saved.num_classes)
  return schema.differences(saved, config)


def _strangers(output, names):
  """{directory: config} of the runs that no member is named after."""
  found = {}
  for path in sorted(output.iterdir()) if output.exists() else ():
    if path.name in names:
      continue
    try:
      config = _saved(path)
    except errors.UserError:  # Of other code, or no run: nobody's business.
      continue
    if config is not None:
      found[path] = config
  return found


def _refusal(output, changed):
  lines = [f'{output} holds runs with another config than this sweep gives:']
  for differences, names in changed.items():
    more = f' and {len(names) - 1} more' if len(names) > 1 else ''
    lines.append(f'  {names[0]}{more}:')
    lines += [f'    {line}' for line in differences]
  lines.append(
    'bring back the base as it was, or use another --output; a run that is to '
    'start anew needs its directory removed'
  )
  return '\n'.join(lines)
