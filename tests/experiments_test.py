"""Tests that all experiments load, fit, and that all their keys are read."""

import ast
import importlib
import inspect
import pathlib
import re

import jax
import pytest

import sagan_jax
from experiments import imagenet
from sagan_jax.cluster import sharding
from sagan_jax.config import compatibility, schema
from sagan_jax.gan import build, state
from tests.conftest import ROOT

NAMES = sorted(p.stem for p in (ROOT / 'experiments').glob('*.py'))


def load(name):
  """The config of a name, with its number of classes filled in."""
  c = schema.load(name)
  return schema.replace(c, num_classes=c.num_classes or 10)


def test_there_are_experiments():
  assert {'imagenet', 'quickstart'} <= set(NAMES)


@pytest.mark.parametrize('num_devices', [1, 8])
@pytest.mark.parametrize('name', NAMES)
def test_fits_a_mesh(name, num_devices):
  c = load(name)
  compatibility.check(c, num_devices)


@pytest.mark.parametrize('name', NAMES)
def test_networks_build(name):
  """The shapes of the state and of what the networks return."""
  c = load(name)
  gan = build.build_gan(c, sharding.make_mesh(1))
  shapes = jax.eval_shape(lambda: state.init_state(gan, c.image_size, c.seed))
  latent = jax.ShapeDtypeStruct((2, c.latent_dim), 'float32')
  label = jax.ShapeDtypeStruct((2,), 'int32')
  image = jax.eval_shape(
    lambda variables, *x: gan.generator.apply(variables, *x, train=False),
    shapes.generator.variables(),
    latent,
    label,
  )
  logit = jax.eval_shape(
    gan.discriminator.apply, shapes.discriminator.variables(), image, label
  )
  assert image.shape == (2, c.image_size, c.image_size, 3)
  assert logit.shape == (2,)
  for network in ('generator', 'discriminator'):
    places = getattr(c, network).attention
    assert places  # This is what the repository is about.
    blocks = getattr(shapes, network).params
    assert {f'attention_{x}' for x in places} == {
      block for block in blocks if block.startswith('attention')
    }


@pytest.mark.parametrize('name', NAMES)
def test_says_how_it_is_run(name):
  module = importlib.import_module(f'experiments.{name}')
  # A variant of a base may leave the command to it.
  text = module.__doc__
  assert f'--config=experiments/{name}.py' in text or 'imagenet' in name
  assert inspect.getdoc(module.get_config)


# How the code calls a config.
CONFIG = r'(?:c|self\.c|(?:\w+\.)*config)'


def chains(source):
  """Returns the attribute chains below a config that source code reads.

  Both 'c.ema.decay' and 'self.config.ema.decay' count as 'ema.decay', and so
  does 'e.decay' after 'e = c.ema'; a section splatted by `**vars(c.ema)`
  counts as 'ema.*'.
  """
  found = set()
  for name in re.findall(rf'\b(\w+) = {CONFIG}\.eval\b', source):
    source = re.sub(rf'(?<![\w.]){name}\.', 'c.eval.', source)
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Attribute):
      text = ast.unparse(node)
      if match := re.fullmatch(rf'{CONFIG}\.([a-z_.0-9]+)', text):
        found.add(match[1])
  for match in re.finditer(rf'\*\*vars\({CONFIG}\.([a-z_.]+)\)', source):
    found.add(f'{match[1]}.*')
  return found


def unread(source, keys):
  """Returns the keys that source code does not read."""
  found = chains(source)
  return [
    key
    for key in keys
    if key not in found and f'{key.rpartition(".")[0]}.*' not in found
  ]


def test_every_key_is_read():
  """By what a run is made of; checking a value is not reading it."""
  package = pathlib.Path(sagan_jax.__path__[0])
  paths = [package / 'gan/build.py', *(package / 'evaluation').glob('*.py')]
  source = '\n'.join(
    path.read_text() for path in (*paths, *(package / 'run').glob('*.py'))
  )
  keys = schema.flatten(imagenet.get_config())
  assert set(keys) == set(schema.KEYS)
  assert unread(source, keys) == []
  # The test can fail: it notices a key that nobody reads, a section that is
  # no longer splatted, and a leaf that is no longer read.
  assert unread(source, ['generator.dead', 'dead', 'ema.dead']) == [
    'dead',
    'ema.dead',
  ]
  assert 'generator.ch' in unread(
    source.replace('**vars(c.generator)', ''), keys
  )
  assert unread(source.replace('c.ema.decay', '0.9'), keys) == ['ema.decay']
  assert unread(source.replace('e.truncations', '()'), keys) == [
    'eval.truncations'
  ]


@pytest.mark.parametrize(
  'section, change',
  [
    ('generator', {'dead': 1}),
    ('discriminator', {'dead': 1}),
    ('optim.generator', {'dead': 1}),
    ('optim.discriminator', {'dead': 1}),
  ],
)
def test_a_splatted_section_takes_no_dead_key(section, change):
  """Splatting is the check: no constructor swallows keys it does not know."""
  c = load('quickstart')
  node = c
  for name in section.split('.'):
    node = getattr(node, name)
  vars(node).update(change)
  with pytest.raises(TypeError, match='dead'):
    build.build_gan(c, sharding.make_mesh(1))


def uncommented(source):
  """Returns the assigned leaves that no comment belongs to.

  A comment belongs to the leaf on its line, to the leaf on the next line, to
  all leaves of the section it introduces, and to leaves of the same name in
  the sections of the other network.
  """
  lines = source.splitlines()
  missing = []
  explained = set()  # Sections and leaves.
  for i, line in enumerate(lines):
    match = re.match(r'\s+c\.([\w.]+) = ([^#]*)', line)
    if not match:
      continue
    section = match[1].rpartition('.')[0]
    above = lines[i - 1].lstrip().startswith('#')
    commented = '#' in line or above
    if match[2].startswith('ConfigDict'):
      if commented:
        explained.add(match[1])
    elif commented:
      explained |= {match[1], match[1].replace('generator', 'discriminator')}
    elif section not in explained and match[1] not in explained:
      missing.append(match[1])
  return missing


def test_every_leaf_of_the_base_has_a_comment():
  source = inspect.getsource(imagenet)
  assert uncommented(source) == []
  # The test can fail.
  bare = '\n'.join(line.split('#')[0] for line in source.splitlines())
  assert set(uncommented(bare)) == set(schema.KEYS)
