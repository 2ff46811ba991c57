"""One run in one directory: what stays the same while it trains."""

import dataclasses
import functools

import jax

from sagan_jax import data, errors, files
from sagan_jax.cluster import sharding
from sagan_jax.config import compatibility, schema
from sagan_jax.gan import build, sampling
from sagan_jax.gan import state as state_lib
from sagan_jax.run import agreement, checkpoint, directory
from sagan_jax.run import attention as attention_lib
from sagan_jax.run import labels as labels_lib


class Run:
  """A config with its directory; everything else is made when asked for.

  Open one by `Run.open`, which needs neither the data nor the devices that the
  run was trained with, or by `Run.for_training`.

  Attributes:
    workdir: `epath.Path` of the directory.
    config: the `Config`; its `num_classes` is known.
    trains: whether this process trains it; a reader may look on meanwhile.
    is_main: whether this is the process that writes the log and pictures.
  """

  def __init__(self, workdir, config, *, trains):
    self.workdir = workdir
    self.config = config
    self.trains = trains
    self.is_main = jax.process_index() == 0
    self._generators = {}

  @classmethod
  def open(cls, workdir, overrides=None):
    """Opens a run to look at it: to sample, to evaluate, to export.

    Args:
      workdir: of a run, a path or URL.
      overrides: {key: text} of config leaves that differ this time.

    Returns:
      A `Run`.

    Raises:
      UserError: if there is no run in the directory, or a value is refused.
    """
    workdir = files.as_path(workdir)
    path = workdir / directory.CONFIG
    if not path.exists():
      raise errors.UserError(
        f'there is no run in {workdir}: it has no {directory.CONFIG}; set '
        '--workdir to the directory of a run, or train one with --config'
      )
    return cls(workdir, schema.saved(path, overrides or {}), trains=False)

  @classmethod
  def for_training(cls, workdir, config, allow_changes=()):
    """Opens a directory to train in: a new one, or one with a run to go on.

    Until a run has saved its first state, its config may change freely.

    Args:
      workdir: a path or URL; made if need be.
      config: a `Config`, a ConfigDict or a nested dict.
      allow_changes: keys of the config that may differ from the saved ones;
        'dataset.name' allows other data too.

    Returns:
      A `Run`.

    Raises:
      UserError: if the config, the data or the directory do not fit.
    """
    if not isinstance(config, schema.Config):
      config = schema.read(config)
    run = cls(files.as_path(workdir), config, trains=True)
    directory.check_name(run.workdir)
    goes_on = directory.has_states(run.workdir)
    if goes_on:
      directory.check_same_config(run.workdir, config, allow_changes)
    run.config = schema.replace(
      config, num_classes=_num_classes(config, run.source)
    )
    agreement.check_data(run.source)
    compatibility.check(run.config, run.mesh.size, jax.process_count())
    if goes_on and 'dataset.name' not in allow_changes:
      directory.check_same_data(run.workdir, run.source)
    # Nothing is written before all that can be refused was looked at.
    with files.writing(run.workdir):
      (run.workdir / 'samples').mkdir(parents=True, exist_ok=True)
    return run

  @functools.cached_property
  def checkpointer(self):
    """The `Checkpointer` of the states that are saved."""
    return checkpoint.Checkpointer(
      self.workdir / directory.CHECKPOINTS,
      keep_last=self.config.checkpoint.keep_last,
      keep_every_steps=self.config.checkpoint.keep_every_steps,
      writes=self.trains,
      log=self._say,
    )

  @functools.cached_property
  def mesh(self):
    """The devices: those of the config to train, else those there are."""
    wanted = self.config.num_devices
    if not self.trains and wanted is not None:
      wanted = min(wanted, jax.device_count())
    return sharding.make_mesh(wanted)

  @functools.cached_property
  def source(self):
    """The `data.Source` that the config names."""
    c = self.config
    source = data.make_source(image_size=c.image_size, **vars(c.dataset))
    if c.num_classes == 1 and source.num_classes != 1:
      return data.unlabelled(source)
    return source

  @functools.cached_property
  def class_names(self):
    """A name for each label."""
    return directory.class_names(self.workdir, self.config.num_classes)

  @functools.cached_property
  def gan(self):
    """The `Gan`, on the mesh."""
    compatibility.check_model(self.config)  # The config may be changed.
    return build.build_gan(self.config, self.mesh)

  @functools.cached_property
  def sampler(self):
    """Makes images on the devices of this process; compiled once."""
    return self._sampler(self.config.eval.batch_size)

  @functools.cached_property
  def step_fn(self):
    """The training step, compiled once: a function of (state, batch)."""
    c = self.config
    lowered = build.lower_step(
      self.gan, self.mesh, self._shapes(), c.batch_size, c.image_size
    )
    agreement.check_program(lowered)
    return lowered.compile()

  def record(self):
    """Writes config and data to the directory."""
    if self.is_main:
      directory.record(self.workdir, self.config, self.source)

  def init(self):
    """A fresh `GanState`, replicated on the mesh."""
    init = jax.jit(
      functools.partial(state_lib.init_state, self.gan, self.config.image_size),
      out_shardings=sharding.replicated(self.mesh),
    )
    return init(self.config.seed)

  def restore(self, step=None):
    """The state of a checkpoint, replicated on the mesh.

    Args:
      step: of a checkpoint; 'best' for the best one scored; None for the last.

    Returns:
      A `GanState`.

    Raises:
      UserError: if there is no such checkpoint, or it is of another model.
    """
    checkpointer = self.checkpointer
    if step == 'best':
      if not (self.workdir / directory.BEST).exists():
        raise errors.UserError(
          f'{self.workdir / directory.BEST} holds no checkpoint: no evaluation '
          'has chosen one yet; set --step to a number, or to all'
        )
      checkpointer = self.best_checkpointer(writes=False)
      step = None
    steps = checkpointer.steps()
    if not steps:
      raise errors.UserError(
        f'{checkpointer.directory} holds no checkpoint yet; train first, or '
        'set --workdir'
      )
    if step is not None and step not in steps:
      raise errors.UserError(
        f'{self.workdir} has no checkpoint of step {step}, only of {steps}; '
        'set --step'
      )
    return checkpointer.restore(
      self._shapes(), steps[-1] if step is None else step
    )

  def best_checkpointer(self, *, writes):
    """The `Checkpointer` of the best state scored."""
    return checkpoint.Checkpointer(
      self.workdir / directory.BEST,
      keep_last=1,
      writes=writes,
      log=self._say,
    )

  def sample(self, labels, *, seed=0, step=None, weights='ema'):
    """Makes images by class.

    Image i is a function of the seed, i and its label.

    Args:
      labels: numbers or names of classes, one per image.
      seed: of the latents, >= 0.
      step: as in `restore`.
      weights: 'ema' or 'raw'.

    Returns:
      uint8 NumPy array [n, H, W, 3].

    Raises:
      UserError: if a label, the seed or the weights are none, or as `restore`.
    """
    numbers = labels_lib.numbers(labels, self.class_names)
    if weights not in ('ema', 'raw'):
      raise errors.UserError(f"weights={weights!r} must be 'ema' or 'raw'")
    if not isinstance(seed, int) or not 0 <= seed < 2**31:
      raise errors.UserError(f'seed={seed!r} must be an integer in [0, 2**31)')
    if step is None:
      step = max(self.checkpointer.steps(), default=None)
    if (step, weights) not in self._generators:
      params, stats = self.restore(step).generator_variables(weights)
      stats = self.sampler.standing_stats(
        params, stats, jax.random.key(0), self.config.eval.standing_batches
      )
      self._generators[step, weights] = sharding.localize(
        (params, stats), sharding.local_mesh(self.mesh)
      )
    params, stats = self._generators[step, weights]
    sampler = self._sampler(min(len(numbers), self.config.eval.batch_size))
    return sampler.generate(params, stats, jax.random.key(seed), numbers)

  def attention(self, labels, **options):
    """What both networks look at: `run.attention.views` of this run."""
    return attention_lib.views(self, labels, **options)

  def _say(self, text):
    if self.is_main:
      print(text, flush=True)

  def _sampler(self, batch_size):
    share = sharding.local_share(self.mesh, batch_size)
    local = sharding.local_mesh(self.mesh)
    placed = sharding.split_or_replicate(self.mesh, batch_size)
    return sampling.Sampler(
      dataclasses.replace(self.gan, batch_sharding=placed),
      batch_size,
      share,
      sharding.split_or_replicate(local, share),
    )

  def _shapes(self):
    """The state as ShapeDtypeStructs, replicated on the mesh."""
    whole = sharding.replicated(self.mesh)
    return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole),
      jax.eval_shape(
        functools.partial(
          state_lib.init_state, self.gan, self.config.image_size
        ),
        self.config.seed,
      ),
    )


def _num_classes(config, source):
  if config.num_classes not in (None, source.num_classes):
    raise errors.UserError(
      f'num_classes is {config.num_classes}, but {source.name} has '
      f'{source.num_classes}; set --config.num_classes={source.num_classes}, '
      'or 1 to train without labels'
    )
  return source.num_classes
