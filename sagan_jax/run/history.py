"""What a run directory tells about the past of its run, as plain data.

Whatever is damaged, missing or still being written is told, and the rest is
read.
"""

import dataclasses
import re
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from etils import epath

from sagan_jax import errors, files
from sagan_jax.config import schema
from sagan_jax.evaluation import protocol
from sagan_jax.pictures import filmstrip, thinning
from sagan_jax.run import directory, ledger, row_reader
from sagan_jax.verdicts import verdicts

_GRID = re.compile(r'(\d+)_(raw|ema)\.png')
_FRESH_SECS = 300  # A log that was written to within so long may still grow.
_SPEED = 'perf/images_per_sec'


@dataclasses.dataclass(frozen=True)
class History:
  """A run as its files tell it.

  Attributes:
    workdir: its directory.
    config: None if that is missing or damaged.
    num_examples: of its data; None if that is not recorded.
    class_names: None if they are not recorded.
    curves: its rows of training.
    evaluations: its rows of evaluations, in no order.
    records: of its evaluations, also of those that failed.
    grids: by step.
    time: where it went, as `ledger.read` tells it.
    saved_step: of its last checkpoint, or 0.
    is_fresh: whether its log has been written to a moment ago.
    damage: what was left out, as lines of text.
  """

  workdir: epath.Path
  config: schema.Config | None
  num_examples: int | None
  class_names: tuple[str, ...] | None
  curves: thinning.Curves
  evaluations: thinning.Curves
  records: list[dict[str, Any]]
  grids: list[filmstrip.Grid]
  time: dict[str, float] | None
  saved_step: int
  is_fresh: bool
  damage: list[str]

  def rows(self) -> dict[str, np.ndarray]:
    """All rows as {name: float64 array}, NaN where a row has no such number.

    Those of training come first, by step, then those of evaluations. Of a long
    run they are means over some rows, with the step of the last.
    """
    return rows_of(self.curves, self.evaluations)

  def verdicts(self) -> list[verdicts.Verdict]:
    """What the rows say about the health of the run."""
    rows = self.rows()
    return verdicts.judge(rows) if len(rows.get('step', ())) else []

  def state(self) -> str:
    """How far it has come, in words."""
    steps = _rows(self.curves).get('step', np.zeros(1))
    step = max(self.saved_step, int(steps[-1]))
    if self.config is None:
      return f'step {step:,} of a number that is not known'
    num_steps = self.config.num_steps
    if self.saved_step >= num_steps:
      return f'finished: {self.saved_step:,} steps'
    if self.is_fresh:
      return f'running, or just stopped: step {step:,} of {num_steps:,}'
    if not step:
      return f'no step of {num_steps:,} is logged or saved yet'
    return f'unfinished: step {step:,} of {num_steps:,}'

  def speed(self) -> float | None:
    """The median of the images per second."""
    speeds = _rows(self.curves).get(_SPEED, np.empty(0))
    speeds = speeds[~np.isnan(speeds)]
    return float(np.median(speeds)) if len(speeds) else None


def read(workdir: epath.PathLike) -> History:
  """Reads a run directory.

  Args:
    workdir: a path or URL.

  Returns:
    A `History`.

  Raises:
    UserError: if there is no run in it, or it cannot be read.
  """
  workdir = files.as_path(workdir)
  log = workdir / 'metrics.jsonl'
  if not (workdir / directory.CONFIG).exists() and not log.exists():
    raise errors.UserError(
      f'there is no run in {workdir}: it has neither {directory.CONFIG} nor '
      'metrics.jsonl; name the directory of a run'
    )
  damage = []
  config = None
  if (workdir / directory.CONFIG).exists():
    config = _read(damage, lambda: schema.saved(workdir / directory.CONFIG))
  else:
    damage.append(f'{directory.CONFIG} is missing: what was trained is unknown')
  facts = {}
  if (workdir / directory.DATA).exists():
    facts = _read(damage, lambda: directory.facts(workdir)) or {}
  names, count = facts.get('class_names'), facts.get('num_examples')
  try:
    saved_step = max(directory.steps(workdir), default=0)
    last_step = max(config.num_steps, saved_step) if config else None
    curves, evaluations = thinning.Curves(), thinning.Curves()
    is_fresh = False
    if log.exists():
      row_reader.read(log, curves, evaluations, last_step, damage.append)
      is_fresh = time.time() - log.stat().mtime < _FRESH_SECS
    grids = _grids(workdir / 'samples')
    time_spent = ledger.read(workdir)
  except OSError as e:
    raise errors.UserError(
      f'cannot read the run in {workdir}: {e.strerror or e}; mend its '
      'permissions'
    ) from e
  path = workdir / 'evaluations.jsonl'
  return History(
    workdir=workdir,
    config=config,
    num_examples=count if isinstance(count, int) else None,
    class_names=tuple(map(str, names)) if names else None,
    curves=curves,
    evaluations=evaluations,
    records=protocol.read_whole_ones(path, damage.append),
    grids=grids,
    time=time_spent,
    saved_step=saved_step,
    is_fresh=is_fresh,
    damage=damage,
  )


def rows_of(
  curves: thinning.Curves, evaluations: thinning.Curves
) -> dict[str, np.ndarray]:
  """Rows of training and then those of evaluations; see `History.rows`."""
  parts = [_rows(curves), _rows(evaluations)]
  sizes = [len(part.get('step', ())) for part in parts]
  return {
    name: np.concatenate(
      [
        part.get(name, np.full(size, np.nan))
        for part, size in zip(parts, sizes, strict=True)
      ]
    )
    for name in {**parts[0], **parts[1]}
  }


def _rows(curves):
  return {
    name: high if name == 'step' else mean
    for name, (_, mean, high) in curves.buckets().items()
  }


def _read(damage: list[str], function: Callable[[], Any]) -> Any:
  """The result of reading a file; None if it is damaged, which is told."""
  try:
    return function()
  except errors.UserError as e:
    damage.append(str(e))
    return None


def _grids(path):
  if not path.is_dir():
    return []
  found = []
  for each in path.iterdir():
    if match := _GRID.fullmatch(each.name):
      found.append(filmstrip.Grid(int(match[1]), match[2], each))
  return sorted(found, key=lambda grid: (grid.step, grid.weights))
