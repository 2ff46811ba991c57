"""Scores what is already there: checkpoints of a run, or two sets of images."""

import contextlib
from collections.abc import Callable
from typing import Any, Literal

from sagan_jax import data, errors
from sagan_jax.cluster import sharding
from sagan_jax.evaluation import evaluator as evaluator_lib
from sagan_jax.evaluation import tables
from sagan_jax.run import log, scoreboard, stop


def evaluate_checkpoints(
  run,
  step: int | Literal['all', 'best'] = 'all',
  say: Callable[[str], None] = print,
  counter: Callable[..., Callable[[int], None]] = stop.counter,
) -> None:
  """Evaluates checkpoints of a run; their scores join those in its directory.

  Args:
    run: a `Run`.
    step: of the checkpoint; 'all' of them, or the 'best' by the evaluations so
      far.
    say: called with lines of progress, and with the table of all scores.
    counter: a factory of counters of images, like `stop.counter`.

  Raises:
    UserError: if there is no such checkpoint, or as `Scoreboard.score`.
  """
  steps = run.checkpointer.steps() if step == 'all' else [step]
  if not steps:
    raise errors.UserError(f'{run.workdir} has no checkpoints; train first')
  board = scoreboard.Scoreboard(run, None, say, counter)
  board.check()
  with contextlib.ExitStack() as stack:
    writer = None
    if run.is_main:
      writer = log.Writer(
        run.workdir, None, tensorboard=run.config.log.tensorboard, say=say
      )
      stack.callback(writer.close)
    for each in steps:
      state = run.restore(each)
      scalars = board.score(state)
      if writer:
        writer.write(int(state.step), scalars)
        writer.write_texts(int(state.step), {'scores': board.text()})
  if run.is_main:
    say(board.text())


def evaluate_sources(
  c,
  real: str,
  fake: str,
  say: Callable[[str], None] = print,
  counter: Callable[..., Callable[[int], None]] = stop.counter,
) -> dict[str, Any]:
  """Scores one set of images against another; no model is needed.

  Args:
    c: a `Config`; its image size and section `eval` count.
    real: name of a data source.
    fake: name of a data source.
    say: called with lines of progress, and with the table.
    counter: a factory of counters of images, like `stop.counter`.

  Returns:
    The record.

  Raises:
    UserError: if a source cannot be opened, or has too few images.
  """
  sources = [
    data.make_source(name, image_size=c.image_size, split=c.dataset.split)
    for name in (real, fake)
  ]
  mesh = sharding.make_mesh(c.num_devices)
  evaluator = evaluator_lib.Evaluator(c, mesh, sources[0], say, counter)
  evaluator.check(sources[1])
  records = evaluator.of_source(sources[1])
  say(tables.table(records))
  return records[0]
