"""Trains a GAN.

Order within the loop, after step k was launched: wait for step k-1; write the
log row of step k-1 if one is due; then, if they are due at k, the checkpoint,
sample grids and an evaluation. Everything due at a step sees the state after
that step. A log row holds the metrics of its own step.
"""

import collections
import functools
import math
import time

import jax
import numpy as np

from sagan_jax.cluster import sharding
from sagan_jax.data import prefetch
from sagan_jax.gan import build
from sagan_jax.gan import state as state_lib
from sagan_jax.pictures import grids
from sagan_jax.run import log, scoreboard, signals

SECTIONS = ('data', 'eval', 'sample', 'checkpoint')

# Of a process that was asked to stop (SIGTERM or Ctrl-C), has saved, and goes
# on where it was when the same command is run again (EX_TEMPFAIL).
EXIT_INTERRUPTED = 75


class Interrupted(Exception):
  """The run was asked to stop, and its state is saved."""


class NonFiniteLossError(RuntimeError):
  """A loss is NaN or infinite."""


class Trainer:
  """Drives one `experiment.Experiment` from its last checkpoint to its end.

  Raises:
    ValueError: if the checkpoint is of another model, or a package that the
      config asks for is not there.
  """

  def __init__(self, experiment):
    self.run = run = experiment
    c = run.config
    self._state = run.restore()
    run.save_config()
    start = int(self._state.step)
    self._writer = None
    if run.is_main:
      self._writer = log.Writer(
        run.workdir, start, tensorboard=c.log.tensorboard
      )
    self._progress = log.Progress(c.num_steps, start, show=run.is_main)
    self._evaluations = None
    if c.eval.every_steps is not None:
      self._evaluations = scoreboard.Scoreboard(run, start, self._say)
    self._clock = log.Clock()
    self._pending = collections.deque()  # (step, metrics) not yet looked at
    self._interrupted = False

  def train(self):
    """Trains to the last step; to be called once.

    Returns:
      The final `GanState`.

    Raises:
      Interrupted: after SIGTERM or Ctrl-C, when the state is saved.
      NonFiniteLossError: naming the step and the loss; nothing is saved.
      RuntimeError: if a checkpoint cannot be written.
    """
    run, c = self.run, self.run.config
    state, self._state = self._state, None  # The first step donates it.
    start = int(state.step)
    self._announce(state)
    try:
      if start:
        self._catch_up(state)
      if start < c.num_steps:
        state = self._train_from(state)
      else:
        self._say(f'nothing to do: {start} of {c.num_steps} steps done')
    finally:
      self._progress.close()
      if self._writer:
        self._writer.close()
      # However the loop ended, what is being saved is worth the wait; an
      # open checkpointer fails noisily when the process ends.
      run.checkpointer.close()
    return state

  def _train_from(self, state):
    """Compiles the step, then loops."""
    run, c = self.run, self.run.config
    put = functools.partial(
      sharding.put_batch, sharding=sharding.split_batch(run.mesh, axis=1)
    )
    batches = prefetch.Prefetcher(
      build.host_batches(run.source, c, int(state.step)), put, depth=c.prefetch
    )
    with batches:  # The first ones are made while the step is compiled.
      self._say('compiling the step ...')
      began = time.perf_counter()
      step_fn = build.compile_step(
        run.gan, run.mesh, state, c.batch_size, c.image_size
      )
      self._say(_compiled(step_fn, time.perf_counter() - began))
      with signals.on_first_signal(self._interrupt):
        return self._loop(step_fn, state, batches)

  def _loop(self, step_fn, state, batches):
    c = self.run.config
    self._clock = log.Clock()
    self._interval = (time.perf_counter(), 0.0, int(state.step))
    waited = batches.wait_secs
    for step in range(int(state.step) + 1, c.num_steps + 1):
      batch = next(batches)
      self._clock.add('data', batches.wait_secs - waited)
      waited = batches.wait_secs
      previous = self._pending[-1][1] if self._pending else None
      state, metrics = step_fn(state, batch)
      # Two steps in flight keep a device busy; more would only hold memory.
      jax.block_until_ready(previous)
      if self._pending and is_due(self._pending[-1][0], c.log.every_steps):
        self._log()
      self._pending.append((step, metrics))
      self._progress.step()

      last = step == c.num_steps
      stop = self._interrupted and not last
      if last or stop or is_due(step, c.checkpoint.every_steps):
        self._save(state, wait=last or stop)
      if stop:
        raise Interrupted(f'stopped after step {step}, which is saved')
      if self._is_due_after(step, c.sample.every_steps):
        self._sample(state, step)
      if self._evaluations and self._is_due_after(step, c.eval.every_steps):
        self._evaluate(state, step)
    return state

  def _is_due_after(self, step, every_steps):
    return step == self.run.config.num_steps or is_due(step, every_steps)

  def _catch_up(self, state):
    """Does what a process that ended right after its last save left undone."""
    c, step = self.run.config, int(state.step)
    if self._is_due_after(step, c.sample.every_steps):
      if not all(self._grid(step, name).exists() for name in ('raw', 'ema')):
        self._sample(state, step)
    if self._evaluations and self._is_due_after(step, c.eval.every_steps):
      if not self._evaluations.has(step):
        self._evaluate(state, step)

  def _grid(self, step, name):
    return self.run.workdir / 'samples' / f'{step:08d}_{name}.png'

  def _interrupt(self):
    self._interrupted = True

  def _say(self, text):
    self._progress.say(text)

  def _announce(self, state):
    run = self.run
    networks = {
      'generator': state.generator,
      'discriminator': state.discriminator,
    }
    tables = {
      name: (net.params, net.stats['spectral'])
      for name, net in networks.items()
    }
    lines = [
      *log.parameter_table(tables),
      f'data: {run.source.name}, {run.source.num_examples:,} images, '
      f'{run.source.num_classes} classes',
      f'mesh: {run.mesh.size} x {run.mesh.devices.flat[0].device_kind}, '
      f'{jax.process_count()} processes; workdir: {run.workdir}',
    ]
    if int(state.step):
      lines.append(f'resuming after step {int(state.step)}')
    for line in lines:
      self._say(line)

  def _log(self):
    """Looks at all pending metrics; writes a row if one is due for the last."""
    pending = jax.device_get(list(self._pending))
    self._pending.clear()
    for step, metrics in pending:
      for name in ('d_loss', 'g_loss'):
        if not np.isfinite(metrics[name]):
          raise NonFiniteLossError(
            f'{name} is {metrics[name]} at step {step}; {self._advice()}'
          )
    self.run.checkpointer.check()
    every_steps = self.run.config.log.every_steps
    if not pending or not is_due(pending[-1][0], every_steps):
      return
    step, metrics = pending[-1]
    scalars = {f'train/{k}': float(v) for k, v in metrics.items()}
    scalars |= self._rates(step)
    shares = self._clock.shares(SECTIONS)
    scalars |= {f'perf/{k}_share': v for k, v in shares.items()}
    if self._writer:
      self._writer.write(step, scalars)
    self._progress.report(step, scalars, shares)

  def _advice(self):
    good = max(self.run.checkpointer.steps(), default=0)
    return (
      f'the last good checkpoint is of step {good}. Lower '
      '--config.optim.*.learning_rate, or set --config.dtype=float32'
    )

  def _rates(self, step):
    """Speed since the last row: images of the batch, and time left."""
    now, other = time.perf_counter(), self._clock.other_secs()
    since, other_then, step_then = self._interval
    self._interval = (now, other, step)
    steps = step - step_then
    secs = (now - since) - (other - other_then)  # Of stepping alone.
    left = self.run.config.num_steps - step
    return {
      'perf/images_per_sec': steps * self.run.config.batch_size / secs,
      'perf/eta_secs': (now - since) / steps * left,
    }

  def _save(self, state, wait):
    """Saves a state that is finite, as its losses up to now are."""
    jax.block_until_ready(state)
    self._log()
    # A finite loss may still have sent the weights beyond float32.
    if not state_lib.all_finite(state):
      raise NonFiniteLossError(
        f'the update of step {int(state.step)} left weights that are not '
        f'finite; {self._advice()}'
      )
    with self._clock.section('checkpoint'):
      self.run.checkpointer.save(state)
      if wait:
        self.run.checkpointer.wait()

  def _sample(self, state, step):
    """Writes grids of fixed latents, of the raw and the averaged weights."""
    c = self.run.config
    jax.block_until_ready(state)
    with self._clock.section('sample'):
      mesh = sharding.local_mesh(self.run.mesh)
      sampler = self.run.sampler
      key = jax.random.key(c.seed)
      shown = min(c.num_classes, c.sample.max_classes)
      classes = np.linspace(0, c.num_classes - 1, shown).round()
      labels = np.repeat(classes, c.sample.images_per_class)
      for name in 'raw', 'ema':
        params, stats = sharding.localize(state.generator_variables(name), mesh)
        stats = sampler.standing_stats(
          params, stats, key, c.sample.standing_batches
        )
        images = sampler.generate(params, stats, key, labels)
        if self._writer:
          sheet = grids.grid(images, c.sample.images_per_class)
          grids.save_png(self._grid(step, name), sheet)
          self._writer.write_image(step, f'samples/{name}', sheet)

  def _evaluate(self, state, step):
    """Scores the state, unless evaluations have had their share of the time."""
    jax.block_until_ready(state)
    self._log()  # Lest its row come after that of the scores.
    share = self._clock.shares(['eval'])['eval']
    allowed = self.run.config.eval.max_time_share
    if share > allowed:
      self._say(
        f'step {step}: no evaluation, they have had {share:.1%} of the time '
        f'({allowed:.1%} are allowed by --config.eval.max_time_share)'
      )
      return
    with self._clock.section('eval'):
      scalars = self._evaluations.of_state(state)
    if self._writer and scalars:
      self._writer.write(step, scalars)


def is_due(step, every_steps):
  """Whether an event of a cadence falls on a finished step."""
  return step % every_steps == 0


def _compiled(step_fn, secs):
  """Says how long compiling took and what a device needs."""
  gflop = step_fn.cost_analysis().get('flops', math.nan) / 1e9
  return (
    f'compiled in {secs:.0f}s: {gflop:.1f} GFLOP a step and '
    f'{build.step_bytes(step_fn) / 2**20:.0f} MiB, on each device'
  )
