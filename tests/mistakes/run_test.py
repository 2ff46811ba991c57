"""Commands on the directory of a run that is damaged, or is of another."""

import json
import shutil

import pytest

from tests.support import compilation, mistakes, tiny
from tests.support.mistakes import Case

CHANGES = {
  'num_steps': 4,
  'checkpoint__every_steps': 2,
  'eval__every_steps': 2,
}


@pytest.fixture(autouse=True, scope='module')
def small_networks():
  with tiny.small_networks(), compilation.cheap_compilation():
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


def write(name, content):
  """Arranges for a file of the run to have another content."""

  def arrange(workdir):
    (workdir / name).write_bytes(content)

  return arrange


def edit(name, change):
  """Arranges for a JSON file of the run to be changed."""

  def arrange(workdir):
    tree = json.loads((workdir / name).read_text())
    change(tree)
    (workdir / name).write_text(json.dumps(tree))

  return arrange


def append(name, content):
  """Arranges for a file of the run to have a further line."""

  def arrange(workdir):
    with open(workdir / name, 'ab') as file:
      file.write(content + b'\n')

  return arrange


def remove(name):
  """Arranges for a file or folder of the run to be gone."""

  def arrange(workdir):
    path = workdir / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()

  return arrange


def folder(name):
  """Arranges for a folder to be where a file of the run was."""

  def arrange(workdir):
    (workdir / name).unlink()
    (workdir / name / 'x').mkdir(parents=True)

  return arrange


def cut(name):
  """Arranges for the files of a folder to be cut in the middle."""

  def arrange(workdir):
    for path in (workdir / name).rglob('*'):
      if path.is_file():
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

  return arrange


def nothing(workdir):
  """The directory stays as it is."""
  del workdir


EVALUATE = ['--workdir=PLACES/run']
ALONE = ['--workdir=PLACES/run']
CONFIG = 'PLACES/run/config.json'
META = 'checkpoints/4/meta/metadata'

TRAINING = {
  'another seed': (nothing, go_on(seed=1), ['PLACES/run', 'seed: 0 -> 1']),
  'a change that is not allowed': (
    nothing,
    [*go_on(seed=1, latent_dim=64), '--allow_changes=seed'],
    ['PLACES/run', 'latent_dim: 128 -> 64', '--allow_changes=latent_dim'],
  ),
  'an allowed change that is no key': (
    nothing,
    [*go_on(seed=1), '--allow_changes=sead'],
    ["'sead'", "'seed'"],
  ),
  'an allowed change of the model': (
    nothing,
    [*go_on(latent_dim=64), '--allow_changes=latent_dim'],
    ['PLACES/run/checkpoints/4', 'another model'],
  ),
  'other data': (
    nothing,
    [*go_on(dataset__num_examples=65)],
    ['PLACES/run', 'dataset.num_examples: 64 -> 65'],
  ),
  'a wrong key beside the directory alone': (
    nothing,
    [*ALONE, '--config.sead=1'],
    ["'sead'"],
  ),
  'config.json is no JSON': (
    write('config.json', b'{"seed": 0'),
    go_on(),
    [CONFIG, 'not JSON'],
  ),
  'config.json is empty': (write('config.json', b''), go_on(), [CONFIG]),
  'config.json is no text': (write('config.json', b'\xff'), ALONE, [CONFIG]),
  'config.json is deep': (
    write('config.json', b'[' * 100_000),
    ALONE,
    [CONFIG],
  ),
  'config.json is a list': (write('config.json', b'[1]'), ALONE, [CONFIG]),
  'config.json is null': (write('config.json', b'null'), go_on(), [CONFIG]),
  'config.json has a wrong value': (
    edit('config.json', lambda c: c.update(seed='x')),
    go_on(),
    [CONFIG, "seed='x'"],
  ),
  'config.json lacks a key': (
    edit('config.json', lambda c: c.pop('seed')),
    ALONE,
    [CONFIG, "'seed'"],
  ),
  'config.json has another key': (
    edit('config.json', lambda c: c.update(zeed=1)),
    ALONE,
    [CONFIG, "'zeed'"],
  ),
  'config.json is a folder': (folder('config.json'), ALONE, [CONFIG]),
  'config.json is gone': (
    remove('config.json'),
    go_on(),
    ['PLACES/run', 'config.json'],
  ),
  'data.json is no JSON': (
    write('data.json', b'{'),
    go_on(),
    ['PLACES/run/data.json'],
  ),
  'data.json is a list': (
    write('data.json', b'[]'),
    go_on(),
    ['PLACES/run/data.json'],
  ),
  'data.json lacks what it is for': (
    edit('data.json', lambda d: d.pop('identity')),
    go_on(),
    ['PLACES/run/data.json'],
  ),
  'data.json has another identity': (
    edit('data.json', lambda d: d.update(identity=3)),
    go_on(),
    ['PLACES/run/data.json'],
  ),
  'data.json is a folder': (
    folder('data.json'),
    go_on(),
    ['PLACES/run/data.json'],
  ),
  'a row of metrics.jsonl is damaged': (
    append('metrics.jsonl', b'{"step": 1, "train'),
    go_on(),
    ['PLACES/run/metrics.jsonl:7'],
  ),
  'a row of metrics.jsonl is no text': (
    append('metrics.jsonl', b'\0\xff\0'),
    go_on(),
    ['PLACES/run/metrics.jsonl:7'],
  ),
  'a row of metrics.jsonl has no step': (
    append('metrics.jsonl', b'{"loss": 1}'),
    go_on(),
    ['PLACES/run/metrics.jsonl:7'],
  ),
  'metrics.jsonl is a folder': (
    folder('metrics.jsonl'),
    go_on(),
    ['PLACES/run/metrics.jsonl'],
  ),
  'a row of evaluations.jsonl is damaged': (
    append('evaluations.jsonl', b'{"protocol": 3}'),
    go_on(),
    ['PLACES/run/evaluations.jsonl:3'],
  ),
  'a row of evaluations.jsonl is no text': (
    append('evaluations.jsonl', b'\xff\xfe'),
    go_on(),
    ['PLACES/run/evaluations.jsonl:3'],
  ),
  'scores that are none': (
    append('evaluations.jsonl', b'{"protocol": {"step": 1}, "scores": "high"}'),
    go_on(),
    ['PLACES/run/evaluations.jsonl:3'],
  ),
  'evaluations.jsonl is a folder': (
    folder('evaluations.jsonl'),
    go_on(),
    ['PLACES/run/evaluations.jsonl'],
  ),
  'metadata of the checkpoint is no JSON': (
    write(META, b'{"format": 1'),
    go_on(),
    ['PLACES/run/checkpoints/4', 'go on from step 2'],
  ),
  'metadata of the checkpoint is a list': (
    write(META, b'[]'),
    go_on(),
    ['PLACES/run/checkpoints/4'],
  ),
  'metadata of the checkpoint is gone': (
    remove('checkpoints/4/meta'),
    go_on(),
    ['PLACES/run/checkpoints/4'],
  ),
  'the checkpoint is of another format': (
    edit(META, lambda m: m.update(format=99)),
    go_on(),
    ['PLACES/run/checkpoints/4', 'format 99'],
  ),
  'the checkpoint is gone': (
    remove('checkpoints/4/state'),
    go_on(),
    ['PLACES/run/checkpoints/4'],
  ),
  'the checkpoint is cut': (
    cut('checkpoints/4/state'),
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
    nothing,
    go_on(eval__num_fakes=1),
    ['fid', 'eval.num_fakes'],
  ),
  'a metric the extractor cannot give': (
    nothing,
    go_on(eval__metrics='(is,)'),
    ['eval.metrics'],
  ),
  'a best metric that is not made': (
    nothing,
    go_on(eval__best_metric='recall'),
    ["'recall'", 'eval.best_metric'],
  ),
  'Inception weights that are not there': (
    nothing,
    go_on(eval__extractor='inception', eval__inception_path='PLACES/none.pth'),
    ['PLACES/none.pth'],
  ),
  'Inception weights that are a folder': (
    nothing,
    go_on(eval__extractor='inception', eval__inception_path='PLACES/run'),
    ['PLACES/run'],
  ),
  'Inception weights that are none': (
    write('weights.pth', b'not a network'),
    go_on(
      eval__extractor='inception', eval__inception_path='PLACES/run/weights.pth'
    ),
    ['PLACES/run/weights.pth'],
  ),
  'batches of fakes that do not split into groups': (
    nothing,
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

SCORING = {
  'a step without checkpoint': (
    nothing,
    [*EVALUATE, '--step=99'],
    ['PLACES/run', 'step 99', '[2, 4]', '--step'],
  ),
  'no best': (
    remove('best'),
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
  'no checkpoints': (remove('checkpoints'), EVALUATE, ['PLACES/run']),
  'damaged scores': (
    append('evaluations.jsonl', b'{'),
    EVALUATE,
    ['PLACES/run/evaluations.jsonl:3'],
  ),
  'a damaged config': (write('config.json', b'x'), EVALUATE, [CONFIG]),
  'a damaged checkpoint': (
    write(META, b'x'),
    [*EVALUATE, '--step=4'],
    ['PLACES/run/checkpoints/4'],
  ),
  'another model': (
    nothing,
    [*EVALUATE, '--config.latent_dim=64'],
    ['PLACES/run/checkpoints/2', 'another model'],
  ),
  'another size': (
    nothing,
    [*EVALUATE, '--config.image_size=33'],
    ['image_size=33', '--config.image_size'],
  ),
  'another network': (
    nothing,
    [*EVALUATE, '--config.generator.attention=(7,)'],
    ['generator.attention', '--config.generator.attention'],
  ),
  'other classes': (
    nothing,
    [*EVALUATE, '--config.num_classes=3'],
    ['PLACES/run/checkpoints/2', 'another model'],
  ),
  'data that is not there': (
    nothing,
    [
      *EVALUATE,
      '--config.dataset.name=folder:PLACES/none',
      '--config.dataset.num_examples=None',
    ],
    ["PLACES/none'"],
  ),
  'too few fakes': (
    nothing,
    [*EVALUATE, '--config.eval.num_fakes=1'],
    ['fid', 'eval.num_fakes'],
  ),
  'more reals than there are': (
    nothing,
    [*EVALUATE, '--config.eval.num_reals=100'],
    ['eval.num_reals'],
  ),
  'groups that do not divide a batch of fakes': (
    nothing,
    [
      *EVALUATE,
      '--config.eval.bn_statistics=batch',
      '--config.generator.bn_group_size=3',
    ],
    ['eval.batch_size', '3'],
  ),
  'two sources at once': (
    nothing,
    [*EVALUATE, '--real=shapes', '--fake=shapes'],
    ['--workdir', '--real'],
  ),
  'a config for a run': (
    nothing,
    [*EVALUATE, '--config=quickstart'],
    ['--config'],
  ),
}


@pytest.mark.parametrize('name', TRAINING)
def test_training(trained, tmp_path, capsys, name):
  arrange, argv, told = TRAINING[name]
  arrange(mistakes.copy(trained, tmp_path))
  mistakes.check(Case('main', argv, told), tmp_path, capsys)


@pytest.mark.parametrize('name', SCORING)
def test_scoring(trained, tmp_path, capsys, name):
  arrange, argv, told = SCORING[name]
  arrange(mistakes.copy(trained, tmp_path))
  mistakes.check(Case('evaluate', argv, told), tmp_path, capsys)
