"""Tests of the command `python -m sagan_jax.launch`."""

import subprocess
import sys
import time

import pytest

from sagan_jax import launch
from sagan_jax.errors import UserError
from tests.conftest import ROOT
from tests.support import stubs
from tests.support.launches import LARGEST, NASTY, SMALLEST, TRAIN, render

TOOLS = ('sbatch', 'kubectl', 'gcloud', 'xpk', 'sky')


def flags(options):
  """Options as flags of the command line."""
  return [
    f'--{name}' if value is True else f'--{name}={value}'
    for name, value in options.items()
  ]


@pytest.fixture(name='tools')
def make_tools(tmp_path, monkeypatch):
  """Stubs of all command-line tools, on the PATH of this process."""
  made = stubs.Stubs(tmp_path, **dict.fromkeys(TOOLS, ''))
  for name, value in made.environment().items():
    monkeypatch.setenv(name, value)
  return made


@pytest.mark.parametrize('backend', SMALLEST)
@pytest.mark.parametrize('options', [SMALLEST, LARGEST])
def test_prints_and_submits_nothing(backend, options, tools, capsys):
  command = [*TRAIN, *NASTY]
  launch.main([backend, *flags(options[backend]), '--', *command])
  expected = render(backend, [command], **options[backend]).script()
  assert capsys.readouterr().out == expected
  assert tools.calls() == []


def contents(calls):
  """Calls, with the content of files in the place of their paths."""
  return [
    [call['name'], *(call['files'].get(a, a) for a in call['arguments'])]
    for call in calls
  ]


@pytest.mark.parametrize('backend', ['gke', 'slurm', 'skypilot', 'xpk'])
def test_submits_what_it_prints(backend, tools, capsys, tmp_path):
  arguments = [*flags(LARGEST[backend]), '--', *TRAIN, *NASTY]
  launch.main([backend, '--submit', *arguments])
  submitted = contents(tools.calls())
  assert capsys.readouterr().out == ''
  launch.main([backend, *arguments])
  subprocess.run(
    ['bash', '-c', capsys.readouterr().out], cwd=tmp_path, check=True
  )
  printed = contents(tools.calls())[len(submitted) :]
  assert submitted == printed
  assert len(submitted) == (2 if backend == 'gke' else 1)


def test_tpu_vm_is_submitted_by_its_script(tmp_path, monkeypatch):
  made = stubs.Stubs(tmp_path, bash='')
  for name, value in made.environment().items():
    monkeypatch.setenv(name, value)
  launch.main(['tpu-vm', '--submit', *flags(SMALLEST['tpu-vm']), '--', *TRAIN])
  script = render('tpu-vm', [TRAIN], **SMALLEST['tpu-vm']).files['sagan.sh']
  assert contents(made.calls()) == [['bash', script]]


def test_output_writes_files_and_prints_commands(tmp_path, tools, capsys):
  options = [f'--output={tmp_path}/a b/c', '--name=try-1']
  launch.main(['slurm', *options, '--', *TRAIN])
  path = tmp_path / 'a b' / 'c' / 'try-1.sbatch'
  assert capsys.readouterr().out == f"sbatch '{path}'\n"
  assert '#SBATCH --job-name=try-1\n' in path.read_text()
  assert tools.calls() == []


def test_a_tool_that_is_not_there(monkeypatch, tmp_path):
  monkeypatch.setenv('PATH', str(tmp_path))
  with pytest.raises(UserError, match='there is no sbatch on this machine'):
    launch.main(['slurm', '--submit', '--', *TRAIN])


def test_a_tool_that_fails(monkeypatch, tmp_path):
  tools = stubs.Stubs(tmp_path, gcloud='exit 3', kubectl='')
  monkeypatch.setenv('PATH', tools.environment()['PATH'])
  monkeypatch.setenv('STUB_LOG', tools.environment()['STUB_LOG'])
  arguments = [*flags(LARGEST['gke']), '--', *TRAIN]
  with pytest.raises(
    UserError, match='gcloud ended with exit code 3: gcloud c'
  ):
    launch.main(['gke', '--submit', *arguments])
  assert tools.calls('kubectl') == []


@pytest.mark.parametrize(
  'arguments, words',
  [
    ([], 'no back end; choose one of local, tpu-vm, xpk, gke, slurm, skypilot'),
    (['--', 'x'], 'no back end'),
    (['--nodes=2', 'slurm', '--', 'x'], 'unknown flag --nodes'),
    (['pbs', '--', 'x'], "unknown back end 'pbs'"),
    (['slurm'], 'no command; put it after --: .*launch slurm -- ...'),
    (['slurm', '--'], 'no command'),
    (['slurm', 'python', '--', 'x'], "unexpected argument 'python'"),
    (['slurm', '--node=2', '--', 'x'], 'did you mean --nodes'),
    (['slurm', '--nodes=two', '--', 'x'], 'argument --nodes: invalid int'),
    (['gke', '--', 'x'], 'required: --tpu_type, --image'),
    (['slurm', '--name=A', '--', 'x'], "'A' is no name of a job"),
  ],
)
def test_refuses(arguments, words):
  with pytest.raises(UserError, match=words):
    launch.main(arguments)


def test_the_boundary():
  result = subprocess.run(
    [sys.executable, '-m', 'sagan_jax.launch', 'gke', '--', 'x'],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
  )
  assert result.returncode == 2
  assert result.stderr.startswith('error: the following arguments are required')
  assert result.stderr.count('\n') == 1


@pytest.mark.parametrize('arguments', [['--help'], ['slurm', '--help']])
def test_help_is_light(arguments):
  script = (
    'import sys\n'
    'from sagan_jax import launch\n'
    'try: launch.main(sys.argv[1:])\n'
    'except SystemExit: pass\n'
    'heavy = {"jax", "numpy", "tensorflow", "flax"} & set(sys.modules)\n'
    'assert not heavy, heavy'
  )
  begin = time.monotonic()
  result = subprocess.run(
    [sys.executable, '-c', script, *arguments],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  assert 'BACKEND' in result.stdout or '--nodes INT' in result.stdout
  assert time.monotonic() - begin < 5  # 0.4 s on an idle machine.
