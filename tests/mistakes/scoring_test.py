"""Scoring a run that is damaged, or by what cannot be."""

import shutil

import pytest

from tests.support import damage, mistakes, tiny
from tests.support.mistakes import Case

CHANGES = {
  'num_steps': 4,
  'checkpoint__every_steps': 2,
  'eval__every_steps': 2,
}


@pytest.fixture(autouse=True, scope='module')
def small_networks():
  with tiny.small_networks():
    yield


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A directory with the checkpoints and scores of steps 2 and 4."""
  workdir = tmp_path_factory.mktemp('trained') / 'run'
  cache = f'{workdir}-cache'
  tiny.run(workdir, **CHANGES, eval__cache_dir=cache)
  return workdir


EVALUATE = ['--workdir=PLACES/run']
CONFIG = 'PLACES/run/config.json'
META = 'checkpoints/4/meta/metadata'

SCORING = {
  'a step without checkpoint': (
    damage.nothing,
    [*EVALUATE, '--step=99'],
    ['PLACES/run', 'step 99', '[2, 4]', '--step'],
  ),
  'no best': (
    damage.remove('best'),
    [*EVALUATE, '--step=best'],
    ['PLACES/run/best', '--step'],
  ),
  'an empty best': (
    lambda workdir: (
      shutil.rmtree(workdir / 'best'),
      (workdir / 'best').mkdir(),
    ),
    [*EVALUATE, '--step=best'],
    ['PLACES/run/best'],
  ),
  'no checkpoints': (damage.remove('checkpoints'), EVALUATE, ['PLACES/run']),
  'damaged scores': (
    damage.append('evaluations.jsonl', b'{'),
    EVALUATE,
    ['PLACES/run/evaluations.jsonl:3'],
  ),
  'a damaged config': (damage.write('config.json', b'x'), EVALUATE, [CONFIG]),
  'a damaged checkpoint': (
    damage.write(META, b'x'),
    [*EVALUATE, '--step=4'],
    ['PLACES/run/checkpoints/4'],
  ),
  'another model': (
    damage.nothing,
    [*EVALUATE, '--config.latent_dim=64'],
    ['PLACES/run/checkpoints/2', 'another model'],
  ),
  'a cache that is a file': (
    damage.nothing,
    [*EVALUATE, '--config.eval.cache_dir=PLACES/run/config.json'],
    ['PLACES/run/config.json'],
  ),
  'another size': (
    damage.nothing,
    [*EVALUATE, '--config.image_size=33'],
    ['image_size=33', '--config.image_size'],
  ),
  'another network': (
    damage.nothing,
    [*EVALUATE, '--config.generator.attention=(7,)'],
    ['generator.attention', '--config.generator.attention'],
  ),
  'other classes': (
    damage.nothing,
    [*EVALUATE, '--config.num_classes=3'],
    ['PLACES/run/checkpoints/2', 'another model'],
  ),
  'data that is not there': (
    damage.nothing,
    [
      *EVALUATE,
      '--config.dataset.name=folder:PLACES/none',
      '--config.dataset.num_examples=None',
    ],
    ["PLACES/none'"],
  ),
  'too few fakes': (
    damage.nothing,
    [*EVALUATE, '--config.eval.num_fakes=1'],
    ['fid', 'eval.num_fakes'],
  ),
  'more reals than there are': (
    damage.nothing,
    [*EVALUATE, '--config.eval.num_reals=100'],
    ['eval.num_reals'],
  ),
  'groups that do not divide a batch of fakes': (
    damage.nothing,
    [
      *EVALUATE,
      '--config.eval.bn_statistics=batch',
      '--config.generator.bn_group_size=3',
    ],
    ['eval.batch_size', '3'],
  ),
  'two sources at once': (
    damage.nothing,
    [*EVALUATE, '--real=shapes', '--fake=shapes'],
    ['--workdir', '--real'],
  ),
  'a config for a run': (
    damage.nothing,
    [*EVALUATE, '--config=quickstart'],
    ['--config'],
  ),
}


@pytest.mark.parametrize('name', SCORING)
def test_scoring(trained, tmp_path, capsys, name):
  arrange, argv, told = SCORING[name]
  arrange(mistakes.copy(trained, tmp_path))
  mistakes.check(Case('evaluate', argv, told), tmp_path, capsys)
