"""Settings against each other: mean and deviation over their seeds.

Scores are compared within one `results.Kind` only: a metric, of one variant of
the model, under one protocol.
"""

import dataclasses
import math
import statistics

from sagan_jax.metrics import scores
from sagan_jax.sweeps import results


@dataclasses.dataclass(frozen=True)
class Reached:
  """Last and best score of one run."""

  last_step: int
  last: float
  best_step: int
  best: float


@dataclasses.dataclass(frozen=True)
class Spread:
  """One score over the seeds of a setting."""

  mean: float
  std: float | None  # Of the sample, by n - 1; None for a single seed.


@dataclasses.dataclass(frozen=True)
class Row:
  """What the seeds of a setting have reached, in one kind of score."""

  setting: str
  kind: results.Kind
  n: int  # Seeds that have such a score ...
  of: int  # ... of so many.
  last_steps: tuple[int, int]  # The least and the greatest of last steps.
  last: Spread
  best: Spread


def reached(result, kind):
  """Last and best score of a run; None if it has none of this kind.

  A score that is not finite may be the last, never the best.
  """
  values = result.of(kind)
  if not values:
    return None
  last = max(values)
  best = None
  for step, value in values.items():
    if math.isfinite(value) and (
      best is None or scores.is_better(kind.metric, value, values[best])
    ):
      best = step
  best = last if best is None else best
  return Reached(last, values[last], best, values[best])


def kinds(found):
  """All kinds of scores of a sweep, in order of their first appearance."""
  return list(dict.fromkeys(kind for result in found for kind in result.kinds))


def groups(found):
  """{setting: its results}, in order."""
  settings = {}
  for result in found:
    settings.setdefault(result.setting, []).append(result)
  return settings


def rows(found):
  """Compares settings.

  Args:
    found: list of `results.Result`.

  Returns:
    A list of `Row`, by kind of score and then by setting.
  """
  made = []
  for kind in kinds(found):
    for setting, members in groups(found).items():
      of_seeds = [r for m in members if (r := reached(m, kind))]
      if not of_seeds:
        continue
      steps = [r.last_step for r in of_seeds]
      made.append(
        Row(
          setting,
          kind,
          len(of_seeds),
          len(members),
          (min(steps), max(steps)),
          spread([r.last for r in of_seeds]),
          spread([r.best for r in of_seeds]),
        )
      )
  return made


def spread(values):
  """Mean and sample standard deviation."""
  if not all(map(math.isfinite, values)):
    return Spread(math.nan, None)
  std = statistics.stdev(values) if len(values) > 1 else None
  return Spread(statistics.fmean(values), std)
