"""Tests of the leaves that a run has, and of how configs are kept."""

import dataclasses
import json
import re
import typing

import pytest

from experiments import quickstart
from sagan_jax import errors
from sagan_jax.config import annotations, reader, schema
from tests.support import tiny

LEAVES = reader.leaves(schema.Config)
LIMIT = 2**31  # Of what a program takes as int32.


def test_loads_by_name_by_path_and_from_a_tree():
  loaded = schema.load('quickstart', {'num_steps': '1e3'})
  assert loaded.num_steps == 1000
  assert loaded.generator.attention == (16,)
  read = schema.read(quickstart.get_config(), {'num_steps': '1000'})
  assert read == loaded == schema.read(schema.flatten(read))


def test_mistakes_of_a_file_name_it(tmp_path):
  path = tmp_path / 'mine.py'
  path.write_text(
    'from sagan_jax.experiments import quickstart\n'
    'def get_config():\n'
    '  c = quickstart.get_config()\n'
    '  c.sed = 1\n'
    '  c.n_dis = 0\n'
    '  return c\n'
  )
  with pytest.raises(errors.UserError, match='sed') as e:
    schema.load(str(path), {'batch_size': 'many'})
  unknown, batch_size, n_dis = str(e.value).splitlines()
  assert unknown.startswith(f"{path}: unknown config key 'sed'")
  assert n_dis.startswith(f'{path}: n_dis=0 must be')
  assert batch_size.startswith("batch_size='many' must be")


@pytest.mark.parametrize('key', LEAVES)
def test_none_is_taken_by_every_optional_leaf_and_by_no_other(key):
  optional = type(None) in typing.get_args(LEAVES[key].annotation)
  c = tiny.config()
  if optional:
    c = schema.read(c, {key: 'None'})
    assert schema.flatten(c)[key] is None
  else:
    with pytest.raises(errors.UserError, match=f'^{key}=None must be .*{key}$'):
      schema.read(c, {key: 'None'})


def _numbers():
  """Keys of all numbers, with whether they are of floats and in tuples."""
  for key, leaf in LEAVES.items():
    text = annotations.describe(leaf.annotation)
    if 'integer' in text or 'number' in text:
      yield key, 'number' in text, text.startswith('a tuple')


@pytest.mark.parametrize('key, is_float, in_tuple', list(_numbers()))
def test_every_number_has_bounds(key, is_float, in_tuple):
  values = [-1]
  if is_float:
    values += [float('inf'), float('-inf'), float('nan')]
  else:
    values += [LIMIT, 2**40]
  for value in values:
    value = (value,) if in_tuple else value
    message = f'^{re.escape(f"{key}={value}")}.* must be '
    with pytest.raises(errors.UserError, match=message):
      schema.replace(tiny.config(), {key: value})


# Of all other numbers zero is no sensible value.
MAY_BE_ZERO = {
  'checkpoint.full_disk_secs',
  'seed',
  'eval.seed',
  'ema.start_step',
  'ema.decay',
  'generator.bn_decay',
  *(
    f'optim.{network}.{name}'
    for network in ('generator', 'discriminator')
    for name in ('b1', 'b2')
  ),
}


def test_zero_is_taken_where_it_means_something():
  def takes_zero(key, in_tuple):
    value = (0,) if in_tuple else 0
    return annotations.fit(LEAVES[key].annotation, value) != annotations.UNFIT

  taken = {key for key, _, in_tuple in _numbers() if takes_zero(key, in_tuple)}
  assert taken == MAY_BE_ZERO


@pytest.mark.parametrize(
  'key, value, message',
  [
    ('loss', 'hing', "'hing' must be one of .*; did you mean 'hinge'?"),
    ('dtype', 'float16', "'float16' must be one of 'float32', 'bfloat16'"),
    ('architecture', 'sagn', "'sagn' must be .*; did you mean 'sagan'?"),
    ('resample', 'x', "'x' must be one of .*'cheap'"),
    ('spectral_gradient', 'ful', "did you mean 'full'"),
    ('attention_formula', 'papr', "did you mean 'paper'"),
    ('initializer', 'glorot', "did you mean 'glorot_uniform'"),
    ('seed', 2**31, 'must be an integer from 0 to 2147483647'),
    ('ema.decay', 1.0, '1.0 must be a finite number >= 0 and < 1'),
    ('log.tensorboard', 'on', "'on' must be True or False or 'auto'"),
    ('eval.extractor', 'rand', "did you mean 'random'"),
    ('eval.dtype', 'half', "'half' must be one of"),
    ('eval.labels', 'datum', "did you mean 'data'"),
    ('eval.metrics', ('fid', 'fids'), 'must be a .*; did you mean'),
    ('eval.metrics', (), r'\(\) must be a non-empty tuple'),
    ('eval.weights', ('ema', 'rw'), "did you mean 'raw'"),
    ('eval.weights', (), r'\(\) must be a non-empty tuple'),
    ('eval.bn_statistics', ('batc',), "did you mean 'batch'"),
    ('eval.bn_statistics', (), r'\(\) must be a non-empty tuple'),
    ('eval.truncations', (0.5, 0.0), 'must be a tuple, each a finite number >'),
    ('eval.max_time_share', 0.0, '0.0 must be a finite number > 0 and <= 1'),
    ('eval.max_time_share', 1.5, '1.5 must be a finite number > 0 and <= 1'),
  ],
)
def test_other_choices_are_refused(key, value, message):
  with pytest.raises(errors.UserError, match=f'^{key}=.*{message}.*{key}$'):
    schema.replace(tiny.config(), {key: value})


def test_replace_takes_names_and_keys():
  c = schema.replace(tiny.config(), {'generator.ch': 5}, ema__start_step=3)
  assert (c.generator.ch, c.ema.start_step) == (5, 3)
  with pytest.raises(dataclasses.FrozenInstanceError, match='num_classes'):
    c.num_classes = 3


def test_only_what_is_watched_may_change():
  bound = {key for key, leaf in LEAVES.items() if not leaf.may_change}
  sections = ('log.', 'sample.', 'checkpoint.', 'eval.')
  free = set(LEAVES) - bound
  assert {key for key in free if not key.startswith(sections)} == {
    'num_steps',
    'prefetch',
    'on_collapse',
    'resample',
    'stall_secs',
    'on_nonfinite',
    'max_nonfinite',
  }
  assert not [key for key in bound if key.startswith(sections)]


def test_differences_name_what_changes_the_result():
  old = tiny.config()
  new = schema.replace(old, generator__ch=8, seed=3, num_steps=99)
  assert schema.differences(old, new) == {
    'seed': 'seed: 0 -> 3',
    'generator.ch': 'generator.ch: 4 -> 8',
  }


def test_save_and_saved_are_inverse(tmp_path):
  c = tiny.config(ema__decay=1 / 3, generator__attention=(16, 32))
  schema.save(c, tmp_path / 'config.json')
  assert schema.saved(tmp_path / 'config.json') == c
  stored = json.loads((tmp_path / 'config.json').read_text())
  assert stored['ema.decay'] == 1 / 3
  assert stored['dataset.data_dir'] is None
  changed = schema.saved(tmp_path / 'config.json', {'eval.num_fakes': '7'})
  assert changed == schema.replace(c, eval__num_fakes=7)


def test_a_run_from_before_a_leaf_opens_with_what_it_did(tmp_path):
  flat = schema.flatten(tiny.config(log__tensorboard=True))
  before = {
    'architecture': 'sagan',
    'initializer': 'glorot_uniform',
    'horizontal_flip': False,
    'gradient_dtype': None,
    'generator.remat': (),
    'discriminator.remat': (),
    'generator.bn_eps': 1e-5,
    'init.weights': None,
    'init.classes': 'fresh',
    'on_collapse': 'warn',
    'dataset.max_bad_images': None,
    'stall_secs': 60,
    'on_nonfinite': 'stop',
    'max_nonfinite': 10,
    'checkpoint.full_disk_secs': 0,
  }
  path = tmp_path / 'config.json'
  path.write_text(
    json.dumps({k: v for k, v in flat.items() if k not in before})
  )
  assert schema.flatten(schema.saved(path)) == flat | before
  # These are all; a config that someone writes gives them too.
  added = {k for k, v in LEAVES.items() if v.default != dataclasses.MISSING}
  assert added == set(before)
  with pytest.raises(errors.UserError, match='missing config keys'):
    schema.read(json.loads(path.read_text()))


def _json(**changes):
  flat = schema.flatten(tiny.config()) | changes
  return json.dumps({k: v for k, v in flat.items() if v is not ...})


@pytest.mark.parametrize(
  'text, message',
  [
    ('', 'is damaged: it is not JSON'),
    (_json()[:100], 'is damaged: it is not JSON'),
    ('null', 'is damaged: it holds no config'),
    ('[]', 'is damaged: it holds no config'),
    ('{}', 'is damaged: it holds no config'),
    ('{"seed": 1}', "missing config keys 'image_size', .* and .* more"),
    (_json(seed='x'), "seed='x' must be an integer"),
    (_json(ema__decay=1), "unknown config key 'ema__decay'; did you mean"),
    (_json(loss=...), "missing config key 'loss'"),
    (_json(prefetch={'a': 1}), "unknown config key 'prefetch.a'"),
    (_json(seed=float('nan')), 'seed=nan must be'),
  ],
)
def test_a_damaged_file_is_named(tmp_path, text, message):
  path = tmp_path / 'config.json'
  path.write_text(text)
  match = f'^{re.escape(str(path))}:? {message}'
  with pytest.raises(errors.UserError, match=match):
    schema.saved(path)


def test_a_file_that_is_not_text_or_not_there_is_named(tmp_path):
  path = tmp_path / 'config.json'
  with pytest.raises(errors.UserError, match=f'cannot read {path}'):
    schema.saved(path)
  path.write_bytes(b'\xff\xfe\x00')
  with pytest.raises(errors.UserError, match=f'{path} is damaged'):
    schema.saved(path)
