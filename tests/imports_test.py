"""Tests of what imports what, and of what is only imported when needed."""

import ast
import pathlib
import subprocess
import sys

import pytest

import sagan_jax
from tests.conftest import ROOT
from tests.support import commands

# A folder imports from those below it and from itself; a command (a file at the
# top) from all, but from no other command. Folders of one line stay apart.
FOLDERS = (
  ('sweeps', 'gallery', 'planning', 'benchmarks', 'drills'),
  ('run',),
  ('config',),
  ('evaluation', 'pictures', 'weights', 'checkpoints', 'verdicts'),
  ('gan',),
  ('models', 'inception', 'metrics', 'data'),
  ('cluster', 'formats'),
  ('files', 'progress'),  # Files that everyone may use.
  ('errors',),
)
COMMANDS = (
  '__main__',
  'main',
  'evaluate',
  'verify',
  'sample',
  'report',
  'export',
  'attention',
  'sweep',
  'launch',
  'benchmark',
  'drill',
  'plan',
  'prepare',
)
OPTIONAL = ('tensorflow', 'clu', 'ml_collections', 'tensorflow_datasets')
# The files that may need one at import; others do so inside functions.
NEED_OPTIONAL = {
  'main': {'ml_collections'},  # Commands parse a config file.
  'data.tfds': {'tensorflow', 'tensorflow_datasets'},
  'data.tfds_decode': {'tensorflow'},
}


def modules():
  """{dotted name below sagan_jax: source}."""
  found = {}
  package = pathlib.Path(sagan_jax.__file__).parent  # A wheel's, where tested.
  for path in sorted(package.rglob('*.py')):
    parts = path.relative_to(package).with_suffix('').parts
    if parts[0] == 'experiments':  # The configs, which a wheel carries.
      continue
    if parts[-1] == '__init__':
      parts = parts[:-1]
    found['.'.join(parts)] = path.read_text()
  return found


def imported(source, *, only_at_import=False):
  """The dotted names that source code imports.

  `from a import b` gives 'a.b', since b may be a module.
  """
  tree = ast.parse(source)
  nodes = list(ast.walk(tree))
  if only_at_import:
    inner = {
      id(node)
      for function in nodes
      if isinstance(function, (ast.FunctionDef, ast.Lambda))
      for node in ast.walk(function)
    }
    nodes = [node for node in nodes if id(node) not in inner]
  names = set()
  for node in nodes:
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, 'imports are absolute'
      names |= {f'{node.module}.{alias.name}' for alias in node.names}
  return names


def rank(part):
  """The line of a folder in `FOLDERS`; commands come before the first."""
  if part in COMMANDS:
    return -1
  return next((i for i, names in enumerate(FOLDERS) if part in names), None)


def wrong_imports(name, source):
  """The imports of a module that do not point down."""
  own = name.split('.')[0]
  wrong = []
  for full in imported(source):
    top, _, target = full.partition('.')
    if top in ('experiments', 'tests'):
      wrong.append(full)
    part = target.split('.')[0]
    if top != 'sagan_jax' or not part or part.startswith('__'):
      continue
    inside = part == own and part not in COMMANDS
    if not inside and rank(part) <= rank(own):
      wrong.append(full)
  return sorted(wrong)


def test_a_file_at_the_top_is_a_command():
  tops = {name.split('.')[0] for name in modules() if name}
  known = {*COMMANDS, *(part for line in FOLDERS for part in line)}
  assert tops == known


@pytest.mark.parametrize('name', [name for name in modules() if name])
def test_imports_point_down(name):
  assert wrong_imports(name, modules()[name]) == []


@pytest.mark.parametrize(
  'name, source, found',
  [
    ('gan.step', 'from sagan_jax.run import loop', 'sagan_jax.run.loop'),
    ('gan.state', 'import sagan_jax.main', 'sagan_jax.main'),
    ('main', 'from sagan_jax import prepare', 'sagan_jax.prepare'),
    ('data.array', 'import sagan_jax.gan.step', 'sagan_jax.gan.step'),
    ('errors', 'from sagan_jax import files', 'sagan_jax.files'),
    (
      'models.layers',
      'def f():\n  from sagan_jax.metrics import kid',
      'sagan_jax.metrics.kid',
    ),
    ('run.loop', 'from experiments import imagenet', 'experiments.imagenet'),
    ('gan.step', 'from sagan_jax.gan.state import x', None),
    ('gan.step', 'from sagan_jax.models import layers', None),
  ],
)
def test_a_violation_is_found(name, source, found):
  assert wrong_imports(name, source) == ([found] if found else [])


def test_experiments_import_only_configs():
  for path in (ROOT / 'experiments').glob('*.py'):
    for name in imported(path.read_text()):
      assert name.startswith(('sagan_jax.experiments', 'ml_collections')), path


def test_optional_packages_are_imported_where_needed():
  for name, source in modules().items():
    needs = {
      x.split('.')[0] for x in imported(source, only_at_import=True)
    } & set(OPTIONAL)
    assert needs <= NEED_OPTIONAL.get(name, set()), name


# Trains, saves, restores, samples and scores where the optional packages
# cannot be imported. The arguments: a directory, and the leaves of a config.
WITHOUT_THEM = '''
import importlib, json, pathlib, pkgutil, sys

OPTIONAL = ('tensorflow', 'clu', 'ml_collections', 'tensorflow_datasets')

class Without:
  """Finds what a finder finds, but for the optional packages."""

  def __init__(self, finder):
    self.finder = finder

  def find_spec(self, name, *args):
    if name.split('.')[0] in OPTIONAL:
      return None
    return self.finder.find_spec(name, *args)

  def __getattr__(self, name):
    return getattr(self.finder, name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]

import numpy as np
from PIL import Image
import sagan_jax
from sagan_jax import data
from sagan_jax.config import schema as config
from sagan_jax.gan import state
from sagan_jax.run import trainer
from sagan_jax.run.run import Run

for module in pkgutil.walk_packages(sagan_jax.__path__, 'sagan_jax.'):
  if not module.name.endswith(('.main', '.tfds', '.tfds_decode')):
    importlib.import_module(module.name)

here = pathlib.Path(sys.argv[1])
for label in 'ab':
  (here / 'folder' / 'train' / label).mkdir(parents=True)
  for i in range(4):
    Image.new('RGB', (40, 36), (60 * i, 99, ord(label))).save(
      here / 'folder' / 'train' / label / f'{i}.png'
    )
folder = data.make_source(f'folder:{here}/folder', image_size=32)
batch = next(folder.batches(seed=0, batch_size=4))
assert batch['image'].shape == (4, 32, 32, 3), batch['image'].shape
from sagan_jax import prepare
prepare.main([
  f'--source=folder:{here}/folder', '--image_size=32', f'--output={here}/array'
])
array = data.make_source(f'array:{here}/array', image_size=32)
assert array.num_examples == 8
assert next(array.examples(batch_size=8))['image'].shape == (8, 32, 32, 3)

from tests.support import tiny  # Compiles sooner than the real networks.

tree = config.read(json.loads(sys.argv[2]))
with tiny.small_networks():
  run = Run.for_training(here / 'run', tree)
  final = trainer.Trainer(run).train()
  again = Run.open(here / 'run')
  assert again.checkpointer.steps() == [2], again.checkpointer.steps()
  assert state.digest(again.restore()) == state.digest(final)
  again.checkpointer.close()
assert 'scores' in (here / 'run' / 'evaluations.jsonl').read_text()
assert not [m for m in sys.modules if m.split('.')[0] in OPTIONAL]
print('all done')
'''


def run_script(script, *arguments):
  result = subprocess.run(
    [sys.executable, '-c', script, *arguments],
    cwd=ROOT,
    env=commands.environment(),
    capture_output=True,
    text=True,
    timeout=commands.TIMEOUT_SECS,
    check=False,
  )
  return result.returncode, result.stdout + result.stderr


@pytest.mark.slow
def test_training_needs_no_optional_package(tmp_path):
  leaves = commands.leaves(num_steps=2, sample__every_steps=2)
  code, output = run_script(WITHOUT_THEM, str(tmp_path), leaves)
  assert code == 0, output
  assert 'all done' in output


def test_the_command_imports_no_tensorflow():
  """It takes seconds, and memory of the device where that is a GPU."""
  code, output = run_script(
    'import sys, sagan_jax.main\n'
    'print([m for m in ("tensorflow", "clu", "tensorflow_datasets")'
    ' if m in sys.modules])'
  )
  assert (code, output.splitlines()[-1]) == (0, '[]')


def test_importing_touches_no_device():
  """Else a process could not join others, nor choose its platform."""
  names = [
    f'sagan_jax.{name}' for name in modules() if name and 'tfds' not in name
  ]
  code, output = run_script(
    'import importlib\n'
    f'for name in {names}: importlib.import_module(name)\n'
    'import jax\n'
    'jax.config.update("jax_num_cpu_devices", 3)\n'
    'print(len(jax.devices()))'
  )
  assert (code, output.splitlines()[-1]) == (0, '3')
