"""One run in one directory: what stays the same while it trains."""

import contextlib
import dataclasses
import functools
import pathlib

import jax

from sagan_jax import data
from sagan_jax.cluster import sharding
from sagan_jax.config import compatibility
from sagan_jax.config import schema as config_lib
from sagan_jax.gan import build, sampling
from sagan_jax.gan import state as state_lib
from sagan_jax.run import checkpoint


class Experiment:
  """A checked config with its mesh, data, networks and checkpoints.

  Args:
    config: a ConfigDict or nested dict; None to read that of the directory.
    workdir: where the run lives; opening it again resumes it.
    allow_changes: keys of the config that may differ from the saved ones.
    trains: whether it will save checkpoints; a reader may look on meanwhile.

  Raises:
    ValueError: if the config, the data or the directory do not fit.
  """

  def __init__(self, config, workdir, allow_changes=(), trains=True):
    workdir = pathlib.Path(workdir).expanduser().absolute()
    c = config_lib.resolve(_saved_config(workdir) if config is None else config)
    self.mesh = sharding.make_mesh(c.num_devices)
    self.source = data.make_source(image_size=c.image_size, **vars(c.dataset))
    c.num_classes = _num_classes(c, self.source)
    compatibility.check(c, self.mesh.size, jax.process_count())
    self.config = c
    self.workdir = workdir
    self.is_main = jax.process_index() == 0
    _check_same_run(workdir, c, allow_changes)
    with _writing_to(workdir):
      (workdir / 'samples').mkdir(parents=True, exist_ok=True)
    self.gan = build.build_gan(c, self.mesh)
    self.checkpointer = checkpoint.Checkpointer(
      workdir / 'checkpoints',
      keep_last=c.checkpoint.keep_last,
      keep_every_steps=c.checkpoint.keep_every_steps,
      writes=trains,
    )

  def save_config(self):
    """Writes the config to the directory, whose run is from now on this one."""
    if self.is_main:
      with _writing_to(self.workdir):
        config_lib.save(self.config, self.workdir / 'config.json')

  @functools.cached_property
  def sampler(self):
    """Makes images on the devices of this process; compiled once."""
    mesh, size = sharding.local_mesh(self.mesh), self.config.eval.batch_size
    place = sharding.split_or_replicate(mesh, size)
    return sampling.Sampler(
      dataclasses.replace(self.gan, batch_sharding=place), size
    )

  def restore(self, step=None):
    """The state of a step, or of the last one saved.

    Args:
      step: of a checkpoint; None for the last, or a fresh state if none is.

    Returns:
      A `GanState`, replicated on the mesh.

    Raises:
      ValueError: if there is no checkpoint of the step, or it is of another
        model.
    """
    whole = sharding.replicated(self.mesh)
    init = jax.jit(
      functools.partial(state_lib.init_state, self.gan, self.config.image_size),
      out_shardings=whole,
    )
    steps = self.checkpointer.steps()
    if step is None and not steps:
      return init(self.config.seed)
    if step is not None and step not in steps:
      raise ValueError(
        f'{self.workdir} has no checkpoint of step {step}, only of {steps}; '
        'set --step'
      )
    target = jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole),
      jax.eval_shape(init, self.config.seed),
    )
    return self.checkpointer.restore(
      target, steps[-1] if step is None else step
    )


def _num_classes(c, source):
  if c.num_classes not in (None, source.num_classes):
    raise ValueError(
      f'num_classes is {c.num_classes}, but {source.name} has '
      f'{source.num_classes}; set --config.num_classes={source.num_classes}'
    )
  return source.num_classes


def _saved_config(workdir):
  path = workdir / 'config.json'
  if not path.exists():
    raise ValueError(f'there is no run in {workdir}; set --config or --workdir')
  return config_lib.load(path)


def _check_same_run(workdir, c, allow_changes):
  """Refuses a directory that holds a run with another config."""
  for key in allow_changes:
    if key not in config_lib.SCHEMA:
      raise ValueError(
        f'unknown config key {key!r} in --allow_changes'
        f'{config_lib.nearest(key, config_lib.SCHEMA)}'
      )
  path = workdir / 'config.json'
  if not path.exists():
    return
  changed = config_lib.differences(config_lib.load(path), c)
  for key in allow_changes:
    changed.pop(key, None)
  if changed:
    raise ValueError(
      f'{workdir} holds a run with another config:\n  '
      + '\n  '.join(changed.values())
      + '\nuse another --workdir, or allow the changes with '
      f'--allow_changes={",".join(changed)}'
    )


@contextlib.contextmanager
def _writing_to(workdir):
  try:
    yield
  except OSError as e:
    raise ValueError(
      f'cannot write to --workdir={workdir}: {e.strerror}'
    ) from e
