"""Tests of programs that outlive the process that compiled them."""

import os
import pathlib
import stat
import subprocess
import sys

import pytest
from jax._src import compiler, distributed

from sagan_jax import errors
from sagan_jax.run import program_cache
from tests.conftest import ROOT

_VARIABLE = 'JAX_COMPILATION_CACHE_DIR'


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
  """A user who has set nothing; returns where the cache of that user is."""
  monkeypatch.setenv('SAGAN_JAX_CACHE', str(tmp_path / 'cache'))
  for name in (_VARIABLE, 'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'):
    monkeypatch.setenv(name, '')  # So that it is put back afterwards.
    monkeypatch.delenv(name)
  return tmp_path / 'cache' / 'programs'


def test_the_default_is_private_and_of_this_version(own_cache):
  program_cache.use(None)
  directory = pathlib.Path(os.environ[_VARIABLE])
  assert directory == own_cache / program_cache.version()
  for path in (own_cache, directory):
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_what_the_user_has_set_stays(monkeypatch):
  monkeypatch.setenv(_VARIABLE, '/elsewhere')
  program_cache.use(None)
  assert os.environ[_VARIABLE] == '/elsewhere'


def test_off_is_off(monkeypatch):
  monkeypatch.setenv(_VARIABLE, '/elsewhere')
  program_cache.use('off')
  assert _VARIABLE not in os.environ


@pytest.mark.parametrize('mode', [0o770, 0o707])
@pytest.mark.parametrize('given', [True, False])
def test_a_directory_that_others_can_write_is_refused(own_cache, mode, given):
  own_cache.mkdir(parents=True)
  own_cache.chmod(mode)
  with pytest.raises(errors.UserError, match='programs: others can write to'):
    program_cache.use(str(own_cache) if given else None)
  assert _VARIABLE not in os.environ


def test_a_cache_that_cannot_be_made_is_done_without(own_cache, capsys):
  own_cache.parent.write_text('a file')
  program_cache.use(None)
  assert _VARIABLE not in os.environ
  assert 'programs are not kept: cannot write' in capsys.readouterr().err
  with pytest.raises(errors.UserError, match='cannot write'):
    program_cache.use(str(own_cache))


@pytest.mark.parametrize(
  ('where', 'writer'), [('/here', 0), ('gs://b/programs', 1), (None, 1)]
)
def test_every_process_keeps_its_programs_on_a_disk(monkeypatch, where, writer):
  """To jax the writer is process 0; only that one writes to a bucket."""
  seen = []

  def write(*arguments, **options):
    seen.append((distributed.global_state.process_id, arguments, options))
    raise KeyError('a full disk')

  monkeypatch.setattr(compiler, '_cache_write', write)
  monkeypatch.setattr(distributed.global_state, 'process_id', 1)
  if where:
    monkeypatch.setenv(_VARIABLE, where)
  program_cache.keep_in_all_processes()
  with pytest.raises(KeyError, match='a full disk'):
    compiler._cache_write('key', backend='cpu')
  assert seen == [(writer, ('key',), {'backend': 'cpu'})]
  assert distributed.global_state.process_id == 1


def test_a_second_process_compiles_nothing(tmp_path):
  # Slow to compile, so that jax thinks it worth keeping.
  script = """
import argparse, sys
from sagan_jax.run import command

def main(argv=None):
  parser = argparse.ArgumentParser()
  command.add_arguments(parser)
  command.join(parser.parse_args(argv))
  import jax
  @jax.jit
  def f(x):
    for _ in range(100):
      x = jax.numpy.tanh(x @ x)
    return x
  print(float(f(jax.numpy.eye(8)).sum()))

command.run(main)
"""
  environment = os.environ | {
    'JAX_PLATFORMS': 'cpu',
    'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
    'JAX_LOGGING_LEVEL': 'DEBUG',
  }

  def run(*flags):
    done = subprocess.run(
      [sys.executable, '-c', script, *flags],
      cwd=ROOT,
      env=environment,
      capture_output=True,
      text=True,
      check=True,
    )
    return done.stdout, done.stderr

  first, log = run(f'--compilation_cache={tmp_path}/own')
  assert "cache hit for 'jit_f'" not in log
  second, log = run(f'--compilation_cache={tmp_path}/own')
  assert "cache hit for 'jit_f'" in log and first == second
  _, log = run('--compilation_cache=off')
  assert "cache hit for 'jit_f'" not in log
