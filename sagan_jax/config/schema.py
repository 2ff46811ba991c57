"""What a config may hold: its keys, their types and the values allowed.

A line per leaf. What it means, its unit and its source are comments of
`experiments/imagenet.py`, which gives every leaf. Leaves marked `MAY_CHANGE`,
or in a section marked so, say how a run is watched and when it ends, not what
it computes. A default is what runs did before the leaf was added.

`compatibility` checks whether the values of a config go together.
"""

import dataclasses
import functools
import json
from typing import Annotated, Literal

from sagan_jax import errors, files, models
from sagan_jax.config import annotations, reader, source
from sagan_jax.config.annotations import MAY_CHANGE, NON_EMPTY, OneOf, Range
from sagan_jax.gan import losses
from sagan_jax.metrics import scores
from sagan_jax.models import attention, layers, resample, spectral

_MAX = 2**31 - 1  # Programs take steps and seeds as int32.

Count = Annotated[int, Range(1, at_most=_MAX)]
Width = Annotated[int, Range(1, at_most=2**16)]  # More fits no memory.
Seed = Annotated[int, Range(0, at_most=_MAX)]
Decay = Annotated[float, Range(0, below=1)]
Positive = Annotated[float, Range(above=0, at_most=3.4e38)]  # As float32.
DType = Literal['float32', 'bfloat16']
Text = Annotated[str, NON_EMPTY]
Metric = Annotated[str, OneOf(scores.METRICS)]

_section = functools.partial(dataclasses.dataclass, frozen=True, kw_only=True)


@_section()
class Generator:
  ch: Width
  attention: tuple[Count, ...]
  residual: tuple[Count, ...]
  remat: tuple[Count, ...] = ()
  bn_group_size: Count | None
  bn_decay: Decay
  bn_eps: Positive = 1e-5


@_section()
class Discriminator:
  ch: Width
  attention: tuple[Count, ...]
  residual: tuple[Count, ...]
  remat: tuple[Count, ...] = ()


@_section()
class Adam:
  learning_rate: Positive
  b1: Decay
  b2: Decay
  eps: Positive


@_section()
class Optim:
  generator: Adam
  discriminator: Adam


@_section()
class Ema:
  decay: Decay
  start_step: Annotated[int, Range(0, at_most=_MAX)]


@_section()
class Init:
  weights: Text | None = None
  classes: Literal['fresh', 'names', 'mean'] = 'fresh'


@_section()
class Dataset:
  name: Text
  data_dir: Text | None
  split: Text
  num_examples: Count | None
  shuffle_buffer: Count | None
  max_bad_images: Count | None = None


@_section()
class Log:
  every_steps: Count
  tensorboard: bool | Literal['auto']


@_section()
class Sample:
  every_steps: Count
  images_per_class: Count
  max_classes: Count
  standing_batches: Count


@_section()
class Checkpoint:
  every_steps: Count
  keep_last: Count
  keep_every_steps: Count | None
  full_disk_secs: Annotated[int, Range(0, at_most=_MAX)] = 0


@_section()
class Eval:
  every_steps: Count | None
  max_time_share: Annotated[float, Range(above=0, at_most=1)]
  best_metric: Text | None
  extractor: Literal['auto', 'inception', 'random']
  inception_path: Text | None
  dtype: DType
  metrics: Annotated[tuple[Metric, ...], NON_EMPTY]
  num_fakes: Count
  num_reals: Count | None
  labels: Literal['uniform', 'data']
  seed: Seed
  batch_size: Count
  weights: Annotated[tuple[Literal['ema', 'raw'], ...], NON_EMPTY]
  bn_statistics: Annotated[
    tuple[Literal['standing', 'running', 'batch'], ...], NON_EMPTY
  ]
  standing_batches: Count
  truncations: tuple[Positive, ...]
  cache_dir: Text


@_section()
class Config:
  """All that a run is told; read-only."""

  seed: Seed
  image_size: Count
  num_classes: Count | None
  batch_size: Count
  num_steps: Annotated[Count, MAY_CHANGE]
  n_dis: Count
  num_microbatches: Count
  num_devices: Count | None
  loss: Annotated[str, OneOf(losses.LOSSES)]
  dtype: DType
  architecture: Annotated[str, OneOf(models.NETWORKS)] = 'sagan'
  gradient_dtype: DType | None = None
  latent_dim: Width
  # A run may resume where another form is faster.
  resample: Annotated[str, OneOf(('auto', *resample.FORMS)), MAY_CHANGE]
  spectral_gradient: Annotated[str, OneOf(spectral.GRADIENTS)]
  attention_formula: Annotated[str, OneOf(attention.FORMULAS)]
  initializer: Annotated[str, OneOf(layers.INITIALIZERS)] = 'glorot_uniform'
  horizontal_flip: bool = False
  generator: Generator
  discriminator: Discriminator
  optim: Optim
  ema: Ema
  init: Init
  dataset: Dataset
  on_nonfinite: Annotated[Literal['stop', 'skip', 'rollback'], MAY_CHANGE] = (
    'stop'
  )
  max_nonfinite: Annotated[Count, MAY_CHANGE] = 10
  on_collapse: Annotated[Literal['warn', 'stop'], MAY_CHANGE] = 'warn'
  prefetch: Annotated[Count, MAY_CHANGE]
  stall_secs: Annotated[Count, MAY_CHANGE] = 60
  log: Annotated[Log, MAY_CHANGE]
  sample: Annotated[Sample, MAY_CHANGE]
  checkpoint: Annotated[Checkpoint, MAY_CHANGE]
  eval: Annotated[Eval, MAY_CHANGE]


KEYS = tuple(reader.leaves(Config))

flatten = reader.flatten
replace = reader.replace
differences = reader.differences
nearest = annotations.nearest


def load(name, overrides=None):
  """Executes a config file and checks what it returns.

  Args:
    name: as `source.load`: a path, or the name of a config of this package.
    overrides: {'section.leaf': text} of a command line.

  Returns:
    A `Config`.

  Raises:
    UserError: if there is no such file, it fails, or a leaf is wrong.
  """
  path, _ = source.find(name)
  tree = source.load(name)
  return reader.read(Config, tree, overrides, origin=str(path))


def read(tree, overrides=None):
  """Checks a ConfigDict, a dict (nested, or with dotted keys) or a `Config`.

  Args:
    tree: with every leaf.
    overrides: {'section.leaf': text} of a command line.

  Returns:
    A `Config`.

  Raises:
    UserError: if a leaf is wrong, with a line for each.
  """
  return reader.read(Config, tree, overrides)


def save(config, path):
  """Writes a `Config` as JSON; the file is there whole or not at all."""
  files.write(path, json.dumps(flatten(config), indent=2) + '\n')


def saved(path, overrides=None):
  """Reads what `save` wrote, also before some leaves were added.

  Args:
    path: of the config.json of a run.
    overrides: {'section.leaf': text} of a command line.

  Returns:
    A `Config`.

  Raises:
    UserError: if the file cannot be read, is damaged, or a leaf is wrong.
  """
  tree = files.read_json(path)
  if not isinstance(tree, dict) or not tree:
    raise errors.UserError(
      f'{path} is damaged: it holds no config; restore it, or start the run '
      'again in another --workdir'
    )
  return older(tree, overrides, str(path))


def older(tree, overrides=None, origin=''):
  """Reads what was saved, perhaps before some leaves were added.

  Args:
    tree: as of `read`.
    overrides: {'section.leaf': text} of a command line.
    origin: what the tree is from, for errors.

  Returns:
    A `Config`.

  Raises:
    UserError: if a leaf is wrong.
  """
  return reader.read(Config, tree, overrides, origin=origin, older=True)
