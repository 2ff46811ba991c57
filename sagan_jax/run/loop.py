"""The training loop: what happens in which order.

After step k was launched, in this order:

1. Step k-1 is waited for, and its log row is written if one is due.
2. The events that are due at k see the state after step k, in the order of
   `Trainer.events`: checkpoint, grids, evaluation, alarms. At the last step all
   are due.
3. If a stop was asked for, step k is saved and `stop.Stopped` is raised; the
   events of k that this left undone are done when the run goes on.

Where a run goes on at step k, the events that were due at k and are not done
come first. A log row holds the metrics of its own step.
"""

import contextlib
import dataclasses
import time

import jax

from sagan_jax import errors
from sagan_jax.cluster import agree
from sagan_jax.run import (
  alarms,
  lease,
  ledger,
  log,
  memory,
  nonfinite,
  pulse,
  reporting,
  restarts,
  rollbacks,
  scoreboard,
  step_log,
  stop,
  summary,
)
from sagan_jax.run import batches as batches_lib
from sagan_jax.run import events as events_lib


class Trainer:
  """Drives a `run.Run` from its last checkpoint to its end.

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
    self._batches = None
    self.progress = log.Progress(c.num_steps, start, show=run.is_main)
    say = self.progress.say
    self._scoreboard = None
    if c.eval.every_steps is not None:
      self._scoreboard = scoreboard.Scoreboard(run, start, say)
      self._scoreboard.check()
    # The last of what can be refused: until here the run is as it was.
    self._writer = log.open_writer(run, start, say)
    self.clock = clock = log.Clock()
    self.step_log = step_log.StepLog(run, self._writer, self.progress, clock)
    self.checkpoint = events_lib.Checkpoint(run, self.step_log.advice)
    self.events = [self.checkpoint, events_lib.Grids(run, self._writer)]
    if self._scoreboard:
      self.events.append(
        events_lib.Evaluation(
          run, self._scoreboard, self._writer, clock, say, start
        )
      )
    # Last: it reads the rows of the others.
    self.events.append(
      alarms.Alarms(run, self.checkpoint, self._writer is not None, say)
    )

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
    self.progress.say(
      f'{failed}. Rolled back to step {int(self._state.step)} (rollback '
      f'{made + 1} of at most {c.max_nonfinite}); data and latents are drawn '
      'anew from there'
    )

  def _train(self):
    state = self._state
    del self._state  # The first step donates it.
    with contextlib.ExitStack() as stack:
      # However the loop ends, what is being saved is worth the wait. Each is
      # closed, whatever the others raise; the checkpointer first.
      stack.callback(self._ledger.flush)
      stack.callback(self.progress.close)
      if self._scoreboard:
        stack.callback(self._scoreboard.close)
      if self._writer:
        stack.push(self._close_writer)
      stack.callback(self.run.checkpointer.close)
      stack.push(_find_culprit)  # The others may never do their part of a save.
      step = int(state.step)
      if pulse.watched():  # Then something may restart the run.
        stack.enter_context(restarts.counted(self.run.workdir, step))
      for line in summary.beginning(self.run, state):
        self.progress.say(line)
      for event in events_lib.due(self.events, step, self.run.config.num_steps):
        if not agree.decide(f'did {event.name}', event.is_done(step)):
          self._handle(event, state)
      state = self._train_from(state)
      self._ledger.flush()  # The page does not tell its own time.
      self._phase('report')
      made = reporting.at_end(
        self.run, self._writer, self._scoreboard, self.progress.say
      )
      lines = summary.end(self.run, self._scoreboard, made)
    for line in lines:  # When all is closed: nothing comes after them.
      self.progress.say(line)
    ledger.tell(self.run.workdir, self.progress.say)
    return state

  def _train_from(self, state):
    """Compiles the step and takes those that are left."""
    run, c, start = self.run, self.run.config, int(state.step)
    if start >= c.num_steps:
      self.progress.say(f'nothing to do: {start} of {c.num_steps} steps done')
      return state
    self._ledger.open(start)
    seed = self._rollbacks.data_seed(c.seed, start)
    drawn = dataclasses.replace(c, seed=seed)
    self._batches = batches_lib.Batches(run, drawn, start)
    with self._batches:  # The first ones are made while the step is compiled.
      self.progress.say('compiling the step ...')
      began = time.perf_counter()
      self._phase('compile')
      with memory.explained(c):
        step_fn = run.step_fn
      self.progress.say(summary.compiled(step_fn, time.perf_counter() - began))
      with stop.deferred(), memory.explained(c, step_fn):
        state = self._loop(step_fn, state, self._batches)
        self._phase('checkpoint')
        run.checkpointer.wait()
    return state

  def _phase(self, name, step=None):
    """Tells the watchdog and the ledger what the run does now."""
    pulse.phase(name)
    self._ledger.phase(name, step)

  def _loop(self, step_fn, state, batches):
    self.clock.restart()
    start, num_steps = int(state.step), self.run.config.num_steps
    self.step_log.begin(start)
    self.progress.begin()
    for step in range(start + 1, num_steps + 1):
      self._phase('data')
      batch = self._next(batches, state)
      self._enter(state)
      self._phase('step', step)
      state, metrics = step_fn(state, batch)
      self.run.check_writer()
      self.step_log.add(step, metrics)
      pulse.beat(step - 1)  # The one before is finished now.
      self.progress.step()
      due = events_lib.due(self.events, step, num_steps)
      stopping = stop.requested() and step < num_steps
      if stopping:
        self._stop(state)
      if due:
        self._settle(state)
      for event in due:
        self._handle(event, state)
    return state

  def _close_writer(self, kind, error, traceback):
    del kind, traceback
    # After the loss of a lease it would write, in a bucket.
    if self._writer and not isinstance(error, lease.Lost):
      self._writer.close()

  def _next(self, batches, state):
    """The next batch; if there is none, what was reached is saved."""
    waited = batches.wait_secs
    try:
      return batches.after(state)
    except stop.Stopped:
      self._stop(state)
    except errors.UserError:
      self.step_log.flush()
      if batches.unreadable:
        self._enter(state)  # This may be where all stop.
      # If not, none of several can save alone.
      if int(state.step) and not agree.group():
        self.checkpoint.finish(state)
        self.progress.say(f'step {int(state.step)} is saved')
      raise
    finally:
      self.clock.add('data', batches.wait_secs - waited)

  def _enter(self, state):
    """Saves a state and stops if all processes stop before the next step."""
    try:
      agree.enter()
    except stop.Stopped:
      self._stop(state)

  def _settle(self, state):
    """Waits for a state, and until the rows of its steps are written."""
    jax.block_until_ready(state)
    self.step_log.flush()
    if self._writer:  # Rows up to a checkpoint are as safe as it is.
      self._writer.flush()

  def _handle(self, event, state):
    """Runs an event; a stop that it was asked for waits for the state."""
    self._phase(event.name)
    self.run.check_writer()
    try:
      with self.clock.section(event.name):
        event(state)
    except stop.Stopped:
      self._stop(state)
    if event is self.checkpoint:  # From where a restart may go on.
      self._ledger.flush()

  def _stop(self, state):
    self._settle(state)  # Before another process can end this one.
    self._phase('checkpoint')
    with self.clock.section('checkpoint'):
      self.checkpoint.finish(state)
    if self._batches and self._batches.unreadable:
      self.progress.say(f'step {int(state.step)} is saved')
      raise self._batches.unreadable
    raise stop.Stopped(f'stopped after step {int(state.step)}, which is saved')


def _find_culprit(kind, error, traceback):
  del kind, traceback
  if isinstance(error, Exception) and not isinstance(
    error,
    nonfinite.NotFinite,  # It is on all processes.
  ):
    agree.find_culprit()
