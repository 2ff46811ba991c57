"""What a config may hold: its keys, their types and the values allowed.

Config files (`experiments/*.py`) return ml_collections ConfigDicts, whose
leaves are commented there. This module turns one, or the JSON of an earlier
run, into a read-only `Config` and checks each value, so that nothing below
reads a ConfigDict; `compatibility` checks whether they go together.
"""

import difflib
import json
import math
import types
from typing import Any

from sagan_jax import models
from sagan_jax.gan import losses
from sagan_jax.metrics import scores
from sagan_jax.models import attention, layers, resample, spectral

Config = types.SimpleNamespace

_INT, _FLOAT, _STR, _BOOL = int, float, str, bool
_INTS, _FLOATS, _STRS = (int,), (float,), (str,)  # Tuples of these.

# Leaf -> (type, whether None is allowed).
SCHEMA = {
  'seed': (_INT, False),
  'architecture': (_STR, False),
  'image_size': (_INT, False),
  'num_classes': (_INT, True),
  'batch_size': (_INT, False),
  'num_steps': (_INT, False),
  'n_dis': (_INT, False),
  'num_microbatches': (_INT, False),
  'num_devices': (_INT, True),
  'loss': (_STR, False),
  'dtype': (_STR, False),
  'latent_dim': (_INT, False),
  'resample': (_STR, False),
  'spectral_gradient': (_STR, False),
  'attention_formula': (_STR, False),
  'initializer': (_STR, False),
  'horizontal_flip': (_BOOL, False),
  'generator.ch': (_INT, False),
  'generator.attention': (_INTS, False),
  'generator.residual': (_INTS, False),
  'generator.bn_group_size': (_INT, True),
  'generator.bn_decay': (_FLOAT, False),
  'generator.bn_eps': (_FLOAT, False),
  'discriminator.ch': (_INT, False),
  'discriminator.attention': (_INTS, False),
  'discriminator.residual': (_INTS, False),
  **{
    f'optim.{network}.{key}': (_FLOAT, False)
    for network in ('generator', 'discriminator')
    for key in ('learning_rate', 'b1', 'b2', 'eps')
  },
  'ema.decay': (_FLOAT, False),
  'ema.start_step': (_INT, False),
  'dataset.name': (_STR, False),
  'dataset.data_dir': (_STR, True),
  'dataset.split': (_STR, False),
  'dataset.num_examples': (_INT, True),
  'dataset.shuffle_buffer': (_INT, True),
  'prefetch': (_INT, False),
  'log.every_steps': (_INT, False),
  'log.tensorboard': (_BOOL, False),
  'sample.every_steps': (_INT, False),
  'sample.images_per_class': (_INT, False),
  'sample.max_classes': (_INT, False),
  'sample.standing_batches': (_INT, False),
  'checkpoint.every_steps': (_INT, False),
  'checkpoint.keep_last': (_INT, False),
  'checkpoint.keep_every_steps': (_INT, True),
  'eval.every_steps': (_INT, True),
  'eval.max_time_share': (_FLOAT, False),
  'eval.best_metric': (_STR, True),
  'eval.extractor': (_STR, False),
  'eval.inception_path': (_STR, True),
  'eval.dtype': (_STR, False),
  'eval.metrics': (_STRS, False),
  'eval.num_fakes': (_INT, False),
  'eval.num_reals': (_INT, True),
  'eval.labels': (_STR, False),
  'eval.seed': (_INT, False),
  'eval.batch_size': (_INT, False),
  'eval.weights': (_STRS, False),
  'eval.bn_statistics': (_STRS, False),
  'eval.standing_batches': (_INT, False),
  'eval.truncations': (_FLOATS, False),
  'eval.cache_dir': (_STR, False),
}

# These say how a run is watched and when it ends, not what it computes.
FREE = ('num_steps', 'prefetch', 'log.', 'sample.', 'checkpoint.', 'eval.')

_POSITIVE = (
  'batch_size',
  'num_steps',
  'n_dis',
  'num_microbatches',
  'num_devices',
  'num_classes',
  'latent_dim',
  'every_steps',
  'keep_every_steps',
  'keep_last',
  'images_per_class',
  'max_classes',
  'standing_batches',
  'prefetch',
  'ch',
  'bn_group_size',
  'learning_rate',
  'bn_eps',
  'num_examples',
  'shuffle_buffer',
  'num_fakes',
  'num_reals',
)

DTYPES = ('float32', 'bfloat16')

# Of an evaluation; see `evaluate`.
EXTRACTORS = ('auto', 'inception', 'random')
LABELS = ('uniform', 'data')
WEIGHTS = ('ema', 'raw')
BN_STATISTICS = ('standing', 'running', 'batch')


def flatten(tree, prefix=''):
  """Returns {'a.b.c': leaf} of a ConfigDict, dict or `Config`."""
  items = vars(tree).items() if isinstance(tree, Config) else tree.items()
  flat = {}
  for key, value in items:
    if hasattr(value, 'items') or isinstance(value, Config):
      flat |= flatten(value, f'{prefix}{key}.')
    else:
      flat[prefix + key] = value
  return flat


def resolve(tree):
  """Turns a ConfigDict or a nested dict into a `Config` of checked leaves.

  Args:
    tree: with exactly the leaves of `SCHEMA`.

  Returns:
    Nested namespaces; integers become floats where floats are expected, lists
    become tuples.

  Raises:
    ValueError: if a key is unknown or missing, a type is wrong, or a value is
      not one of those allowed.
  """
  flat = flatten(tree)
  for key in flat:
    if key not in SCHEMA:
      raise ValueError(f'unknown config key {key!r}{nearest(key, SCHEMA)}')
  config = Config()
  for key, (kind, optional) in SCHEMA.items():
    if key not in flat:
      raise ValueError(f'the config has no key {key!r}, which every run needs')
    *sections, leaf = key.split('.')
    node = config
    for section in sections:
      if not hasattr(node, section):
        setattr(node, section, Config())
      node = getattr(node, section)
    setattr(node, leaf, _typed(key, flat[key], kind, optional))
  _check_values(config)
  return config


def replace(config, **leaves):
  """Returns a copy with some top-level leaves changed, checked again."""
  return resolve(unflatten(flatten(config) | leaves))


def unflatten(flat):
  """Turns {'a.b.c': leaf} into nested dicts."""
  tree: dict[str, Any] = {}
  for key, value in flat.items():
    *sections, leaf = key.split('.')
    node = tree
    for section in sections:
      node = node.setdefault(section, {})
    node[leaf] = value
  return tree


def nearest(name, allowed):
  """'; did you mean ...?' for the closest allowed name, or ''."""
  close = difflib.get_close_matches(name, list(allowed), 1)
  return f'; did you mean {close[0]!r}?' if close else ''


def save(config, path):
  """Writes a `Config` as JSON; the file is there whole or not at all."""
  part = path.with_suffix('.part')
  part.write_text(json.dumps(flatten(config), indent=2) + '\n')
  part.replace(path)


def load(path):
  """Reads what `save` wrote."""
  return resolve(unflatten(json.loads(path.read_text())))


def differences(old, new):
  """Lists 'key: old -> new' of the leaves that change what is computed."""
  old, new = flatten(old), flatten(new)
  return {
    key: f'{key}: {old[key]!r} -> {new[key]!r}'
    for key in SCHEMA
    if old[key] != new[key] and not key.startswith(FREE)
  }


def _typed(key, value, kind, optional):
  if value is None and optional:
    return None
  if kind is _FLOAT and type(value) is int:
    return float(value)
  if isinstance(kind, tuple):
    wanted = f'tuple of {kind[0].__name__}s'
    if isinstance(value, (tuple, list)):
      if all(type(x) is kind[0] for x in value):
        return tuple(value)
  else:
    wanted = kind.__name__
    if type(value) is kind:
      return value
  raise ValueError(
    f'config key {key!r} takes {wanted}{" or None" if optional else ""}, '
    f'got {value!r}; set --config.{key}'
  )


def _one_of(key, value, allowed):
  if value not in allowed:
    hint = nearest(value, allowed) if isinstance(value, str) else ''
    raise ValueError(
      f'{key}={value!r} must be one of {tuple(allowed)}{hint}; '
      f'set --config.{key}'
    )


def _check_values(c):
  """Checks each value by itself."""
  _one_of('architecture', c.architecture, models.NETWORKS)
  sizes = models.NETWORKS[c.architecture].image_sizes
  _one_of('image_size', c.image_size, sizes)
  _one_of('loss', c.loss, losses.LOSSES)
  _one_of('dtype', c.dtype, DTYPES)
  _one_of('resample', c.resample, resample.FORMS)
  _one_of('spectral_gradient', c.spectral_gradient, spectral.GRADIENTS)
  _one_of('attention_formula', c.attention_formula, attention.FORMULAS)
  _one_of('initializer', c.initializer, layers.INITIALIZERS)
  _one_of('eval.extractor', c.eval.extractor, EXTRACTORS)
  _one_of('eval.dtype', c.eval.dtype, DTYPES)
  _one_of('eval.labels', c.eval.labels, LABELS)
  for key, allowed in (
    ('metrics', scores.METRICS),
    ('weights', WEIGHTS),
    ('bn_statistics', BN_STATISTICS),
  ):
    if not getattr(c.eval, key):
      raise ValueError(
        f'eval.{key} must not be empty; set --config.eval.{key} to some of '
        f'{tuple(allowed)}'
      )
    for value in getattr(c.eval, key):
      _one_of(f'eval.{key}', value, allowed)
  if not all(0 < x < math.inf for x in c.eval.truncations):
    raise ValueError(
      f'eval.truncations={c.eval.truncations!r} must be positive: deviations '
      'to cut latents at; set --config.eval.truncations'
    )
  if not 0 < c.eval.max_time_share <= 1:
    raise ValueError(
      f'eval.max_time_share={c.eval.max_time_share!r} must be in (0, 1]; '
      'set --config.eval.max_time_share'
    )
  for key, value in flatten(c).items():
    name = key.rsplit('.')[-1]
    if name in _POSITIVE and value is not None and not value > 0:
      raise ValueError(f'{key}={value!r} must be positive; set --config.{key}')
    if name in ('decay', 'bn_decay', 'b1', 'b2') and not 0 <= value < 1:
      raise ValueError(f'{key}={value!r} must be in [0, 1); set --config.{key}')
