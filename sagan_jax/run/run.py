"""One run in one directory: what stays the same while it trains."""

import functools

import jax

from sagan_jax import data, errors, files
from sagan_jax.checkpoints import checkpoint
from sagan_jax.cluster import sharding
from sagan_jax.config import compatibility, schema
from sagan_jax.gan import build, chunks, sampling
from sagan_jax.gan import state as state_lib
from sagan_jax.run import agreement, directory, initial
from sagan_jax.run import attention as attention_lib
from sagan_jax.run import generator as generator_lib
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
    check_writer: as `lease.Lease.check`.
  """

  def __init__(self, workdir, config, *, trains):
    self.workdir = workdir
    self.config = config
    self.trains = trains
    self.is_main = jax.process_index() == 0
    self.check_writer = lambda: None
    self._generators = {}
    self._origin = None

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
  def for_training(cls, workdir, config, allow_changes=(), lease=None):
    """Opens a directory to train in: a new one, or one with a run to go on.

    Until a run has saved its first state, its config may change freely.

    Args:
      workdir: a path or URL; made if need be.
      config: a `Config`, a ConfigDict or a nested dict.
      allow_changes: keys of the config that may differ from the saved ones;
        'dataset.name' allows other data too.
      lease: a `Lease` to take when nothing is left to be refused.

    Raises:
      UserError: if the config, the data or the directory do not fit.
    """
    if not isinstance(config, schema.Config):
      config = schema.read(config)
    run = cls(files.as_path(workdir), config, trains=True)
    goes_on = directory.check_config(run.workdir, config, allow_changes)
    num_classes = compatibility.num_classes(config, run.source)
    run.config = schema.replace(config, num_classes=num_classes)
    agreement.check_data(run.source)
    compatibility.check(run.config, run.mesh.size, jax.process_count())
    if goes_on and 'dataset.name' not in allow_changes:
      directory.check_same_data(run.workdir, run.source)
    # Nothing is written before all that can be refused was looked at.
    directory.make(run.workdir)
    if lease:
      lease.take()
      run.check_writer = lease.check
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
    return sampling.on_mesh(self.gan, self.mesh, self.config.eval.batch_size)

  @functools.cached_property
  def chunk_sampler(self):
    """Makes images that depend on neither batches nor devices."""
    return chunks.ChunkSampler(self.gan, sharding.local_mesh(self.mesh))

  @functools.cached_property
  def shapes(self):
    """What `Checkpointer.restore` is asked for."""
    return build.state_shapes(self.gan, self.mesh, self.config.image_size)

  @functools.cached_property
  def step_fn(self):
    """The training step, compiled once: a function of (state, batch)."""
    c = self.config
    lowered = build.lower_step(
      self.gan, self.mesh, self.shapes, c.batch_size, c.image_size
    )
    agreement.check_program(lowered)
    return lowered.compile()

  def record(self):
    """Writes config and data to the directory."""
    if self.is_main:
      facts = directory.facts_of(self.source)
      directory.record(self.workdir, self.config, facts, self._origin)

  def init(self):
    """A fresh `GanState`, replicated on the mesh.

    Raises:
      UserError: if `config.init` names weights that do not fit.
    """
    c = self.config
    given = initial.Initial(self, self._say) if c.init.weights else None
    self._origin = given.origin if given else {}
    init = jax.jit(
      functools.partial(state_lib.init_state, self.gan, c.image_size),
      out_shardings=sharding.replicated(self.mesh),
    )
    state = init(c.seed)
    return given.state(state) if given else state

  def restore(self, step=None):
    """The state of a checkpoint, replicated on the mesh.

    Args:
      step: of a checkpoint; 'best' for the best one scored; None for the last
        that is not damaged.

    Returns:
      A `GanState`.

    Raises:
      UserError: if there is no such checkpoint, or it is of another model.
    """
    checkpointer, step = self._checkpoint(step)
    if step is None:
      return checkpointer.restore_newest(self.shapes)
    return checkpointer.restore(self.shapes, step)

  def best_checkpointer(self, *, writes):
    """The `Checkpointer` of the best state scored."""
    return checkpoint.Checkpointer(
      self.workdir / directory.BEST,
      keep_last=1,
      writes=writes,
      log=self._say,
    )

  def generator(self, *, step=None, weights='ema', statistics='standing'):
    """A trained generator; the last ones asked for are kept.

    Args:
      step: as in `restore`.
      weights: 'ema' or 'raw'.
      statistics: of the batch norms: 'standing' ones of these weights,
        'running' averages of the training, or those of each 'batch' of images.

    Returns:
      A `run.generator.Generator`.

    Raises:
      UserError: if there are no such weights or statistics, or as `restore`.
    """
    generator_lib.check(weights, statistics)
    last = self.checkpointer.last_step()  # One may be added; and best change.
    which = last if step is None else step, last, weights, statistics
    if which not in self._generators:
      self._generators[which] = generator_lib.of_state(
        self.chunk_sampler,
        self.restore(step),
        self.config,
        self.mesh,
        weights,
        statistics,
      )
    return self._generators[which]

  def sample(
    self,
    labels,
    *,
    seed=0,
    step=None,
    weights='ema',
    statistics='standing',
    truncation=None,
    index=None,
  ):
    """Makes images by class.

    Image i is a function of the seed, its number and its label: the same bytes
    however many are made, on any number of devices.

    Args:
      labels: numbers or names of classes, one per image; or float [n,
        num_classes], shares of the classes in each image.
      seed: of the latents, >= 0.
      step: as in `restore`.
      weights: as in `generator`.
      statistics: as in `generator`.
      truncation: deviations at which the distribution of the latents is cut;
        None cuts nowhere.
      index: numbers of the images, in [0, 2**32); None for 0, 1, ...

    Returns:
      uint8 NumPy array [n, H, W, 3].

    Raises:
      UserError: if an argument is not allowed, or as `generator`.
    """
    labels = labels_lib.numbers_or_shares(labels, self.class_names)
    made = self.generator(step=step, weights=weights, statistics=statistics)
    return made.sample(labels, seed=seed, truncation=truncation, index=index)

  def _checkpoint(self, step):
    """The `Checkpointer` of a step, and its number; None is the newest good."""
    if step == 'best':
      if not (self.workdir / directory.BEST).exists():
        raise errors.UserError(
          f'{self.workdir / directory.BEST} holds no checkpoint: no evaluation '
          'has chosen one yet; set --step to a number'
        )
      return self.best_checkpointer(writes=False), None
    steps = self.checkpointer.steps()
    if step is not None and step not in steps:
      raise errors.UserError(
        f'{self.workdir} has no checkpoint of step {step}, only of {steps}; '
        'set --step'
      )
    return self.checkpointer, step

  def attention(self, labels, **options):
    """What both networks look at: `run.attention.views` of this run."""
    return attention_lib.views(self, labels, **options)

  def _say(self, text):
    if self.is_main:
      print(text, flush=True)
