"""Reads all checkpoints of a run and says which are as they were saved."""

from collections.abc import Callable

from sagan_jax import errors
from sagan_jax.run import directory


def verify(run, say: Callable[[str], None] = print) -> None:
  """Checks every checkpoint of a run against its checksums; changes nothing.

  Args:
    run: a `Run`, opened to look at it.
    say: called with a line for each checkpoint, the best one included.

  Raises:
    UserError: if one cannot be used, or there are none.
  """
  bad, count = [], 0
  for name, checkpointer in (
    (directory.CHECKPOINTS, run.checkpointer),
    (directory.BEST, run.best_checkpointer(writes=False)),
  ):
    for step in checkpointer.steps():
      count += 1
      try:
        checkpointer.restore(run.shapes, step)
      except errors.UserError as e:
        bad.append(f'{name}/{step}')
        say(f'{name}/{step}: {e}')
      else:
        say(f'{name}/{step}: as it was saved')
  if not count:
    raise errors.UserError(f'{run.workdir} has no checkpoints; train first')
  if bad:
    raise errors.UserError(
      f'{len(bad)} of {count} checkpoints in {run.workdir} cannot be used: '
      f'{", ".join(bad)}; training goes on from the last one that can'
    )
