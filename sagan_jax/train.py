"""Trains a GAN: builds what the config asks for, then loops.

Order within the loop, after step k was launched: wait for step k-1; write the
log row of step k-1 if one is due; then, if they are due at k, sample grids and
the checkpoint. Everything due at a step sees the state after that step.
"""

import collections
import functools
import math
import pathlib
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from sagan_jax import checkpoint, data, log, losses, sampling, sharding
from sagan_jax import config as config_lib
from sagan_jax import state as state_lib
from sagan_jax import step as step_lib
from sagan_jax.data import prefetch
from sagan_jax.models import discriminator, generator

SECTIONS = ('data', 'sample', 'checkpoint')

# Of a process that was asked to stop (SIGTERM or Ctrl-C), has saved, and goes
# on where it was when the same command is run again (EX_TEMPFAIL).
EXIT_INTERRUPTED = 75


class Interrupted(Exception):
  """The run was asked to stop, and its state is saved."""


class NonFiniteLossError(RuntimeError):
  """A loss is NaN or infinite."""


def build_gan(c, mesh):
  """Makes the `Gan` of a `Config` whose `num_classes` is known."""
  shared = {
    'image_size': c.image_size,
    'num_classes': c.num_classes,
    'attention_formula': c.attention_formula,
    'resample': c.resample,
    'spectral_gradient': c.spectral_gradient,
    'dtype': jnp.dtype(c.dtype),
  }
  return state_lib.Gan(
    generator=generator.Generator(**shared, **vars(c.generator)),
    discriminator=discriminator.Discriminator(
      **shared, **vars(c.discriminator)
    ),
    g_tx=optax.adam(**vars(c.optim.generator)),
    d_tx=optax.adam(**vars(c.optim.discriminator)),
    loss=losses.LOSSES[c.loss],
    num_classes=c.num_classes,
    latent_dim=c.latent_dim,
    n_dis=c.n_dis,
    num_microbatches=c.num_microbatches,
    ema_decay=c.ema.decay,
    ema_start_step=c.ema.start_step,
    batch_sharding=sharding.split_batch(mesh),
    unroll=mesh.devices.flat[0].platform == 'cpu',
  )


def compile_step(gan, mesh, state, batch_size, image_size):
  """Compiles `train_step` ahead of time; the state is donated.

  Args:
    gan: a `Gan`.
    mesh: that it runs on.
    state: a `GanState`, or its shapes.
    batch_size: images an update, over all devices.
    image_size: H = W.

  Returns:
    The compiled function of (state, batch).
  """
  whole = sharding.replicated(mesh)
  batch = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(
      (gan.n_dis, batch_size, *x.shape),
      x.dtype,
      sharding=sharding.split_batch(mesh, axis=1),
    ),
    {
      'image': jax.ShapeDtypeStruct((image_size, image_size, 3), jnp.uint8),
      'label': jax.ShapeDtypeStruct((), jnp.int32),
    },
  )
  step = jax.jit(
    functools.partial(step_lib.train_step, gan),
    donate_argnums=0,
    out_shardings=(whole, whole),
  )
  return step.lower(state, batch).compile()


def step_bytes(step_fn):
  """Bytes that a compiled step needs on a device, state and batch included."""
  memory = step_fn.memory_analysis()
  return (
    memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    + memory.temp_size_in_bytes
    - memory.alias_size_in_bytes
  )


def host_batches(source, c, start_step):
  """Yields the batches of steps start_step, ... as this process holds them.

  Returns:
    An iterator of {'image': uint8 [n_dis, b, H, W, 3], 'label': int32
    [n_dis, b]}, b being this process's part of the batch.
  """
  batches = source.batches(
    seed=c.seed,
    batch_size=c.batch_size,
    start=start_step * c.n_dis,
    process_index=jax.process_index(),
    process_count=jax.process_count(),
  )
  while True:
    group = [next(batches) for _ in range(c.n_dis)]
    yield jax.tree.map(lambda *x: np.stack(x), *group)


class Run:
  """One training run in one directory.

  Args:
    config: a ConfigDict, a nested dict or a `Config`.
    workdir: where the run lives; running it again resumes it.
    allow_changes: keys of the config that may differ from the saved ones.

  Raises:
    ValueError: if the config, the data or the directory do not fit.
  """

  def __init__(self, config, workdir, allow_changes=()):
    c = config_lib.resolve(config)
    self.mesh = sharding.make_mesh(c.num_devices)
    self.source = data.make_source(image_size=c.image_size, **vars(c.dataset))
    c.num_classes = _num_classes(c, self.source)
    config_lib.check(c, self.mesh.size, jax.process_count())
    self.config = c
    self.is_main = jax.process_index() == 0
    self.workdir = _open_workdir(workdir, c, allow_changes, self.is_main)
    self.gan = build_gan(c, self.mesh)
    self.checkpointer = checkpoint.Checkpointer(
      self.workdir / 'checkpoints',
      keep_last=c.checkpoint.keep_last,
      keep_every_steps=c.checkpoint.keep_every_steps,
    )
    self.clock = log.Clock()
    self._pending = collections.deque()  # (step, metrics) not yet looked at
    self._interrupted = False

  def train(self):
    """Trains to the last step.

    Returns:
      The final `GanState`.

    Raises:
      Interrupted: after SIGTERM or Ctrl-C, when the state is saved.
      NonFiniteLossError: naming the step and the loss; nothing is saved.
      RuntimeError: if a checkpoint cannot be written.
    """
    c = self.config
    state = self._init_or_restore()
    start = int(state.step)
    self.progress = log.Progress(c.num_steps, start, show=self.is_main)
    self._announce(state)
    if start >= c.num_steps:
      self.progress.say(f'nothing to do: {start} of {c.num_steps} steps done')
      self.checkpointer.close()
      return state
    self.writer = None
    if self.is_main:
      self.writer = log.Writer(
        self.workdir, start, tensorboard=c.log.tensorboard
      )
    self.sampler = sampling.Sampler(
      self.gan, max(self.mesh.size, _round_down(c.batch_size, self.mesh.size))
    )
    self.progress.say('compiling the step ...')
    began = time.perf_counter()
    step_fn = compile_step(
      self.gan, self.mesh, state, c.batch_size, c.image_size
    )
    self.progress.say(_compiled(step_fn, time.perf_counter() - began))
    put = functools.partial(
      sharding.put_batch, sharding=sharding.split_batch(self.mesh, axis=1)
    )
    batches = prefetch.Prefetcher(
      host_batches(self.source, c, start), put, depth=c.prefetch
    )
    try:
      with batches, _on_signal(self._interrupt):
        state = self._loop(step_fn, state, batches)
    finally:
      self.progress.close()
      if self.writer:
        self.writer.close()
    self.checkpointer.close()
    return state

  def _loop(self, step_fn, state, batches):
    c = self.config
    self.clock = log.Clock()
    self._interval = (time.perf_counter(), 0.0, int(state.step))
    waited = batches.wait_secs
    for step in range(int(state.step) + 1, c.num_steps + 1):
      batch = next(batches)
      self.clock.add('data', batches.wait_secs - waited)
      waited = batches.wait_secs
      previous = self._pending[-1][1] if self._pending else None
      state, metrics = step_fn(state, batch)
      # Two steps in flight keep a device busy; more would only hold memory.
      jax.block_until_ready(previous)
      if self._pending and is_due(self._pending[-1][0], c.log.every_steps):
        self._log()
      self._pending.append((step, metrics))
      self.progress.step()

      last = step == c.num_steps
      if last or self._interrupted or is_due(step, c.checkpoint.every_steps):
        self._save(state, wait=last or self._interrupted)
      if last or is_due(step, c.sample.every_steps):
        self._sample(state, step)
      if self._interrupted and not last:
        raise Interrupted(f'stopped after step {step}, which is saved')
    return state

  def _interrupt(self):
    self._interrupted = True

  def _init_or_restore(self):
    """A fresh state, born replicated on the mesh, or the last one saved."""
    c = self.config
    whole = sharding.replicated(self.mesh)
    init = jax.jit(
      functools.partial(state_lib.init_state, self.gan, c.image_size),
      out_shardings=whole,
    )
    steps = self.checkpointer.steps()
    if not steps:
      return init(c.seed)
    target = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole),
      jax.eval_shape(init, c.seed),
    )
    return self.checkpointer.restore(target, steps[-1])

  def _announce(self, state):
    networks = {
      name: (net.params, net.stats['spectral'])
      for name, net in (
        ('generator', state.generator),
        ('discriminator', state.discriminator),
      )
    }
    device = self.mesh.devices.flat[0]
    lines = [
      *log.parameter_table(networks),
      f'data: {self.source.name}, {self.source.num_examples:,} images, '
      f'{self.source.num_classes} classes',
      f'mesh: {self.mesh.size} x {device.device_kind}, '
      f'{jax.process_count()} processes; workdir: {self.workdir}',
    ]
    if int(state.step):
      lines.append(f'resuming after step {int(state.step)}')
    for line in lines:
      self.progress.say(line)

  def _log(self):
    """Looks at all pending metrics; writes a row for the last of them."""
    pending = jax.device_get(list(self._pending))
    self._pending.clear()
    for step, metrics in pending:
      for name in ('d_loss', 'g_loss'):
        if not np.isfinite(metrics[name]):
          raise NonFiniteLossError(
            f'{name} is {metrics[name]} at step {step}; the last good '
            f'checkpoint is of step {max(self.checkpointer.steps(), default=0)}'
            '. Lower --config.optim.*.learning_rate, or set '
            '--config.dtype=float32'
          )
    self.checkpointer.check()
    step, metrics = pending[-1]
    if not (is_due(step, self.config.log.every_steps)):
      return
    now, other = time.perf_counter(), self.clock.other_secs()
    since, other_then, step_then = self._interval
    self._interval = (now, other, step)
    # Images of real data that the discriminator saw, per second of stepping.
    images = (step - step_then) * self.config.batch_size * self.config.n_dis
    secs = (now - since) - (other - other_then)
    left = self.config.num_steps - step
    scalars = {f'train/{k}': float(v) for k, v in metrics.items()}
    scalars['perf/images_per_sec'] = images / secs
    scalars['perf/eta_secs'] = (now - since) / (step - step_then) * left
    shares = self.clock.shares(SECTIONS)
    scalars |= {f'perf/{k}_share': v for k, v in shares.items()}
    if self.writer:
      self.writer.write(step, scalars)
    self.progress.report(step, scalars, shares)

  def _save(self, state, wait):
    """Saves a state whose losses, up to now, are finite."""
    jax.block_until_ready(state)
    self._log()
    with self.clock.section('checkpoint'):
      self.checkpointer.save(state)
      if wait:
        self.checkpointer.wait()

  def _sample(self, state, step):
    """Writes grids of fixed latents, of the raw and the averaged weights."""
    c = self.config
    jax.block_until_ready(state)
    with self.clock.section('sample'):
      g = state.generator
      key = jax.random.key(c.seed)
      shown = min(c.num_classes, c.sample.max_classes)
      classes = np.linspace(0, c.num_classes - 1, shown).round()
      labels = np.repeat(classes, c.sample.images_per_class)
      for name, params in ('raw', g.params), ('ema', state.ema_params):
        stats = self.sampler.standing_stats(
          params, g.stats, key, c.sample.standing_batches
        )
        images = self.sampler.generate(params, stats, key, labels)
        if self.writer:
          sheet = sampling.grid(images, c.sample.images_per_class)
          path = self.workdir / 'samples' / f'{step:08d}_{name}.png'
          sampling.save_png(path, sheet)
          self.writer.write_image(step, f'samples/{name}', sheet)


def is_due(step, every_steps):
  """Whether an event of a cadence falls on a finished step."""
  return step % every_steps == 0


def _round_down(value, multiple):
  return value // multiple * multiple


def _num_classes(c, source):
  if c.num_classes not in (None, source.num_classes):
    raise ValueError(
      f'num_classes is {c.num_classes}, but {source.name} has '
      f'{source.num_classes}; unset --config.num_classes to follow the data'
    )
  return source.num_classes


def _open_workdir(workdir, c, allow_changes, is_main):
  """Makes the directory, or checks that it is of the same run."""
  workdir = pathlib.Path(workdir).expanduser().absolute()
  saved = workdir / 'config.json'
  if saved.exists():
    changed = config_lib.differences(config_lib.load(saved), c)
    for key in allow_changes:
      changed.pop(key, None)
    if changed:
      raise ValueError(
        f'{workdir} holds a run with another config:\n  '
        + '\n  '.join(changed.values())
        + '\nuse another --workdir, or allow the changes with '
        f'--allow_changes={",".join(changed)}'
      )
  if is_main:
    try:
      (workdir / 'samples').mkdir(parents=True, exist_ok=True)
      config_lib.save(c, saved)
    except OSError as e:
      raise ValueError(
        f'cannot write to --workdir={workdir}: {e.strerror}'
      ) from e
  return workdir


def _compiled(step_fn, secs):
  """Says how long compiling took and what a device needs."""
  gflop = step_fn.cost_analysis().get('flops', math.nan) / 1e9
  return (
    f'compiled in {secs:.0f}s: {gflop:.1f} GFLOP a step and '
    f'{step_bytes(step_fn) / 2**20:.0f} MiB, on each device'
  )


class _on_signal:  # noqa: N801 - reads as a phrase where it is used.
  """Calls a function at the first SIGTERM or Ctrl-C; a second one kills."""

  def __init__(self, callback):
    self._callback = callback
    self._before = {}

  def __enter__(self):
    for number in (signal.SIGTERM, signal.SIGINT):
      self._before[number] = signal.signal(number, self._handle)

  def _handle(self, number, frame):
    del number, frame
    for each in self._before:
      signal.signal(each, signal.SIG_DFL)
    self._callback()

  def __exit__(self, *error):
    for number, handler in self._before.items():
      signal.signal(number, handler)
