"""Trains a run: opens it where it is, goes through its steps, closes it.

What happens in which order at a step is in `loop`.
"""

import contextlib
import dataclasses
import functools
import time

import jax

from sagan_jax import errors
from sagan_jax.cluster import agree
from sagan_jax.run import (
  alarms,
  batches,
  directory,
  events,
  lease,
  ledger,
  log,
  loop,
  memory,
  nonfinite,
  pulse,
  reporting,
  restarts,
  rollbacks,
  room,
  scoreboard,
  step_log,
  stop,
  summary,
)


class Trainer:
  """Drives a `run.Run` from its last checkpoint to its end.

  Attributes:
    run: that it trains.
    loop: a `loop.Loop`; another one after each rollback.

  Args:
    run: opened for training.

  Raises:
    UserError: if the checkpoint is of another model, an evaluation that is
      asked for cannot work, or a package that the config asks for is missing.
  """

  def __init__(self, run):
    self.run = run
    self._open()

  def _open(self, failed=None):
    """Reads the state to go on from, and opens what the run writes to.

    Args:
      failed: the `NotFinite` that it goes back because of.
    """
    run = self.run
    self._ledger = ledger.Ledger(run.workdir, writes=run.is_main)
    c = run.config
    begins = agree.decide('begins', run.checkpointer.last_step() is None)
    with memory.explained(c):
      state = run.init() if begins else run.restore()
    start = int(state.step)
    self._rollbacks = rollbacks.Rollbacks(run.workdir, run.is_main)
    if failed:
      self._rollbacks.add(failed.step, start)
    self._state = self._rollbacks.renew(state, run.mesh)
    self._progress = log.Progress(c.num_steps, start, show=run.is_main)
    self._say = self._progress.say
    self._room = self._make_room()
    self._scoreboard = None
    if c.eval.every_steps is not None:
      self._scoreboard = scoreboard.Scoreboard(
        run, start, self._say, room=self._room
      )
      self._scoreboard.check()
    # The last of what can be refused: until here the run is as it was.
    self._writer = log.open_writer(run, start, self._say, self._room)
    if run.is_main:
      directory.remove_grids_after(run.workdir, start)
    self.loop = self._make_loop(start)

  def _make_room(self):
    run = self.run
    # Several processes would have to pause together: they end with the cause.
    secs = 0 if agree.group() else run.config.checkpoint.full_disk_secs
    made = room.Room(run.workdir, secs, self._say)
    if secs:
      leaves = jax.tree.leaves(run.shapes)
      size = sum(x.size * x.dtype.itemsize for x in leaves)
      run.checkpointer.survive_full_disk(
        functools.partial(made.refused, state_bytes=size)
      )
    return made

  def _make_loop(self, start):
    run, writer, clock = self.run, self._writer, log.Clock()
    steps = step_log.StepLog(run, writer, self._progress, clock)
    checkpoint = events.Checkpoint(run, steps.advice, self._room)
    due = [checkpoint, events.Grids(run, writer)]
    if self._scoreboard:
      due.append(
        events.Evaluation(
          run, self._scoreboard, writer, clock, self._say, start
        )
      )
    # Last: it reads the rows of the others.
    due.append(alarms.Alarms(run, checkpoint, writer is not None, self._say))
    return loop.Loop(run, due, checkpoint, steps, self._ledger)

  def train(self):
    """Trains to the last step; to be called once.

    Returns:
      The final `GanState`.

    Raises:
      Stopped: after SIGTERM or Ctrl-C, when the state is saved.
      UserError: if a loss is not finite (nothing is saved then), the data
        cannot be read (what was reached is), or a disk is full.
    """
    while True:
      try:
        return self._train()
      except nonfinite.NotFinite as e:
        self._go_back(e)

  def _go_back(self, failed):
    """Opens the run anew at its last checkpoint, or raises what has failed."""
    c, made = self.run.config, len(self._rollbacks)
    if c.on_nonfinite != 'rollback':
      raise failed
    if made >= c.max_nonfinite:
      raise errors.UserError(
        f'{failed}. It was rolled back {made} times already, as often as '
        '--config.max_nonfinite allows'
      ) from failed
    agree.next_round()
    del self.run.checkpointer  # Which is closed.
    self._open(failed)
    self._say(
      f'{failed}. Rolled back to step {int(self._state.step)} (rollback '
      f'{made + 1} of at most {c.max_nonfinite}); data and latents are drawn '
      'anew from there'
    )

  def _train(self):
    run, state = self.run, self._state
    del self._state  # The first step donates it.
    with contextlib.ExitStack() as stack:
      # However the loop ends, what is being saved is worth the wait. Each is
      # closed, whatever the others raise; the checkpointer first.
      stack.callback(self._ledger.flush)
      stack.callback(self._progress.close)
      if self._scoreboard:
        stack.callback(self._scoreboard.close)
      if self._writer:
        stack.push(self._close_writer)
      stack.callback(run.checkpointer.close)
      stack.push(_find_culprit)  # The others may never do their part of a save.
      if pulse.watched():  # Then something may restart the run.
        stack.enter_context(restarts.counted(run.workdir, int(state.step)))
      for line in summary.beginning(run, state):
        self._say(line)
      self.loop.finish_events(state)
      state = self._take_steps(state)
      # The page leaves out its own time, to be the same when it is made again.
      self.loop.phase('report')
      self._ledger.flush()
      made = reporting.at_end(run, self._writer, self._scoreboard, self._say)
      lines = summary.end(run, self._scoreboard, made)
    for line in lines:  # When all is closed: nothing comes after them.
      self._say(line)
    ledger.tell(run.workdir, self._say)
    return state

  def _take_steps(self, state):
    """Compiles the step and takes those that are left."""
    run, c, start = self.run, self.run.config, int(state.step)
    if start >= c.num_steps:
      self._say(f'nothing to do: {start} of {c.num_steps} steps done')
      return state
    self._ledger.open(start)
    drawn = dataclasses.replace(
      c, seed=self._rollbacks.data_seed(c.seed, start)
    )
    # The first ones are made while the step is compiled.
    with batches.Batches(run, drawn, start) as drawn_batches:
      self._say('compiling the step ...')
      began = time.perf_counter()
      self.loop.phase('compile')
      with memory.explained(c):
        step_fn = run.step_fn
      self._say(summary.compiled(step_fn, time.perf_counter() - began))
      with stop.deferred(), memory.explained(c, step_fn):
        state = self.loop.take_steps(step_fn, state, drawn_batches)
        self.loop.finish(state)
    return state

  def _close_writer(self, kind, error, traceback):
    del kind, traceback
    # After the loss of a lease it would write, in a bucket.
    if self._writer and not isinstance(error, lease.Lost):
      self._writer.close()


def _find_culprit(kind, error, traceback):
  del kind, traceback
  if isinstance(error, Exception) and not isinstance(
    error,
    nonfinite.NotFinite,  # It is on all processes.
  ):
    agree.find_culprit()
