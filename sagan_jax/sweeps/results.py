"""What a run has reached, read from its files while they may be written."""

import dataclasses
import hashlib
import json
import os
import re
import time

from sagan_jax import files
from sagan_jax.evaluation import protocol
from sagan_jax.run import directory as run_directory
from sagan_jax.sweeps import attempt, lock

MISSING, RUNNING, STOPPED = 'missing', 'running', 'stopped'
FINISHED, FAILED = 'finished', 'failed'
_VARIANT = ('weights', 'bn_statistics', 'truncation')
_SPEED = 'perf/images_per_sec'
_STEP = re.compile('[0-9]{1,10}')
_END_BYTES = 2**16  # Of a log; more than its last rows.
_FRESH_SECS = 300  # A run elsewhere whose log is older is taken for stopped.


@dataclasses.dataclass(frozen=True)
class Kind:
  """What may be compared: a metric of one variant under one protocol."""

  metric: str
  variant: str
  protocol: str  # A digest.


@dataclasses.dataclass(frozen=True)
class Score:
  """A score at a step."""

  kind: Kind
  step: int
  value: float


@dataclasses.dataclass(frozen=True)
class Result:
  """What one member has reached."""

  name: str
  setting: str
  seed: int
  state: str  # One of the constants above, or 'halted at rung k ...'.
  step: int
  num_steps: int
  images_per_sec: float | None
  secs: float  # Of all processes that trained it, with their starts.
  scores: tuple[Score, ...]  # In the order of their files.
  protocols: dict[str, dict]  # {digest: protocol}.
  message: str  # Why it failed.

  @property
  def kinds(self):
    """The kinds of its scores, in order."""
    return list(dict.fromkeys(score.kind for score in self.scores))

  def of(self, kind):
    """{step: value} of one kind of score, by step."""
    values = {s.step: s.value for s in self.scores if s.kind == kind}
    return dict(sorted(values.items()))


def read(output, entry):
  """Reads what a member has reached.

  Args:
    output: directory of the sweep.
    entry: of the manifest.

  Returns:
    A `Result`.
  """
  path = output / entry['directory']
  rows = _last_rows(path)
  scores, protocols = _scores(_records(path))
  last = attempt.read(path)
  state = _state(path, entry['num_steps'], last, bool(rows))
  speeds = [x for row in rows if isinstance(x := row.get(_SPEED), int | float)]
  steps = [x for row in rows if type(x := row.get('step')) is int]
  step = max([*steps[-1:], *checkpoints(path)[-1:]], default=0)
  return Result(
    name=entry['name'],
    setting=entry['setting'] or 'base',
    seed=entry['seed'],
    state=state,
    step=entry['num_steps'] if state == FINISHED else step,
    num_steps=entry['num_steps'],
    images_per_sec=speeds[-1] if speeds else None,
    secs=attempt.total_secs(path, last, running=state == RUNNING),
    scores=tuple(scores),
    protocols=protocols,
    message=last.message,
  )


def is_done(path, config, num_steps):
  """Whether a run has reached a step and done all that is due there.

  Args:
    path: of its directory.
    config: {'section.leaf': value}.
    num_steps: the step.
  """
  last = attempt.read(path)
  if last.exit_code == 0 and (last.num_steps or 0) >= num_steps:
    return True
  steps = checkpoints(path)
  if not steps or steps[-1] != num_steps:
    return bool(steps) and steps[-1] > num_steps  # It went on from there.
  drawn = all(
    (path / 'samples' / f'{num_steps:08d}_{weights}.png').exists()
    for weights in ('raw', 'ema')
  )
  if not drawn or config.get('eval.every_steps') is None:
    return drawn
  return any(r['protocol']['step'] == num_steps for r in _records(path))


def is_running(path):
  """Whether a process trains in a directory, as far as can be known.

  A sweep of this machine holds a lock; else a scheduler may have started the
  run, and its log has been written to a moment ago.
  """
  if lock.is_used(path):
    return lock.is_held(path)
  log = path / 'metrics.jsonl'
  return log.exists() and time.time() - log.stat().mtime < _FRESH_SECS


def checkpoints(path):
  """The steps that are saved, ascending; a half-written one is not."""
  place = path / run_directory.CHECKPOINTS
  if not place.exists():
    return []
  return sorted(int(p.name) for p in place.iterdir() if _STEP.fullmatch(p.name))


def _records(path):
  """The records of evaluations that are not damaged."""
  return protocol.read_whole_ones(path / 'evaluations.jsonl', lambda _: None)


def _last_rows(path):
  """The rows at the end of a log; what is cut short or damaged is left out."""
  try:
    with files.open_file(path / run_directory.LOG) as file:
      size = file.seek(0, os.SEEK_END)
      file.seek(max(0, size - _END_BYTES))
      lines = file.read(_END_BYTES).split(b'\n')
  except OSError:
    return []
  found = []
  for line in lines:
    try:
      row = files.parse_json(line)
    except ValueError:
      continue
    if isinstance(row, dict):
      found.append(row)
  return found


def _state(path, num_steps, last, has_rows):
  if lock.is_held(path):
    return RUNNING
  config = path / run_directory.CONFIG
  leaves = files.read_json(config) if config.exists() else None
  if isinstance(leaves, dict) and is_done(path, leaves, num_steps):
    return FINISHED
  if last.message:
    return FAILED
  if last.halted is not None:
    return f'halted at rung {last.halted} (successive halving)'
  if is_running(path):
    return RUNNING
  return STOPPED if has_rows or checkpoints(path) else MISSING


def _scores(records):
  """Returns (scores, {digest: protocol})."""
  scores, protocols = [], {}
  for record in records:
    card, values = record['protocol'], record.get('scores')
    if values is None:  # Of a failure.
      continue
    shared = {k: v for k, v in card.items() if k not in protocol.IDENTITY}
    content = json.dumps(shared, sort_keys=True).encode()
    digest = hashlib.sha256(content).hexdigest()[:8]
    protocols[digest] = shared
    variant = ' '.join(
      f'{card[key]}' if key != 'truncation' else f'truncation {card[key]:g}'
      for key in _VARIANT
      if card.get(key) is not None
    )
    for metric, value in values.items():
      spread = metric.endswith('_std')  # Of splits or subsets: no score.
      if not spread:
        kind = Kind(metric, variant, digest)
        scores.append(Score(kind, card['step'], float(value)))
  return scores, protocols
