"""Tests of reading, checking, saving and comparing configs."""

import copy
import json
import re

import pytest

from experiments import quickstart
from sagan_jax import models
from sagan_jax.config import compatibility
from sagan_jax.config import schema as config_lib


def changed(**changes):
  """The quickstart as a nested dict; __ in a key stands for the dot.

  A value of `...` deletes the key. The widths are fixed here, since messages
  name them.
  """
  tree = quickstart.get_config().to_dict()
  changes = {'generator__ch': 16, 'discriminator__ch': 16} | changes
  for key, value in changes.items():
    *sections, leaf = key.split('__')
    node = tree
    for section in sections:
      node = node.setdefault(section, {})
    if value is ...:
      del node[leaf]
    else:
      node[leaf] = value
  return tree


def resolved(**changes):
  c = config_lib.resolve(changed(**changes))
  c.num_classes = c.num_classes or 10
  return c


def test_resolves_config_dicts_and_dicts_alike():
  from_config_dict = config_lib.resolve(quickstart.get_config())
  from_dict = config_lib.resolve(quickstart.get_config().to_dict())
  assert config_lib.flatten(from_config_dict) == config_lib.flatten(from_dict)
  assert from_dict.generator.attention == (16,)
  assert from_dict.num_classes is None
  assert set(config_lib.flatten(from_dict)) == set(config_lib.SCHEMA)


def test_resolving_twice_changes_nothing():
  once = resolved()
  assert config_lib.resolve(once) == once


def test_resolving_leaves_the_input_alone():
  tree = changed()
  before = copy.deepcopy(tree)
  config_lib.resolve(tree).generator.ch = 3
  assert tree == before


def test_flatten_joins_names_with_dots():
  nested = {'a': 1, 'b': {'c': (2,), 'd': {'e': None}}}
  flat = {'a': 1, 'b.c': (2,), 'b.d.e': None}
  assert config_lib.flatten(nested) == flat


def test_ints_become_floats_and_lists_tuples():
  c = resolved(
    ema__decay=0,
    optim__generator__learning_rate=1,
    generator__attention=[16, 32],
  )
  assert type(c.ema.decay) is float
  assert c.optim.generator.learning_rate == 1.0
  assert type(c.optim.generator.learning_rate) is float
  assert c.generator.attention == (16, 32)


@pytest.mark.parametrize(
  'changes, message',
  [
    (
      {'generator__atention': ()},
      "unknown config key 'generator.atention'; did you mean "
      "'generator.attention'?",
    ),
    ({'zzzzzz': 1}, r"unknown config key 'zzzzzz'$"),
    # A section where a leaf belongs, and a leaf where a section does.
    ({'seed': {'x': 1}}, "unknown config key 'seed.x'"),
    ({'ema': 0.9}, "unknown config key 'ema'"),
    ({'ema__decay': ...}, "no key 'ema.decay', which every run needs"),
    ({'generator': ...}, "no key 'generator.ch'"),
  ],
)
def test_refuses_other_keys_than_the_schema(changes, message):
  with pytest.raises(ValueError, match=message):
    config_lib.resolve(changed(**changes))


@pytest.mark.parametrize(
  'key, value, wanted',
  [
    ('batch_size', 8.0, 'int, got 8.0'),
    ('batch_size', '8', "int, got '8'"),
    ('batch_size', True, 'int, got True'),
    ('batch_size', None, 'int, got None'),
    ('num_classes', 1.5, 'int or None, got 1.5'),
    ('loss', 1, 'str, got 1'),
    ('loss', None, 'str, got None'),
    ('ema.decay', '0.9', "float, got '0.9'"),
    ('ema.decay', True, 'float, got True'),
    ('log.tensorboard', 1, 'bool, got 1'),
    ('generator.attention', 16, 'tuple of ints, got 16'),
    ('generator.attention', (16.0,), r'tuple of ints, got \(16.0,\)'),
    ('generator.attention', None, 'tuple of ints, got None'),
    ('dataset.data_dir', 3, 'str or None, got 3'),
    ('eval.metrics', 'fid', "tuple of strs, got 'fid'"),
    ('eval.truncations', (1,), r'tuple of floats, got \(1,\)'),
  ],
)
def test_refuses_wrong_types(key, value, wanted):
  message = f"config key '{key}' takes {wanted}; set --config.{key}$"
  with pytest.raises(ValueError, match=message):
    config_lib.resolve(changed(**{key.replace('.', '__'): value}))


def test_every_optional_key_takes_none():
  optional = [key for key, (_, none) in config_lib.SCHEMA.items() if none]
  assert 'num_classes' in optional
  c = resolved(**{key.replace('.', '__'): None for key in optional})
  flat = config_lib.flatten(c)
  assert all(flat[k] is None for k in optional if k != 'num_classes')


@pytest.mark.parametrize(
  'key, value, message',
  [
    ('loss', 'hing', r"loss='hing' must be one of \('hinge'.*; did you mean"),
    ('dtype', 'float16', "dtype='float16' must be one of"),
    ('resample', 'x', "resample='x' must be one of .*'cheap'"),
    ('spectral_gradient', 'ful', "did you mean 'full'"),
    ('attention_formula', 'papr', "did you mean 'paper'"),
    ('eval.extractor', 'rand', "did you mean 'random'"),
    ('eval.dtype', 'half', "eval.dtype='half' must be one of"),
    ('eval.labels', 'datum', "did you mean 'data'"),
    ('eval.metrics', ('fid', 'i'), "eval.metrics='i' must be one of"),
    ('eval.weights', ('ema', 'rw'), "did you mean 'raw'"),
    ('eval.bn_statistics', ('batc',), "did you mean 'batch'"),
    ('image_size', 48, r'image_size=48 must be one of \(32, 64, 128, 256\)'),
  ],
)
def test_refuses_other_choices(key, value, message):
  with pytest.raises(ValueError, match=f'{message}.*; set --config.{key}$'):
    config_lib.resolve(changed(**{key.replace('.', '__'): value}))


# All other ints are amounts; a new one that may be zero belongs here.
MAY_BE_ZERO = ('seed', 'image_size', 'ema.start_step', 'eval.seed')
AMOUNTS = [
  key
  for key, (kind, _) in config_lib.SCHEMA.items()
  if (kind is int and key not in MAY_BE_ZERO) or key.endswith('learning_rate')
]


@pytest.mark.parametrize('key', AMOUNTS)
def test_refuses_amounts_that_are_not_positive(key):
  for value in (0, -1):
    message = re.escape(f'{key}={value}') + '(.0)? must be positive; set '
    with pytest.raises(ValueError, match=message + f'--config.{key}'):
      config_lib.resolve(changed(**{key.replace('.', '__'): value}))


@pytest.mark.parametrize(
  'key', ['ema.decay', 'generator.bn_decay', 'optim.generator.b1']
)
@pytest.mark.parametrize('value', [1.0, -0.1, float('nan')])
def test_refuses_decays_outside_the_unit_interval(key, value):
  message = rf'{key}={value} must be in \[0, 1\); set --config.{key}'
  with pytest.raises(ValueError, match=message):
    config_lib.resolve(changed(**{key.replace('.', '__'): value}))


def test_refuses_a_learning_rate_that_is_not_a_number():
  with pytest.raises(ValueError, match='learning_rate=nan must be positive'):
    config_lib.resolve(changed(optim__generator__learning_rate=float('nan')))


@pytest.mark.parametrize(
  'changes, devices, processes, message',
  [
    (
      {'batch_size': 12},
      8,
      1,
      'batch_size 12 must be a multiple of 8 = 1 microbatches x 8 devices; '
      'set --config.batch_size',
    ),
    (
      {'batch_size': 24, 'num_microbatches': 2},
      8,
      1,
      'batch_size 24 must be a multiple of 16 = 2 microbatches x 8 devices',
    ),
    (
      {'batch_size': 8},
      1,
      3,
      'batch_size 8 must be a multiple of 3 processes; set --config.batch_size',
    ),
    (
      {'batch_size': 24, 'generator__bn_group_size': 16},
      1,
      1,
      '24 images per microbatch must be a multiple of bn_group_size 16; '
      'set --config.generator.bn_group_size',
    ),
    (
      {
        'batch_size': 24,
        'num_microbatches': 3,
        'generator__bn_group_size': 12,
      },
      1,
      1,
      '8 images per microbatch must be a multiple of bn_group_size 12',
    ),
    (
      {'batch_size': 24, 'generator__bn_group_size': 8},
      2,
      1,
      '3 batch-norm groups cannot be aligned with 2 devices: one must divide '
      'the other; set --config.generator.bn_group_size',
    ),
  ],
)
def test_check_refuses_batches_that_do_not_divide(
  changes, devices, processes, message
):
  with pytest.raises(ValueError, match=message):
    compatibility.check(resolved(**changes), devices, processes)


@pytest.mark.parametrize(
  'changes, devices, processes',
  [
    ({'batch_size': 24, 'num_microbatches': 3}, 8, 2),
    ({'batch_size': 32, 'generator__bn_group_size': 8}, 2, 1),  # Two a device.
    ({'batch_size': 32, 'generator__bn_group_size': 16}, 8, 1),  # On four.
    ({'batch_size': 32, 'generator__bn_group_size': None}, 8, 8),
  ],
)
def test_check_accepts_batches_that_divide(changes, devices, processes):
  compatibility.check(resolved(**changes), devices, processes)


@pytest.mark.parametrize(
  'changes, message',
  [
    (
      {'generator__attention': (16, 64)},
      r'generator.attention=\(16, 64\) names the resolution 64; at image_size '
      r'32 the generator has \[8, 16, 32\], the discriminator has \[8, 16\]; '
      'set --config.generator.attention',
    ),
    ({'generator__attention': (4,)}, 'names the resolution 4'),
    ({'generator__residual': (12,)}, r'generator.residual=\(12,\) names'),
    (
      {'discriminator__attention': (32,)},
      r'discriminator.attention=\(32,\) names the resolution 32; at '
      r'image_size 32 the generator has \[8, 16, 32\], the discriminator has '
      r'\[8, 16\]; set --config.discriminator.attention',
    ),
    ({'discriminator__residual': (4,)}, 'the resolution 4'),
    (
      {'generator__ch': 1},
      'generator.attention at 16 needs 8 channels there, generator.ch=1 gives '
      '4; set --config.generator.ch',
    ),
    (
      {'discriminator__ch': 3},
      'discriminator.attention at 16 needs 8 channels there, '
      'discriminator.ch=3 gives 6',
    ),
  ],
)
def test_check_refuses_resolutions_that_networks_lack(changes, message):
  with pytest.raises(ValueError, match=message):
    compatibility.check(resolved(**changes), 1)


@pytest.mark.parametrize('image_size', models.NETWORKS['sagan'].image_sizes)
def test_check_accepts_resolutions_between_the_ends(image_size):
  resolutions = [8, 16, 32, 64, 128, 256]
  up = tuple(x for x in resolutions if x <= image_size)
  down = tuple(x for x in resolutions if x < image_size)
  if image_size > 32:  # Down to 4 x 4 from there on, but for 32.
    down = (4, *down)
  c = resolved(
    image_size=image_size,
    generator__attention=up,
    discriminator__attention=down,
    generator__ch=8,
    discriminator__ch=8,
  )
  compatibility.check(c, 1)


def test_save_and_load_are_inverse(tmp_path):
  c = resolved(ema__decay=1 / 3, generator__attention=(16, 32))
  config_lib.save(c, tmp_path / 'config.json')
  assert config_lib.load(tmp_path / 'config.json') == c
  stored = json.loads((tmp_path / 'config.json').read_text())
  assert stored['ema.decay'] == 1 / 3
  assert stored['dataset.data_dir'] is None


def test_load_refuses_the_config_of_another_version(tmp_path):
  path = tmp_path / 'config.json'
  flat = config_lib.flatten(resolved())
  path.write_text(json.dumps(flat | {'generator.width': 3}))
  with pytest.raises(ValueError, match="unknown config key 'generator.width'"):
    config_lib.load(path)


def test_differences_names_what_changes_the_result():
  old = resolved()
  new = resolved(generator__ch=8, seed=3, dataset__split='test')
  assert config_lib.differences(old, new) == {
    'seed': 'seed: 0 -> 3',
    'generator.ch': 'generator.ch: 16 -> 8',
    'dataset.split': "dataset.split: 'train' -> 'test'",
  }
  assert config_lib.differences(old, old) == {}


def test_differences_passes_over_what_does_not():
  free = {
    'num_steps': 9,
    'prefetch': 9,
    'log__every_steps': 9,
    'log__tensorboard': False,
    'sample__every_steps': 9,
    'sample__images_per_class': 9,
    'sample__max_classes': 9,
    'sample__standing_batches': 9,
    'checkpoint__every_steps': 9,
    'checkpoint__keep_last': 9,
    'checkpoint__keep_every_steps': 9,
  }
  assert config_lib.differences(resolved(), resolved(**free)) == {}
  # Everything else is compared.
  flat = config_lib.flatten(resolved())
  bound = [
    key for key in flat if config_lib.differences({**flat, key: 'x'}, flat)
  ]
  assert len(bound) == len(flat) - len(free) - sum(
    key.startswith('eval.') for key in flat
  )


def test_nearest_is_silent_when_nothing_is_near():
  assert config_lib.nearest('hing', ['hinge', 'wasserstein']) == (
    "; did you mean 'hinge'?"
  )
  assert config_lib.nearest('q', ['hinge']) == ''
