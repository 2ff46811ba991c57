"""Tests of finding and executing config files."""

import re
import subprocess
import sys

import pytest

from sagan_jax import errors
from sagan_jax.config import schema, source
from tests.conftest import ROOT

OWN = (
  'from sagan_jax.experiments import imagenet\n'
  'def get_config():\n'
  '  c = imagenet.get_config()\n'
  '  c.batch_size = 512\n'
  '  return c\n'
)


def test_the_configs_of_the_package_are_those_of_the_checkout():
  assert source.names() == sorted(
    path.stem for path in (ROOT / 'experiments').glob('*.py')
  )
  assert 'quickstart' in source.names()


@pytest.mark.parametrize('name', source.names())
def test_a_name_is_found_from_any_directory(name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  by_path = source.load(str(ROOT / 'experiments' / f'{name}.py'))
  assert source.load(name) == by_path


def test_a_file_may_define_dataclasses(tmp_path):
  path = tmp_path / 'own.py'
  path.write_text(
    'from __future__ import annotations\n'
    'import dataclasses\n'
    '@dataclasses.dataclass\n'
    'class Sizes:\n'
    '  x: int = 3\n'
    'def get_config(): return vars(Sizes())\n'
  )
  assert source.load(str(path)) == {'x': 3}


def test_a_relative_path_and_home_are_found(tmp_path, monkeypatch):
  (tmp_path / 'own.py').write_text(OWN)
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('HOME', str(tmp_path))
  assert source.load('own.py')['batch_size'] == 512
  assert source.load('~/own.py')['batch_size'] == 512


def test_an_argument_is_passed(tmp_path):
  path = tmp_path / 'own.py'
  path.write_text("def get_config(x='none'): return {'x': x, 'y': {'z': 1}}")
  assert source.load(f'{path}:a:b') == {'x': 'a:b', 'y.z': 1}
  assert source.load(f'{path}:') == {'x': '', 'y.z': 1}
  assert source.load(str(path)) == {'x': 'none', 'y.z': 1}


def test_a_file_imports_its_neighbours_but_shadows_nothing(tmp_path):
  (tmp_path / 'neighbour_of_own.py').write_text('X = 3')
  (tmp_path / 'json.py').write_text('raise RuntimeError')
  path = tmp_path / 'own.py'
  path.write_text(
    'import json, neighbour_of_own\n'
    "def get_config(): return {'x': neighbour_of_own.X}\n"
  )
  before = list(sys.path)
  assert source.load(str(path)) == {'x': 3}
  assert sys.path == before


@pytest.mark.parametrize('package', [str(ROOT), 'installed'])
def test_an_own_file_finds_the_base_beside_an_own_folder(package, tmp_path):
  """Where `experiments` is another folder than that of the package."""
  (tmp_path / 'experiments').mkdir()
  (tmp_path / 'experiments' / 'mine.py').write_text(OWN)
  if package == 'installed':  # What a wheel holds: files, not a link.
    package = tmp_path / 'site'
    package.mkdir()
    (package / 'sagan_jax').symlink_to(ROOT / 'sagan_jax')
  script = (
    'from sagan_jax.config import schema\n'
    "print(schema.load('experiments/mine.py').batch_size)\n"
    "print(schema.load('quickstart').batch_size)\n"
  )
  result = subprocess.run(
    [sys.executable, '-c', script],
    cwd=tmp_path,
    env={'PYTHONPATH': str(package), 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    check=False,
  )
  assert result.stdout.split() == ['512', '32'], result.stderr


def test_an_own_file_in_a_checkout_imports_the_folder(tmp_path):
  path = tmp_path / 'own.py'
  path.write_text(OWN.replace('sagan_jax.experiments', 'experiments'))
  assert (
    schema.load(str(path)).batch_size == 512
  )  # The checkout is on the path.


@pytest.mark.parametrize(
  'name, message',
  [
    ('quikstart', "no config 'quikstart'; did you mean 'quickstart'?; set "),
    ('', "no config ''; set --config to one of cifar10, imagenet, "),
    ('experiments/imagnet', "; did you mean 'imagenet'?"),
    ('none.py', 'cannot read the config file .*none.py: No such file'),
    ('none.py:3', 'none.py: No such file.*set --config to a file or one of '),
    ('own', "no config 'own'; did you mean 'own.py'?"),
    ('folder.py', 'folder.py: Is a directory; set --config'),
  ],
)
def test_what_is_not_there_is_refused(name, message, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'own.py').write_text(OWN)
  (tmp_path / 'folder.py').mkdir()
  with pytest.raises(errors.UserError, match=message.replace('?', r'\?')):
    source.load(name)


GET = 'def get_config():\n'


@pytest.mark.parametrize(
  'text, message',
  [
    ('x = (\n', ":1: '(' was never closed: 'x = ('; mend the file"),
    ('\n\n  x = 1\n', ":3: unexpected indent: 'x = 1'; mend the file"),
    ('x = 1\0', ': source code string cannot contain null bytes'),
    ('x = 1\n', ' has no function get_config(); define one'),
    ('get_config = 1\n', ' has no function get_config(); define one'),
    (GET + '  pass\n', ':1: get_config() returns None, not a ConfigDict'),
    ('\n' + GET + '  return 3\n', ':2: get_config() returns 3, not a'),
    ('import nothing_such\n', ":1: ModuleNotFoundError: No module named 'noth"),
    (
      'from experiments import my_base\n',
      ":1: ImportError: cannot import name 'my_base' from 'experiments' "
      '(unknown location); import the base with `from sagan_jax.experiments',
    ),
    ('\nraise RuntimeError("one\\ntwo")\n', ':2: RuntimeError: one two; mend'),
    (GET + '\n  return {}["seed"]\n', ":3: KeyError: 'seed'; mend the file"),
    (
      'from ml_collections import ConfigDict\n'
      + GET
      + '  c = ConfigDict({"batch_size": 1})\n  c.batch_size = "x"\n',
      ':4: TypeError: ',
    ),
    (
      'from sagan_jax.experiments import imagenet\n'
      + GET
      + '  c = imagenet.get_config()\n  c.generater.ch = 3\n  return c\n',
      ':4: AttributeError: ',
    ),
    (
      'from ml_collections import config_dict\n'
      + GET
      + '  c = config_dict.ConfigDict()\n'
      '  c.x = config_dict.required_placeholder(int)\n  return c\n',
      ': RequiredValueError: ',
    ),
  ],
)
def test_a_mistake_in_a_file_is_told_with_its_line(text, message, tmp_path):
  path = tmp_path / 'own.py'
  path.write_text(text)
  match = '^' + re.escape(f'{path}{message}')
  with pytest.raises(errors.UserError, match=match) as e:
    source.load(str(path))
  assert '\n' not in str(e.value)


@pytest.mark.parametrize(
  'signature, name, message',
  [
    ('size', '', 'given no argument .*; set --config=FILE:ARGUMENT'),
    ('', ':3', "given the argument '3' .*; set --config=FILE alone"),
  ],
)
def test_arguments_must_be_those_of_the_function(
  signature, name, message, tmp_path
):
  path = tmp_path / 'own.py'
  path.write_text(f'def get_config({signature}): return {{}}')
  with pytest.raises(errors.UserError, match=f'^{path}.*{message}'):
    source.load(f'{path}{name}')


def test_what_a_file_refuses_itself_is_told_as_it_says(tmp_path):
  path = tmp_path / 'own.py'
  path.write_text(
    'from sagan_jax import errors\n'
    "def get_config(): raise errors.UserError('not on Sundays')\n"
  )
  with pytest.raises(errors.UserError, match='^not on Sundays$'):
    source.load(str(path))
