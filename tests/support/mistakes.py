"""Mistaken commands: how one is given, and what is asked of every refusal."""

import contextlib
import importlib
import pathlib
import shutil
from typing import NamedTuple

import pytest

from sagan_jax.gan import build
from sagan_jax.run import command
from tests.support import tiny

LINE = 700  # Characters; the longest list all keys of a kind.


class Case(NamedTuple):
  """A mistaken command; PLACES stands for a directory of the test's own.

  Attributes:
    command: name of a command.
    argv: its arguments.
    told: the file or key that the first line of the error must name, and what
      else its text must say.
    code: the exit code.
  """

  command: str
  argv: list[str]
  told: list[str]
  code: int = 2


def train(workdir, **changes):
  """The arguments of a run of `tiny.CHANGES` and others."""
  changes = {'eval__cache_dir': f'{workdir}-cache'} | changes
  return [
    '--config=quickstart',
    f'--workdir={workdir}',
    *tiny.overrides(**changes),
  ]


def contents(directory):
  """{path: bytes} of all files below a directory."""
  return {
    p.relative_to(directory): p.read_bytes()
    for p in pathlib.Path(directory).rglob('*')
    if p.is_file()
  }


@contextlib.contextmanager
def nothing_compiled():
  """Fails where a training step or a program of a sampler is compiled."""

  def refuse(*args, **kwargs):
    del args, kwargs
    raise AssertionError('this should have been refused before compiling')

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(build, 'compile_step', refuse)
    yield


def check(case, places, capsys):
  """Runs a mistaken command in this process and checks how it is refused."""
  before = contents(places)
  argv = [a.replace('PLACES', str(places)) for a in case.argv]
  main = importlib.import_module(f'sagan_jax.{case.command}').main
  capsys.readouterr()
  with nothing_compiled():
    code = command.exit_code(main, argv)
  error = capsys.readouterr().err
  check_text(case, places, error)
  assert code == case.code, error
  assert contents(places) == before


def check_text(case, places, error):
  """Checks that a text on stderr is one error that names what is wrong."""
  first, *more = error.splitlines()
  assert first.startswith('error: '), error
  assert error.count('error: ') == 1, error
  assert 'Traceback' not in error
  told = [text.replace('PLACES', str(places)) for text in case.told]
  assert told[0] in first, error
  for text in told[1:]:
    assert text in error, error
  assert len(first) < LINE, error
  for line in more:  # A list of what was found, and what to do about it.
    assert len(line) < LINE, error


def copy(trained, directory):
  """A copy of the directory of a run, to be damaged."""
  return pathlib.Path(shutil.copytree(trained, directory / 'run'))
