"""Tests of `sagan-jax COMMAND`, which is `sagan_jax.__main__`."""

import subprocess
import sys

import pytest

from sagan_jax import __main__ as console_script
from tests.conftest import ROOT
from tests.support import commands


@pytest.mark.parametrize('argv', [[], ['--help'], ['-h']])
def test_lists_the_commands_with_their_purpose(argv, capsys):
  assert console_script.main(argv) == 0
  output = capsys.readouterr().out
  assert '  benchmark  Measures a config on this machine' in output
  assert '  prepare    Writes a data set into a directory' in output
  for other in ('errors', 'files', 'progress', '__init__'):
    assert f'  {other} ' not in output


@pytest.mark.parametrize('name', sorted(console_script.commands()))
def test_every_command_says_its_purpose_in_a_line(name):
  purpose = console_script.commands()[name]
  assert purpose.endswith('.')
  assert len(purpose) <= 80


@pytest.mark.parametrize(
  'name, hint',
  [('prepaer', "did you mean 'prepare'?"), ('xyz', "there are ['")],
)
def test_refuses_what_is_no_command(name, hint, capsys):
  assert console_script.main([name, '--help']) == 2
  output = capsys.readouterr()
  assert output.err.startswith(f'error: there is no command {name!r}; {hint}')
  assert output.out == ''


def test_passes_its_arguments_and_exit_code_on():
  """A command's own usage error is code 2 and names its flag."""
  code, output = commands.run('prepare', '--imge_size=3', module='sagan_jax')
  assert code == 2
  assert 'error: unknown flag --imge_size; did you mean --image_size?' in output


def test_runs_what_python_m_runs():
  texts = [
    commands.run('--help', module='sagan_jax.prepare'),
    commands.run('prepare', '--help', module='sagan_jax'),
  ]
  assert texts[0] == texts[1]
  assert texts[0][0] == 0


def test_the_list_imports_nothing_heavy():
  script = (
    'import sys; from sagan_jax import __main__\n'
    '__main__.main(["--help"])\n'
    'print([m for m in ("jax", "numpy", "ml_collections") if m in sys.modules])'
  )
  result = subprocess.run(
    [sys.executable, '-c', script],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  assert result.stdout.splitlines()[-1] == '[]'


@pytest.mark.parametrize('name', sorted(console_script.commands()))
def test_help_of_a_command_has_its_own_flags_and_imports_nothing_heavy(name):
  script = (
    'import contextlib, runpy, sys\n'
    'with contextlib.suppress(SystemExit):\n'
    f'  sys.argv[1:] = ["--help"]\n'
    f'  runpy.run_module("sagan_jax.{name}", run_name="__main__")\n'
    'print([m for m in ("jax", "ml_collections") if m in sys.modules])'
  )
  result = subprocess.run(
    [sys.executable, '-c', script],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert result.stdout.startswith(f'usage: python -m sagan_jax.{name} ')
  assert 'verbosity' not in result.stdout  # A flag of absl.
  assert result.stdout.splitlines()[-1] == '[]'
