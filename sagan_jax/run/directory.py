"""What a run directory says about its run: its config and its data.

config.json       the config, leaf by leaf
data.json         the data set: name, classes, fingerprint and its parts
origin.json       where the first weights are from, if not from the seed
metrics.jsonl     a row per log step, sample grid and evaluation
evaluations.jsonl a record per evaluation
checkpoints/      states, by step; best/ holds the best one scored
samples/          grids; scores/ holds tables and plots
report.html       a page about all of it, made at the end
time.jsonl        where the time went, also before restarts
rollbacks.json    which steps were given up, as they were not finite
restarts.json     how often it was started and saved no further state
"""

import contextlib
import json
import re

from sagan_jax import data, errors, files
from sagan_jax.checkpoints import listing
from sagan_jax.config import schema
from sagan_jax.run import rows

CONFIG = 'config.json'
DATA = 'data.json'
LOG = 'metrics.jsonl'
CHECKPOINTS = 'checkpoints'
BEST = 'best'
ORIGIN = 'origin.json'
_GRID = re.compile(r'(\d+)_(raw|ema)\.png')


def steps(workdir):
  """The steps of which the run in a directory has saved a state."""
  return listing.read(workdir / CHECKPOINTS).steps


def has_states(workdir):
  """Whether a directory holds a run that has saved a state."""
  return bool(steps(workdir))


def check_config(workdir, config, allow_changes=()):
  """Refuses to go on with another config, or to begin where a run was lost.

  Args:
    workdir: a directory, which may be missing.
    config: a `Config`.
    allow_changes: keys that may differ.

  Returns:
    Whether there is a run to go on with.

  Raises:
    UserError: as `check_same_config` and `check_none_lost`.
  """
  goes_on = has_states(workdir)
  if goes_on:
    check_same_config(workdir, config, allow_changes)
  else:
    check_none_lost(workdir)
  return goes_on


def make(workdir):
  """Makes a directory for a run; UserError if it cannot be made."""
  with files.writing(workdir):
    (workdir / 'samples').mkdir(parents=True, exist_ok=True)


def remove_grids_after(workdir, step):
  """Removes grids of later steps, which a run that goes on will make again.

  Their rows are dropped too: what is there would be taken for done.

  Args:
    workdir: of a run.
    step: that it goes on from.

  Raises:
    UserError: if one cannot be removed.
  """
  folder = workdir / 'samples'
  with files.writing(folder):
    for path in folder.iterdir():
      match = _GRID.fullmatch(path.name)
      if match and int(match[1]) > step:
        path.unlink()


def check_none_lost(workdir):
  """Refuses to begin a run where one has lost its checkpoints.

  Args:
    workdir: of a run without a state.

  Raises:
    UserError: if its log says that there must have been one.
  """
  last = rows.last_step(workdir / LOG)
  if not last:
    return
  # One is being written when the next is due, and complete by the one after.
  missing = (
    not files.is_remote(workdir) and not (workdir / CHECKPOINTS).exists()
  )
  with contextlib.suppress(errors.UserError):  # It may be begun anew with it.
    if (workdir / CONFIG).exists():
      every_steps = schema.saved(workdir / CONFIG).checkpoint.every_steps
      missing = missing or last > 2 * every_steps
  if missing:
    raise errors.UserError(
      f'{workdir} has the log of a run of {last} steps, but none of its '
      f'checkpoints; bring {CHECKPOINTS} back, delete {LOG} to begin anew, or '
      'use another --workdir'
    )


def check_same_config(workdir, config, allow_changes=()):
  """Refuses a config that is not that of the run in a directory.

  Args:
    workdir: of a run that has saved a state.
    config: a `Config`.
    allow_changes: keys that may differ.

  Raises:
    UserError: with the list of differences, or if an allowed key is none.
  """
  if not (workdir / CONFIG).exists():
    raise errors.UserError(
      f'{workdir} holds checkpoints but no {CONFIG}, so nobody can say what run '
      'they are of; bring it back, or use another --workdir'
    )
  saved = schema.saved(workdir / CONFIG)
  if config.num_classes is None:  # As the data set: checked by its identity.
    config = schema.replace(config, num_classes=saved.num_classes)
  for key in allow_changes:
    if key not in schema.flatten(config):
      raise errors.UserError(
        f'unknown config key {key!r} in --allow_changes'
        f'{schema.nearest(key, schema.flatten(config))}'
      )
  changed = schema.differences(saved, config)
  for key in allow_changes:
    changed.pop(key, None)
  if (workdir / DATA).exists():
    # Data may move: what it is, not where, is compared by `check_same_data`.
    for key in ('dataset.name', 'dataset.data_dir'):
      changed.pop(key, None)
  if changed:
    raise errors.UserError(
      f'{workdir} holds a run with another config:\n  '
      + '\n  '.join(changed.values())
      + '\nuse another --workdir, or allow the changes with '
      f'--allow_changes={",".join(changed)}'
    )


def check_same_data(workdir, source):
  """Refuses data that is not what the run in a directory was trained on.

  Args:
    workdir: of a run that has saved a state.
    source: a `data.Source`.

  Raises:
    UserError: with what has changed.
  """
  if changed := data_changes(workdir, source):
    raise errors.UserError(
      f'the data of the run in {workdir} has changed:\n  '
      + '\n  '.join(changed)
      + f'\nbring back {source.name} as it was, use another --workdir, or allow '
      'the change with --allow_changes=dataset.name'
    )


def data_changes(workdir, source):
  """What differs between a source and the data of a run, a line each."""
  known = facts(workdir)
  if known is None:  # Of a run from before this was recorded.
    return []
  return data.changes(known['identity'], source.identity)


def facts_of(source):
  """What a directory records of a `data.Source`: a dict for JSON."""
  return {
    'name': source.name,
    'num_examples': source.num_examples,
    'class_names': list(source.class_names),
    'fingerprint': source.fingerprint,
    'identity': source.identity,
  }


def record(workdir, config, facts, origin):
  """Writes config and data to a directory, whose run is from now on this one.

  Args:
    workdir: exists.
    config: a `Config`.
    facts: of the data, as `facts_of` returns them; None if nothing is known.
    origin: where the weights of a new run are from, a dict for JSON; {} for its
      seed; None for a run that goes on.

  Raises:
    UserError: if the directory cannot be written.
  """
  schema.save(config, workdir / CONFIG)
  for name, content in ((DATA, facts), (ORIGIN, origin)):
    if content:
      files.write(workdir / name, json.dumps(content, indent=2) + '\n')
    elif content == {}:  # Of a run that never saved a state.
      (workdir / name).unlink(missing_ok=True)


def class_names(workdir, num_classes):
  """The names of a run's classes, or their numbers where none are recorded.

  Raises:
    UserError: if those recorded are not as many, or no names.
  """
  known = facts(workdir)
  if known is None:
    return tuple(str(i) for i in range(num_classes))
  names = known['class_names']
  if len(names) == num_classes and all(isinstance(x, str) for x in names):
    return tuple(names)
  raise errors.UserError(
    f"{workdir / DATA} is damaged: 'class_names' must be {num_classes} names, "
    'as the run has classes; restore it from a copy'
  )


def origin(workdir):
  """Where the first weights are from, a dict; None if from the seed."""
  path = workdir / ORIGIN
  found = files.read_json(path) if path.exists() else None
  if found is not None and not isinstance(found, dict):
    raise errors.UserError(
      f'{path} is damaged: it is no JSON object; restore it from a copy, or '
      'delete it, and nothing says where the first weights are from'
    )
  return found


def facts(workdir):
  """What `record` wrote about the data; None if it did not.

  Raises:
    UserError: if it is damaged.
  """
  path = workdir / DATA
  if not path.exists():
    return None
  found = files.read_json(path)
  kinds = {'identity': dict, 'class_names': list}
  for key, kind in kinds.items():
    if not isinstance(found, dict) or not isinstance(found.get(key), kind):
      raise errors.UserError(
        f'{path} is damaged: it has no {key!r}; restore it from a copy, or '
        'delete it, if the data of the run is as it was'
      )
  return found
