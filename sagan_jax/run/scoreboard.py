"""What becomes of evaluations: records, the best state, the report."""

import functools
import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from etils import epath

from sagan_jax.cluster import agree
from sagan_jax.evaluation import evaluator as evaluator_lib
from sagan_jax.evaluation import protocol, tables
from sagan_jax.metrics import scores
from sagan_jax.run import agreement, stop
from sagan_jax.run import room as room_lib


class Best(NamedTuple):
  """Why a state is the best."""

  metric: str
  value: float
  step: int


class Scoreboard:
  """The evaluations of one run: records, the best checkpoint, the report.

  Args:
    run: a `Run`.
    start_step: of the training this is part of; records beyond it, left by a
      run that died, are dropped. None keeps all, and saves no state.
    say: called with lines of progress.
    counter: a factory of counters of images, like `stop.counter`. What its
      counters raise ends an evaluation between two batches; nothing of it is
      recorded, unless it is an `Exception`.
    room: of the disk; None for one that raises what the disk refuses.

  Raises:
    UserError: if the records that are there are damaged, or cannot be written.
  """

  def __init__(
    self,
    run,
    start_step: int | None,
    say: Callable[[str], None] = print,
    counter: Callable[..., Callable[[int], None]] = stop.counter,
    room: room_lib.Room | None = None,
  ):
    self._run = run
    self._room = room or room_lib.Room(run.workdir)
    self._unwritten: list[dict[str, Any]] = []
    self._say = say
    self._counter = counter
    self._path = epath.Path(run.workdir) / 'evaluations.jsonl'
    self._records = protocol.read(self._path, say)
    self._best = None
    if start_step is not None:
      self._best = run.best_checkpointer(writes=True)
      if self._room.may_pause:
        self._best.survive_full_disk(self._best_is_lost)
      self._best.delete_after(start_step)
      self._records = [
        r for r in self._records if r['protocol']['step'] <= start_step
      ]
      if run.is_main:
        protocol.write(self._path, self._records)

  @functools.cached_property
  def _evaluator(self) -> Any:
    run = self._run
    return evaluator_lib.Evaluator(
      run.config, run.mesh, run.source, self._say, self._counter
    )

  def check(self) -> None:
    """Refuses an evaluation that cannot work, before anything is compiled.

    Raises:
      UserError: if the extractor's weights are missing or damaged, it gives none
        of the metrics, images are too few for one, or there is no such metric
        as is to choose the best.
    """
    self._evaluator.check(best=self._best is not None)

  def has(self, step: int) -> bool:
    """Whether there is a record, of scores or of a failure, of a step."""
    return any(r['protocol']['step'] == step for r in self._records)

  def row(self, step: int) -> dict[str, float]:
    """What the log says about the scores of a step; {} if there are none."""
    return _scalars([r for r in self._records if r['protocol']['step'] == step])

  def best(self) -> 'Best | None':
    """The score of the state that is kept as the best; None if none is."""
    name = self._evaluator.main_metric()
    held = self._best.steps() if self._best else []
    for record in self._records:
      if record['protocol']['step'] in held and name in record.get(
        'scores', ()
      ):
        return Best(name, record['scores'][name], record['protocol']['step'])
    return None

  def text(self) -> str:
    """All scores, as Markdown."""
    return tables.text([r for r in self._records if 'scores' in r])

  def of_state(self, state) -> dict[str, float]:
    """Evaluates a state of a training, which outlives a failure of scoring.

    Args:
      state: a `GanState`; it is kept if it is the best so far.

    Returns:
      {'eval/...': value} for the log; {} if the evaluation failed, which is
      recorded and logged.

    Raises:
      UserError: if the record cannot be written.
      RuntimeError: if the best state cannot be saved.
    """
    step, began = int(state.step), time.perf_counter()
    records, failure = [], None
    try:
      self.check()
      records = self._evaluator.of_state(self._run.sampler, state)
    except Exception as e:  # noqa: BLE001 - training must outlive its scores.
      failure = e
    error = agreement.failed_anywhere(f'evaluation {step}', failure)
    if error is not None:
      self._say(f'step {step}: the evaluation failed: {error}')
      self._record([{'protocol': {'step': step}, 'error': error}])
      return {}
    try:
      if self._best:
        self._keep_if_best(self._best, state, records[0])
    finally:  # A disk that is full takes no state, but a line.
      scalars = self._add(step, records, began)
    return scalars

  def score(self, state) -> dict[str, float]:
    """Evaluates a state, and lets errors through; no state is kept.

    Args:
      state: a `GanState`.

    Returns:
      {'eval/...': value} for the log.

    Raises:
      UserError: as `check`, if an image is not finite, or if the record cannot
        be written.
    """
    began = time.perf_counter()
    self.check()
    records = self._evaluator.of_state(self._run.sampler, state)
    return self._add(int(state.step), records, began)

  def close(self) -> None:
    """Gives up the best checkpoint's background thread."""
    if self._best:
      self._best.close()

  def _add(self, step, records, began):
    """Tells and records scores; returns those for the log."""
    scalars = _scalars(records)
    for record in records:
      made_by = record['protocol']
      variant = _variant(made_by)
      shown = ', '.join(f'{k} {v:.4g}' for k, v in record['scores'].items())
      self._say(
        f'step {step}: {shown} ({variant}, {made_by["num_fake"]} fakes against '
        f'{made_by["num_real"]} real images, {made_by["extractor"]})'
      )
    self._record(records)
    scalars['perf/eval_secs'] = time.perf_counter() - began
    return scalars

  def _record(self, records):
    """Records, at once or when the disk has room, and makes the report."""
    self._records = _merged(self._records, records)
    if self._run.is_main:
      self._unwritten += records
      self._room.write(self._write, len(json.dumps(records)))

  def _write(self):
    """Adds what is not written yet to the file.

    Another command may have added some since: the file is the truth.
    """
    records = self._unwritten
    before = protocol.read(self._path, self._say)
    self._records = _merged(before, records)
    if len(self._records) == len(before) + len(records):
      protocol.append(self._path, before, records)
    else:
      protocol.write(self._path, self._records)
    self._unwritten = []
    self.report()

  def report(self) -> None:
    """Makes the tables and plots, from all records each time."""
    scored = [r for r in self._records if 'scores' in r]
    if not scored:
      return
    directory = epath.Path(self._run.workdir) / 'scores'
    try:
      tables.write(directory, scored)
    except Exception as e:  # noqa: BLE001 - a plot must not end a training.
      self._say(
        f'the report in {directory} could not be made ({type(e).__name__}: '
        f'{e}); the scores are in {self._path}'
      )

  def _best_is_lost(self, error):
    self._room.refused(error)
    self._say('the best state so far could not be kept: the disk is full')

  def _keep_if_best(self, best, state, record):
    """Saves the state under `best` if it beats the one that is there."""
    name = self._evaluator.main_metric()
    value = record['scores'][name]
    # Not all earlier ones: a resumed run has dropped a best that came later,
    # and what that had replaced is gone.
    step = record['protocol']['step']
    held = best.steps()
    earlier = [
      r['scores'][name]
      for r in self._records
      if r['protocol']['step'] in held
      and name in r.get('scores', ())
      and _same_variant(r['protocol'], record['protocol'])
    ]
    is_best = step not in held and all(
      scores.is_better(name, value, than) for than in earlier
    )
    # Processes may see other records, and other files on a disk they share.
    if agree.decide(f'best at {step}', is_best):
      best.save(state)
      best.wait()


def _merged(records, new):
  """Records with new ones in place of those of the same protocol and failures."""
  protocols = [r['protocol'] for r in new]
  steps = [made_by['step'] for made_by in protocols]
  kept = [
    r
    for r in records
    if r['protocol'] not in protocols
    and not ('error' in r and r['protocol']['step'] in steps)
  ]
  return [*kept, *new]


def _variant(made_by):
  variant = f'{made_by.get("weights")}_{made_by.get("bn_statistics")}'
  if made_by.get('truncation') is not None:
    variant += f'_{made_by["truncation"]:g}'
  return variant


def _scalars(records):
  """The row of the log for records."""
  return {
    f'eval/{name}/{_variant(record["protocol"])}': value
    for record in records
    for name, value in record.get('scores', {}).items()
  }


def _same_variant(a, b):
  same = protocol.is_same(a, b)
  return same and all(a.get(k) == b.get(k) for k in protocol.VARIANT)
