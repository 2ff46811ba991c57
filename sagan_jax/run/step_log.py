"""The metrics of steps: looked at one step late, written when they are due."""

import collections
import time

import jax
import numpy as np

from sagan_jax.run import nonfinite

SECTIONS = ('data', 'eval', 'sample', 'checkpoint')


class StepLog:
  """Holds the metrics of steps in flight, and writes those that are due.

  Attributes are its arguments.

  Args:
    run: a `run.Run`.
    writer: a `log.Writer`, or None on processes that write nothing.
    progress: a `log.Progress`.
    clock: a `log.Clock`.
  """

  def __init__(self, run, writer, progress, clock):
    self.writer = writer
    self.progress = progress
    self.clock = clock
    self._run = run
    self._pending = collections.deque()  # (step, metrics) not yet looked at
    self._interval = (0.0, 0.0, 0)  # When, other work until then, step.
    self._began = (0.0, 0)  # When, step.
    write = writer.write if writer else lambda *_: None
    self._skips = nonfinite.Skips(
      run.config.max_nonfinite, write, progress.say, self.advice
    )

  def begin(self, step):
    """Starts to measure speed and to show progress, after a step."""
    self.clock.restart()
    self.progress.begin()
    self._interval = (time.perf_counter(), 0.0, step)
    self._began = (time.perf_counter(), step)

  def add(self, step, metrics):
    """Takes the metrics of a step that was just launched.

    Waits for the step before it: two in flight keep a device busy, more would
    only hold memory. The row of that one is written if it is due.
    """
    if self._pending:
      before, values = self._pending[-1]
      jax.block_until_ready(values)
      if before % self._run.config.log.every_steps == 0:
        self.flush()
    self._pending.append((step, metrics))

  def flush(self):
    """Looks at all metrics there are; writes a row if one is due for the last.

    Raises:
      NotFinite: if a loss is not, and such updates are not left out.
      UserError: if too many updates were, or a save in the background failed.
    """
    pending = jax.device_get(list(self._pending))
    self._pending.clear()
    row = None
    for step, metrics in pending:
      row = None if self._is_skipped(step, metrics) else (step, metrics)
    self._run.checkpointer.check()
    if row and row[0] % self._run.config.log.every_steps == 0:
      self._write(*row)

  def _is_skipped(self, step, metrics):
    """Whether a step has left out an update; its metrics are of no use."""
    if 'd_skipped' in metrics:
      d_skipped, g_skipped = metrics.pop('d_skipped'), metrics.pop('g_skipped')
      return self._skips.look(step, float(d_skipped), float(g_skipped))
    for name in ('d_loss', 'g_loss'):
      if not np.isfinite(metrics[name]):
        raise nonfinite.NotFinite(
          step, f'{name} is {metrics[name]} at step {step}; {self.advice()}'
        )
    return False

  def advice(self):
    """What to do about numbers that are not finite."""
    self._run.checkpointer.wait()  # One may be on its way.
    good = max(self._run.checkpointer.steps(), default=None)
    where = 'no state is saved yet'
    if good is not None:
      where = f'the last good checkpoint is of step {good}'
    advice = f'{where}. Lower --config.optim.*.learning_rate'
    if self._run.config.dtype != 'float32':
      advice += ', or set --config.dtype=float32'
    return advice

  def _write(self, step, metrics):
    scalars = {f'train/{k}': float(v) for k, v in metrics.items()}
    scalars |= self._rates(step)
    shares = self.clock.shares(SECTIONS)
    scalars |= {f'perf/{k}_share': v for k, v in shares.items()}
    if self.writer:
      self.writer.write(step, scalars)
    self.progress.report(step, scalars, shares)

  def _rates(self, step):
    """Speed since the last row: images of the batch, and time left."""
    now, other = time.perf_counter(), self.clock.other_secs()
    since, other_then, step_then = self._interval
    self._interval = (now, other, step)
    steps = step - step_then
    secs = (now - since) - (other - other_then)  # Of stepping alone.
    began, first = self._began  # An interval may have no evaluation, or one.
    left = self._run.config.num_steps - step
    return {
      'perf/images_per_sec': steps * self._run.config.batch_size / secs,
      'perf/eta_secs': (now - began) / (step - first) * left,
    }
