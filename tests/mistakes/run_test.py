"""Training in a directory that is damaged, or is of another run."""

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


def go_on(**changes):
  """The command of the run, for more steps."""
  changes = CHANGES | {'num_steps': 6} | changes
  return mistakes.train('PLACES/run', **changes)


ALONE = ['--workdir=PLACES/run']
CONFIG = 'PLACES/run/config.json'
META = 'checkpoints/4/meta/metadata'
ONLY_4 = damage.remove('checkpoints/2')  # Else training goes on from it.

TRAINING = {
  'another seed': (
    damage.nothing,
    go_on(seed=1),
    ['PLACES/run', 'seed: 0 -> 1'],
  ),
  'a change that is not allowed': (
    damage.nothing,
    [*go_on(seed=1, latent_dim=64), '--allow_changes=seed'],
    ['PLACES/run', 'latent_dim: 128 -> 64', '--allow_changes=latent_dim'],
  ),
  'an allowed change that is no key': (
    damage.nothing,
    [*go_on(seed=1), '--allow_changes=sead'],
    ["'sead'", "'seed'"],
  ),
  'an allowed change of the model': (
    damage.nothing,
    [*go_on(latent_dim=64), '--allow_changes=latent_dim'],
    ['PLACES/run/checkpoints/4', 'another model'],
  ),
  'other data': (
    damage.nothing,
    [*go_on(dataset__num_examples=65)],
    ['PLACES/run', 'dataset.num_examples: 64 -> 65'],
  ),
  'a wrong key beside the directory alone': (
    damage.nothing,
    [*ALONE, '--config.sead=1'],
    ["'sead'"],
  ),
  'config.json is no JSON': (
    damage.write('config.json', b'{"seed": 0'),
    go_on(),
    [CONFIG, 'not JSON'],
  ),
  'config.json is empty': (damage.write('config.json', b''), go_on(), [CONFIG]),
  'config.json is no text': (
    damage.write('config.json', b'\xff'),
    ALONE,
    [CONFIG],
  ),
  'config.json is deep': (
    damage.write('config.json', b'[' * 100_000),
    ALONE,
    [CONFIG],
  ),
  'config.json is a list': (
    damage.write('config.json', b'[1]'),
    ALONE,
    [CONFIG],
  ),
  'config.json is null': (
    damage.write('config.json', b'null'),
    go_on(),
    [CONFIG],
  ),
  'config.json has a wrong value': (
    damage.edit('config.json', lambda c: c.update(seed='x')),
    go_on(),
    [CONFIG, "seed='x'"],
  ),
  'config.json lacks a key': (
    damage.edit('config.json', lambda c: c.pop('seed')),
    ALONE,
    [CONFIG, "'seed'"],
  ),
  'config.json has another key': (
    damage.edit('config.json', lambda c: c.update(zeed=1)),
    ALONE,
    [CONFIG, "'zeed'"],
  ),
  'config.json is a folder': (damage.folder('config.json'), ALONE, [CONFIG]),
  'config.json is gone': (
    damage.remove('config.json'),
    go_on(),
    ['PLACES/run', 'config.json'],
  ),
  'data.json is no JSON': (
    damage.write('data.json', b'{'),
    go_on(),
    ['PLACES/run/data.json'],
  ),
  'data.json is a list': (
    damage.write('data.json', b'[]'),
    go_on(),
    ['PLACES/run/data.json'],
  ),
  'data.json lacks what it is for': (
    damage.edit('data.json', lambda d: d.pop('identity')),
    go_on(),
    ['PLACES/run/data.json'],
  ),
  'data.json has another identity': (
    damage.edit('data.json', lambda d: d.update(identity=3)),
    go_on(),
    ['PLACES/run/data.json'],
  ),
  'data.json is a folder': (
    damage.folder('data.json'),
    go_on(),
    ['PLACES/run/data.json'],
  ),
  'a row of metrics.jsonl is damaged': (
    damage.append('metrics.jsonl', b'{"step": 1, "train'),
    go_on(),
    ['PLACES/run/metrics.jsonl:8'],
  ),
  'a row of metrics.jsonl is no text': (
    damage.append('metrics.jsonl', b'\0\xff\0'),
    go_on(),
    ['PLACES/run/metrics.jsonl:8'],
  ),
  'a row of metrics.jsonl has no step': (
    damage.append('metrics.jsonl', b'{"loss": 1}'),
    go_on(),
    ['PLACES/run/metrics.jsonl:8'],
  ),
  'metrics.jsonl is a folder': (
    damage.folder('metrics.jsonl'),
    go_on(),
    ['PLACES/run/metrics.jsonl'],
  ),
  'a row of evaluations.jsonl is damaged': (
    damage.append('evaluations.jsonl', b'{"protocol": 3}'),
    go_on(),
    ['PLACES/run/evaluations.jsonl:3'],
  ),
  'a row of evaluations.jsonl is no text': (
    damage.append('evaluations.jsonl', b'\xff\xfe'),
    go_on(),
    ['PLACES/run/evaluations.jsonl:3'],
  ),
  'scores that are none': (
    damage.append(
      'evaluations.jsonl', b'{"protocol": {"step": 1}, "scores": "high"}'
    ),
    go_on(),
    ['PLACES/run/evaluations.jsonl:3'],
  ),
  'evaluations.jsonl is a folder': (
    damage.folder('evaluations.jsonl'),
    go_on(),
    ['PLACES/run/evaluations.jsonl'],
  ),
  'metadata of the checkpoint is no JSON': (
    damage.all_of(ONLY_4, damage.write(META, b'{"format": 1')),
    go_on(),
    ['PLACES/run/checkpoints/4', 'move it away'],
  ),
  'metadata of the checkpoint is a list': (
    damage.all_of(ONLY_4, damage.write(META, b'[]')),
    go_on(),
    ['PLACES/run/checkpoints/4'],
  ),
  'metadata of the checkpoint is gone': (
    damage.all_of(ONLY_4, damage.remove('checkpoints/4/meta')),
    go_on(),
    ['PLACES/run/checkpoints/4'],
  ),
  'the checkpoint is of another format': (
    damage.edit(META, lambda m: m.update(format=99)),
    go_on(),
    ['PLACES/run/checkpoints/4', 'format 99'],
  ),
  'the checkpoint is gone': (
    damage.all_of(ONLY_4, damage.remove('checkpoints/4/state')),
    go_on(),
    ['PLACES/run/checkpoints/4'],
  ),
  'the checkpoint is cut': (
    damage.all_of(ONLY_4, damage.cut('checkpoints/4/state')),
    go_on(),
    ['PLACES/run/checkpoints/4'],
  ),
  'checkpoints is a file': (
    lambda workdir: (
      shutil.rmtree(workdir / 'checkpoints'),
      (workdir / 'checkpoints').touch(),
    ),
    go_on(),
    ['PLACES/run/checkpoints'],
  ),
  'best is a file': (
    lambda workdir: (
      shutil.rmtree(workdir / 'best'),
      (workdir / 'best').touch(),
    ),
    go_on(),
    ['PLACES/run/best'],
  ),
  'samples is a file': (
    lambda workdir: (
      shutil.rmtree(workdir / 'samples'),
      (workdir / 'samples').touch(),
    ),
    go_on(),
    ['PLACES/run'],
  ),
  'evaluations that no images are left for': (
    damage.nothing,
    go_on(eval__num_fakes=1),
    ['fid', 'eval.num_fakes'],
  ),
  'a metric the extractor cannot give': (
    damage.nothing,
    go_on(eval__metrics='(is,)'),
    ['eval.metrics'],
  ),
  'a best metric that is not made': (
    damage.nothing,
    go_on(eval__best_metric='recall'),
    ["'recall'", 'eval.best_metric'],
  ),
  'Inception weights that are not there': (
    damage.nothing,
    go_on(eval__extractor='inception', eval__inception_path='PLACES/none.pth'),
    ['PLACES/none.pth'],
  ),
  'Inception weights that are a folder': (
    damage.nothing,
    go_on(eval__extractor='inception', eval__inception_path='PLACES/run'),
    ['PLACES/run'],
  ),
  'Inception weights that are none': (
    damage.write('weights.pth', b'not a network'),
    go_on(
      eval__extractor='inception', eval__inception_path='PLACES/run/weights.pth'
    ),
    ['PLACES/run/weights.pth'],
  ),
  'batches of fakes that do not split into groups': (
    damage.nothing,
    [
      *go_on(
        eval__bn_statistics='batch',
        eval__batch_size=12,
        generator__bn_group_size=8,
      ),
      '--allow_changes=generator.bn_group_size',
    ],
    ['eval.batch_size', 'generator.bn_group_size 8'],
  ),
}


@pytest.mark.parametrize('name', TRAINING)
def test_training(trained, tmp_path, capsys, name):
  arrange, argv, told = TRAINING[name]
  arrange(mistakes.copy(trained, tmp_path))
  mistakes.check(Case('main', argv, told), tmp_path, capsys)
