"""Successive halving: runs that score badly early do not go on.

At every rung, a number of steps, all runs that are left have trained as long;
the best share of the settings goes on (Jamieson and Talwalkar 2015,
arXiv:1502.07943). Settings are ranked, by the mean over their seeds, so that
all seeds of a setting go on or none. The ranking depends on recorded scores
alone, so that a sweep that was stopped decides again what it had decided.
"""

import dataclasses
import math
import shlex
import statistics

from sagan_jax import errors
from sagan_jax.evaluation import protocol
from sagan_jax.metrics import scores
from sagan_jax.sweeps import attempt, results

_KEYS = ('steps', 'keep', 'metric')


@dataclasses.dataclass(frozen=True)
class Halving:
  """When runs are compared, and how many go on."""

  steps: tuple[int, ...]  # Of the rungs, ascending.
  keep: float  # Share of the settings that goes on, rounded up.
  metric: str  # Name of a score, such as fid_random.


def parse(text):
  """Reads 'steps=1000,2000 keep=0.5 metric=fid_random'.

  Raises:
    UserError: if it says something else.
  """
  words = [word.partition('=') for word in shlex.split(text)]
  pairs = {key: value for key, _, value in words}
  try:
    if set(pairs) != set(_KEYS):
      raise ValueError(f'it has {", ".join(pairs) or "nothing"}')
    steps = tuple(int(step) for step in pairs['steps'].split(','))
    if steps[0] < 1 or list(steps) != sorted(set(steps)):
      raise ValueError('steps must be positive and ascend')
    keep = float(pairs['keep'])
    if not 0 < keep < 1:
      raise ValueError('keep must be > 0 and < 1')
  except ValueError as e:
    raise errors.UserError(
      f"--halving={text!r} must be 'steps=STEP,STEP keep=SHARE metric=NAME', "
      f'such as steps=1000,2000 keep=0.5 metric=fid_random: {e}'
    ) from e
  return Halving(steps, keep, pairs['metric'])


def check(halving, members):
  """Checks that all members have scores, and steps beyond the last rung.

  Raises:
    UserError: if a member has not.
  """
  for member in members:
    if member.config.eval.every_steps is None:
      raise errors.UserError(
        f'{member.name} is never scored, and --halving compares scores; set '
        '--config.eval.every_steps'
      )
    if member.config.num_steps <= halving.steps[-1]:
      raise errors.UserError(
        f'{member.name} ends at step {member.config.num_steps}, before the '
        f'rung {halving.steps[-1]} of --halving; set --config.num_steps'
      )


def run(halving, tasks, entries, output, work, say=print):
  """Runs all tasks to each rung, and to the end those that are kept.

  Args:
    halving: a `Halving`.
    tasks: list of `runner.Task`, to their last steps.
    entries: of the manifest, in the same order.
    output: directory of the sweep.
    work: a `runner.Runner`.
    say: called with a line for each rung.

  Raises:
    UserError: if scores are missing or of different protocols.
  """
  left = dict(zip([task.name for task in tasks], entries, strict=True))
  by_name = {task.name: task for task in tasks}
  for rung, step in enumerate(halving.steps, 1):
    work.run(_until(step, [by_name[name] for name in left]))
    found = [results.read(output, entry) for entry in left.values()]
    kept = best(halving, step, found)
    say(f'rung {rung}, step {step}: {len(kept)} settings go on')
    for result in found:
      if result.setting not in kept:
        attempt.halt(by_name[result.name].directory, rung)
        del left[result.name]
  work.run([by_name[name] for name in left])


def best(halving, step, found):
  """The settings that go on from a rung, the best first.

  Args:
    halving: a `Halving`.
    step: of the rung.
    found: list of `results.Result`.

  Raises:
    UserError: if no run has such a score, or their protocols differ.
  """
  at_rung = {result.name: _score(halving, step, result) for result in found}
  scored = [score for score in at_rung.values() if score]
  if not scored:
    names = sorted({s.kind.metric for r in found for s in r.scores})
    raise errors.UserError(
      f'no run has a score {halving.metric!r} at step {step}; there are '
      f'{", ".join(names) or "no scores"}; set metric= in --halving'
    )
  protocols = {k: v for result in found for k, v in result.protocols.items()}
  for score in scored:
    protocol.check_same(
      protocols[scored[0].kind.protocol], protocols[score.kind.protocol]
    )
  settings = {}
  for result in found:
    settings.setdefault(result.setting, []).append(at_rung[result.name])
  means = {
    setting: statistics.fmean(score.value for score in of_seeds)
    for setting, of_seeds in settings.items()
    if all(of_seeds)  # A setting that fails for some seed comes last.
  }
  descending = scores.is_better(halving.metric, 1.0, 0.0)
  ranked = sorted(
    settings,
    key=lambda s: (
      s not in means,
      -means.get(s, 0.0) if descending else means.get(s, 0.0),
      s,
    ),
  )
  return ranked[: math.ceil(len(ranked) * halving.keep)]


def _score(halving, step, result):
  """The score of a run at a rung, or the last before it; None if there is none.

  Of several variants the one that was scored first counts.
  """
  found = [
    score
    for score in result.scores
    if score.kind.metric == halving.metric
    and score.step <= step
    and math.isfinite(score.value)
  ]
  last = max((score.step for score in found), default=None)
  return next((score for score in found if score.step == last), None)


def _until(step, tasks):
  return [dataclasses.replace(task, num_steps=step) for task in tasks]
