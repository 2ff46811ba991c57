"""`kill -9`, at any moment, and the same command again."""

import signal

from sagan_jax.drills import faults
from sagan_jax.drills.outcomes import Failed

_KILLED = 128 + signal.SIGKILL
_PER_RUN = 4  # Kills, after which a run may finish.
# In the order in which a run comes to them, with those that come again.
_POINTS = {
  'save': 'before a save',
  'saving': 'during it',
  'saved': 'after it, before old ones are deleted',
  'picture': 'after the row of a grid, before its picture',
  'picture 2': 'between two pictures',
  'evaluation': 'before an evaluation',
  'record': 'before its record',
  'recorded': 'between its record and its row',
  'report': 'before the report',
}


def at_random(trial):
  """Half of them at any time since the start, half of them between steps."""
  wanted, killed, runs = trial.drill.kills, 0, 0
  while killed < wanted:
    trial.fresh()
    runs += 1
    for _ in range(min(_PER_RUN, wanted - killed)):
      child = trial.start()
      if trial.draw.random() < 0.5:
        there = child.sleep(trial.draw.uniform(0, trial.drill.secs))
      else:
        first, last = child.first_row, trial.drill.config.num_steps - 1
        step = trial.draw.randint(first, max(first, last))
        there = child.wait_for_row(step) and child.sleep(
          trial.draw.uniform(0, 0.2)
        )
      if not there:  # It was finished before.
        child.end(0)
        break
      child.send(signal.SIGKILL)
      code, _ = child.end(_KILLED, 0)
      killed += code == _KILLED
    trial.finish()
  return f'{killed} kills in {runs} runs'


def at_saves(trial):
  """At every point around a save, a grid and an evaluation, in one run."""
  for point in _POINTS:
    name, _, number = point.partition(' ')
    child = trial.start(f'{name}-kill:{number or 1}')
    _, output = child.end(_KILLED, 0)
    if faults.MARK not in output:
      raise Failed(f'never came to the point {_POINTS[point]}; {child}')
  trial.finish()
  return f'kills at {len(_POINTS)} points: ' + ', '.join(_POINTS.values())
