"""The training loop: what happens in which order.

After step k was launched, in this order:

1. Step k-1 is waited for, and its log row is written if one is due.
2. If a stop was asked for, step k is saved and `stop.Stopped` is raised; what is
   due at k is done when the run goes on. So it is if a stop is asked for during
   an event.
3. The events that are due at k see the state after step k, in the order that
   `trainer.Trainer` gives them: checkpoint, grids, evaluation, alarms. At the
   last step all are due.

Where a run goes on at step k, the events that were due at k and are not done
come first. A log row holds the metrics of its own step.
"""

import jax

from sagan_jax import errors
from sagan_jax.cluster import agree
from sagan_jax.run import events as events_lib
from sagan_jax.run import pulse, stop


class Loop:
  """Takes the steps of a run, and does what is due after them.

  Args:
    run: a `run.Run`.
    events: in their order.
    checkpoint: that of them which saves.
    step_log: a `step_log.StepLog`.
    ledger: a `ledger.Ledger`.
  """

  def __init__(self, run, events, checkpoint, step_log, ledger):
    self.events = events
    self._run = run
    self._checkpoint = checkpoint
    self._log = step_log
    self._ledger = ledger
    self._batches = None

  def phase(self, name, step=None):
    """Tells the watchdog and the ledger what the run does now."""
    pulse.phase(name)
    self._ledger.phase(name, step)

  def finish_events(self, state):
    """Does what was due at the step of a state and is not done."""
    step = int(state.step)
    for event in self._due(step):
      if not agree.decide(f'did {event.name}', event.is_done(step)):
        self._handle(event, state)

  def take_steps(self, step_fn, state, batches):
    """Takes the steps that are left.

    Args:
      step_fn: compiled.
      state: the `GanState` to go on from, which is donated.
      batches: `batches.Batches` from there on.

    Returns:
      The `GanState` after the last step.

    Raises:
      As `trainer.Trainer.train`.
    """
    self._batches = batches
    start, num_steps = int(state.step), self._run.config.num_steps
    self._log.begin(start)
    for step in range(start + 1, num_steps + 1):
      self.phase('data')
      batch = self._next(batches, state)
      self._enter(state)
      self.phase('step', step)
      state, metrics = step_fn(state, batch)
      self._run.check_writer()
      self._log.add(step, metrics)
      pulse.beat(step - 1)  # The one before is finished now.
      self._log.progress.step()
      due = self._due(step)
      if stop.requested() and step < num_steps:
        self._stop(state)
      if due:
        self._settle(state)
      for event in due:
        self._handle(event, state)
    return state

  def finish(self, state):
    """Waits until all is on the disk; raises as `trainer.Trainer.train`."""
    self.phase('checkpoint')
    self._checkpoint.settle(state)

  def _due(self, step):
    return events_lib.due(self.events, step, self._run.config.num_steps)

  def _next(self, batches, state):
    """The next batch; if there is none, what was reached is saved."""
    waited = batches.wait_secs
    try:
      return batches.after(state)
    except stop.Stopped:
      self._stop(state)
    except errors.UserError:
      self._log.flush()
      if batches.unreadable:
        self._enter(state)  # This may be where all stop.
      # If not, none of several can save alone.
      if int(state.step) and not agree.group():
        self._checkpoint.finish(state)
        self._log.progress.say(f'step {int(state.step)} is saved')
      raise
    finally:
      self._log.clock.add('data', batches.wait_secs - waited)

  def _enter(self, state):
    """Saves a state and stops if all processes stop before the next step."""
    try:
      agree.enter()
    except stop.Stopped:
      self._stop(state)

  def _settle(self, state):
    """Waits for a state, and until the rows of its steps are written."""
    jax.block_until_ready(state)
    self._log.flush()
    if self._log.writer:  # Rows up to a checkpoint are as safe as it is.
      self._log.writer.flush()

  def _handle(self, event, state):
    """Runs an event; a stop that it was asked for waits for the state."""
    self.phase(event.name)
    self._run.check_writer()
    try:
      with self._log.clock.section(event.name):
        event(state)
    except stop.Stopped:
      self._stop(state)
    if event is self._checkpoint:  # From where a restart may go on.
      self._ledger.flush()

  def _stop(self, state):
    self._settle(state)  # Before another process can end this one.
    self.phase('checkpoint')
    with self._log.clock.section('checkpoint'):
      self._checkpoint.finish(state)
    if self._batches and self._batches.unreadable:
      self._log.progress.say(f'step {int(state.step)} is saved')
      raise self._batches.unreadable
    raise stop.Stopped(f'stopped after step {int(state.step)}, which is saved')
