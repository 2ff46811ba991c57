"""Command lines that cannot be meant: flags, keys, values, config files."""

import pytest

from tests.support import mistakes
from tests.support.mistakes import Case

TRAIN = ['--config=quickstart', '--workdir=PLACES/new']
BENCH = ['--config=quickstart']
PREPARE = ['--source=shapes', '--image_size=8', '--output=PLACES/new']


def _key(text):
  return [*TRAIN, f'--config.{text}']


FLAGS = {
  'no directory': ('main', ['--config=quickstart'], ['--workdir']),
  'an empty directory': (
    'main',
    ['--config=quickstart', '--workdir='],
    ['--workdir'],
  ),
  'no config and no run': ('main', ['--workdir=PLACES/new'], ['PLACES/new']),
  'a misspelt flag': ('main', [*TRAIN, '--workdr=x'], ['--workdir?']),
  'a key as a flag': ('main', [*TRAIN, '--seed=1'], ['--config.seed?']),
  'a word too many': ('main', [*TRAIN, 'train'], ["'train'"]),
  'a flag without value': ('main', ['--workdir'], ['--workdir']),
  'a key without value': ('main', [*TRAIN, '--config.seed'], ['--config.seed']),
  'a step that is none': (
    'evaluate',
    ['--workdir=PLACES/new', '--step=last'],
    ['--step', "'last'"],
  ),
  'a step below zero': (
    'evaluate',
    ['--workdir=PLACES/new', '--step=-1'],
    ['--step', "'-1'"],
  ),
  'evaluate without anything': ('evaluate', [], ['--workdir', '--real']),
  'evaluate an empty directory': (
    'evaluate',
    ['--workdir=PLACES/empty'],
    ['PLACES/empty', 'config.json'],
  ),
  'evaluate nowhere': ('evaluate', ['--workdir='], ['--workdir']),
  'evaluate a file': ('evaluate', ['--workdir=PLACES/file'], ['PLACES/file']),
  'sets without names': (
    'evaluate',
    ['--config=quickstart', '--real=shapes'],
    ['--fake'],
  ),
  'a benchmark of nothing': ('benchmark', [], ['--config']),
  'no steps': ('benchmark', [*BENCH, '--steps=0'], ['--steps', "'0'"]),
  'steps without number': ('benchmark', [*BENCH, '--steps='], ['--steps']),
  'an unknown form': (
    'benchmark',
    [*BENCH, '--no-input', '--config.num_classes=10', '--forms=dens'],
    ['resample', "'dens'"],
  ),
  'an unknown dtype': (
    'benchmark',
    [*BENCH, '--no-input', '--config.num_classes=10', '--dtypes=float31'],
    ['dtype', "'float31'"],
  ),
  'a batch of no number': (
    'benchmark',
    [*BENCH, '--batch_sizes=8,many'],
    ['--batch_sizes', "'many'"],
  ),
  'figures into a directory': (
    'benchmark',
    [*BENCH, '--no-input', '--config.num_classes=10', '--json=PLACES/empty'],
    ['PLACES/empty'],
  ),
  'no source': ('prepare', PREPARE[1:], ['--source']),
  'no output': ('prepare', PREPARE[:2], ['--output']),
  'an empty output': ('prepare', [*PREPARE[:2], '--output='], ['--output']),
  'no image size': (
    'prepare',
    ['--source=shapes', '--output=PLACES/new'],
    ['--image_size'],
  ),
  'a size below zero': (
    'prepare',
    [PREPARE[0], '--image_size=-8', PREPARE[2]],
    ['--image_size', "'-8'"],
  ),
  'a size beyond all': (
    'prepare',
    [PREPARE[0], f'--image_size={2**40}', PREPARE[2]],
    ['--image_size', str(2**40)],
  ),
  'a source that is none': (
    'prepare',
    ['--source=shaps', *PREPARE[1:]],
    ["'shaps'", "'shapes'"],
  ),
  'an output in a file': (
    'prepare',
    [*PREPARE[:2], '--output=PLACES/file/new'],
    ['PLACES/file/new'],
  ),
  'nothing to verify': ('prepare', ['--verify=PLACES/empty'], ['PLACES/empty']),
  'a report of nothing': ('report', [], ['no run was named']),
  'a report of no run': (
    'report',
    ['PLACES/empty'],
    ['PLACES/empty', 'config.json'],
  ),
  'a report of a file': ('report', ['PLACES/file'], ['PLACES/file']),
  'no command': ('__main__', ['trian'], ["'trian'"]),
}

# {what comes after --config.: what the first line must tell}.
KEYS = {
  'sead=1': ['sead', "'seed'"],
  'generator=4': ["'generator'", 'section'],
  'generator.chh=4': ["'generator.chh'", "'generator.ch'"],
  'optim.generator.lr=1': ["'optim.generator.lr'"],
  '=1': ["''"],
  'seed=-1': ['seed=-1', '--config.seed'],
  f'seed={2**40}': [f'seed={2**40}'],
  'seed=1e999': ['seed', '--config.seed'],
  'seed=nan': ['seed'],
  'seed=': ["seed=''"],
  f'seed={"9" * 5000}': ['seed', '--config.seed'],
  'batch_size=many': ["batch_size='many'"],
  'batch_size=1.5': ['batch_size=1.5'],
  'batch_size=0': ['batch_size=0'],
  'batch_size=７.5': ['batch_size=7.5'],
  'batch_size=¼': ["batch_size='¼'"],
  'num_steps=None': ['num_steps=None'],
  'optim.generator.learning_rate=inf': ['optim.generator.learning_rate=inf'],
  'optim.generator.learning_rate=-0.1': ['learning_rate=-0.1', '> 0'],
  'optim.generator.eps=0': ['optim.generator.eps=0'],
  'optim.discriminator.b2=1': ['optim.discriminator.b2=1'],
  'ema.decay=1e0': ['ema.decay=1'],
  'loss=hing': ["loss='hing'", "'hinge'"],
  'dtype=float16': ["dtype='float16'"],
  'architecture=biggan': ["architecture='biggan'"],
  'generator.attention=(16,x)': ['generator.attention'],
  'generator.attention=(64,)': ['generator.attention', '[8, 16, 32]'],
  'discriminator.residual=(5,)': ['discriminator.residual', '5'],
  'image_size=33': ['image_size=33', '32'],
  'num_devices=9': ['9 devices', '--config.num_devices'],
  'num_devices=0': ['num_devices=0'],
  'num_microbatches=7': ['7 microbatches', '--config.batch_size'],
  'generator.bn_group_size=7': ['bn_group_size 7'],
  'num_classes=12': ['num_classes is 12', '--config.num_classes=10'],
  'log.every_steps=0': ['log.every_steps=0'],
  'log.tensorboard=maybe': ["log.tensorboard='maybe'"],
  'horizontal_flip=2': ["horizontal_flip='2'"],
  'eval.metrics=()': ['eval.metrics=()'],
  'eval.metrics=fidd': ['eval.metrics', "'fid'"],
  'eval.bn_statistics=global': ['eval.bn_statistics'],
  'eval.truncations=0': ['eval.truncations'],
  'eval.max_time_share=2': ['eval.max_time_share=2'],
  'dataset.name=': ["dataset.name=''"],
  'dataset.split=': ["dataset.split=''"],
  'eval.cache_dir=': ["eval.cache_dir=''"],
  'eval.inception_path=': ["eval.inception_path=''"],
  'dataset.name=shaps': ["'shaps'", "'shapes'"],
  'dataset.name=folder:': ["'folder:'"],
  'dataset.split=dev': ["'dev'", '--config.dataset.split'],
  'dataset.data_dir=/x': ['data_dir', '--config.dataset.data_dir=None'],
  'dataset.num_examples=0': ['dataset.num_examples=0'],
}

# {content of a config file: what the first line must tell besides its path}.
FILES = {
  'def get_config(': [':1', 'never closed'],
  'x = 1\n': ['get_config()'],
  'def get_config():\n  pass\n': [':1', 'None'],
  'def get_config():\n  return 1 / 0\n': [':2', 'ZeroDivisionError'],
  'import nowhere\ndef get_config(): pass\n': [':1', 'nowhere'],
  'def get_config(n):\n  return {}\n': ['get_config(n)', '--config=FILE:'],
  'def get_config():\n  return {}\n': ['missing config keys'],
  'import sys\nsys.exit("bye")\n': [':2', 'SystemExit'],
  'from sagan_jax.experiments import quickstart\n'
  'def get_config():\n'
  '  c = quickstart.get_config()\n'
  '  c.sead = 1\n'
  '  return c\n': ['sead'],
  '\udcff': ['utf-8'],
}

CONFIGS = {
  'no such file': ('PLACES/none.py', ['PLACES/none.py', 'No such file']),
  'no such name': ('quickstrat', ["'quickstrat'", "'quickstart'"]),
  'a folder': ('PLACES/folder.py', ['PLACES/folder.py', 'Is a directory']),
  'nothing': ('', ["''", '--config']),
  'no python': ('PLACES/file', ["PLACES/file'"]),
}


@pytest.fixture
def places(tmp_path):
  """A directory with what some cases find empty or in the way."""
  (tmp_path / 'file').write_text('text')
  (tmp_path / 'empty').mkdir()
  (tmp_path / 'folder.py').mkdir()
  return tmp_path


@pytest.mark.parametrize('name', FLAGS)
def test_flags(places, capsys, name):
  mistakes.check(Case(*FLAGS[name]), places, capsys)
  assert not (places / 'new').exists()


@pytest.mark.parametrize('text', KEYS, ids=lambda text: text[:40])
@pytest.mark.parametrize('command', ['main', 'evaluate', 'benchmark'])
def test_keys(places, capsys, text, command):
  """As far as a command reads the key."""
  argv = {'main': TRAIN, 'benchmark': [*BENCH, '--no-input']}.get(
    command, ['--config=quickstart', '--real=shapes', '--fake=shapes']
  )
  if command != 'main' and not _is_known_without_data(text):
    pytest.skip('the command has no use for the key')
  mistakes.check(
    Case(command, [*argv, f'--config.{text}'], KEYS[text]), places, capsys
  )
  assert not (places / 'new').exists()


def _is_known_without_data(text):
  return not text.startswith(
    ('dataset.', 'num_', 'image_', 'generator.', 'discriminator.')
  )


@pytest.mark.parametrize('content', FILES)
def test_config_files(places, capsys, content):
  path = places / 'mine.py'
  path.write_bytes(content.encode(errors='surrogateescape'))
  case = Case(
    'main',
    [f'--config={path}', '--workdir=PLACES/new'],
    [str(path), *FILES[content]],
  )
  mistakes.check(case, places, capsys)


@pytest.mark.parametrize('name', CONFIGS)
@pytest.mark.parametrize('command', ['main', 'benchmark'])
def test_configs(places, capsys, name, command):
  config, told = CONFIGS[name]
  argv = [f'--config={config}']
  if command == 'main':
    argv.append('--workdir=PLACES/new')
  mistakes.check(Case(command, argv, told), places, capsys)
