"""Disks that are full or read-only, packages that are missing, lost runs."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

from sagan_jax import main, prepare
from sagan_jax.run import command, log
from tests.support import mistakes, tiny
from tests.support.mistakes import Case

pytestmark = pytest.mark.slow

SECS = 60  # A command whose disk is full ends within.


@pytest.fixture(autouse=True, scope='module')
def small_networks():
  with tiny.small_networks():
    yield


@pytest.fixture
def disk(tmp_path):
  """An own file system of 4 MiB."""
  path = tmp_path / 'disk'
  path.mkdir()
  mount = ['mount', '-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', str(path)]
  with contextlib.suppress(OSError):
    if subprocess.run(mount, check=False, capture_output=True).returncode == 0:
      yield path
      subprocess.run(['umount', '-l', str(path)], check=True)
      return
  pytest.skip('no file system can be mounted here')


def fill(disk):
  """Takes what is left of a file system."""
  with contextlib.suppress(OSError), open(disk / 'filler', 'wb') as file:
    while True:
      file.write(b'x' * 4096)
      file.flush()


def after(monkeypatch, num_steps, action):
  """Does something once a run has launched some steps."""
  step, taken = log.Progress.step, []

  def step_and_act(self):
    step(self)
    taken.append(1)
    if len(taken) == num_steps:
      action()

  monkeypatch.setattr(log.Progress, 'step', step_and_act)


def _run(*argv):
  return command.exit_code(main.main, list(argv))


def _checkpoints(workdir):
  return mistakes.contents(workdir / 'checkpoints' / '2')


@pytest.mark.parametrize(
  ('changes', 'named'),
  [
    ({'log__every_steps': 1}, 'metrics.jsonl'),
    ({'checkpoint__every_steps': 2}, 'checkpoints'),
    ({'sample__every_steps': 4}, 'samples/00000004_raw.png'),
    # Scores that cannot be recorded do not end a run.
    ({'eval__every_steps': 4}, 'checkpoints'),
  ],
)
def test_a_disk_that_fills_up(disk, capsys, monkeypatch, changes, named):
  """It ends at once, and the run goes on when there is room again."""
  workdir = disk / 'run'
  base = {
    'log__every_steps': 100,
    'num_steps': 8,
    'checkpoint__full_disk_secs': 0,
  } | changes
  argv = mistakes.train(workdir, **base)
  first = mistakes.train(workdir, **base | {'num_steps': 2})
  assert _run(*first) == 0
  before = _checkpoints(workdir)
  with monkeypatch.context() as patch:
    after(patch, 2, lambda: fill(disk))
    began = time.monotonic()
    capsys.readouterr()
    assert _run(*argv) == 2
    assert time.monotonic() - began < SECS
  error = capsys.readouterr().err
  mistakes.check_text(Case('main', argv, [f'{workdir}/{named}']), disk, error)
  assert _checkpoints(workdir) == before
  (disk / 'filler').unlink()
  assert _run(*argv) == 0
  assert 'resuming after step' in capsys.readouterr().out


@pytest.mark.parametrize('kind', ['main', 'prepare'])
def test_a_disk_that_is_full_from_the_beginning(disk, capsys, kind):
  fill(disk)
  argv = {
    'main': mistakes.train(f'{disk}/run'),
    'prepare': [
      '--source=shapes',
      '--image_size=32',
      '--num_examples=3000',
      f'--output={disk}/run',
    ],
  }[kind]
  run = {'main': main, 'prepare': prepare}[kind].main
  assert command.exit_code(run, argv) == 2
  error = capsys.readouterr().err
  mistakes.check_text(Case(kind, argv, [f'{disk}/run']), disk, error)


def test_preparing_onto_a_disk_that_fills_up(disk, capsys, monkeypatch):
  """What is written so far stays, and the preparation goes on."""
  usage = shutil.disk_usage(disk)
  monkeypatch.setattr(
    shutil, 'disk_usage', lambda _: usage._replace(free=1 << 40)
  )
  argv = [
    '--source=shapes',
    '--image_size=32',
    '--num_examples=900',
    f'--output={disk}/out',
  ]
  with open(disk / 'filler', 'wb') as file:
    file.write(b'x' * (2 << 20))
  assert command.exit_code(prepare.main, argv) == 2
  error = capsys.readouterr().err.removeprefix('prepare: 0 of 900 images\n')
  mistakes.check_text(Case('prepare', argv, [f'{disk}/out']), disk, error)
  (disk / 'filler').unlink()
  assert command.exit_code(prepare.main, argv) == 0


@pytest.mark.parametrize('started', [False, True])
def test_a_disk_that_is_read_only(disk, capsys, started):
  workdir = disk / 'run'
  changes = {'checkpoint__every_steps': 2}
  if started:
    assert _run(*mistakes.train(workdir, **changes, num_steps=2)) == 0
  subprocess.run(['mount', '-o', 'remount,ro', str(disk)], check=True)
  argv = mistakes.train(
    workdir, **changes, eval__cache_dir=f'{disk.parent}/cache'
  )
  mistakes.check(Case('main', argv, [str(workdir)]), disk, capsys)


def test_scores_of_a_run_that_is_read_only(disk, capsys):
  workdir = disk / 'run'
  cache = f'{disk.parent}/cache'
  assert _run(*mistakes.train(workdir, num_steps=2, eval__cache_dir=cache)) == 0
  subprocess.run(['mount', '-o', 'remount,ro', str(disk)], check=True)
  case = Case('evaluate', [f'--workdir={workdir}'], [str(workdir)])
  mistakes.check(case, disk, capsys)


@pytest.mark.slow
def test_a_background_save_that_fails_ends_the_process(disk):
  """No thread of the checkpointer keeps it alive."""
  workdir = disk / 'run'
  script = (
    'import sys, pathlib\n'
    'from sagan_jax import main\n'
    'from sagan_jax.run import command, log\n'
    'from tests.mistakes import disk_test\n'
    'from tests.support import tiny\n'
    'step, taken = log.Progress.step, []\n'
    'def fill(self):\n'
    '  step(self)\n'
    '  taken.append(1)\n'
    '  if len(taken) == 3:\n'
    f'    disk_test.fill(pathlib.Path({str(disk)!r}))\n'
    'log.Progress.step = fill\n'
    'with tiny.small_networks():\n'
    '  command.run(main.main)\n'
  )
  argv = mistakes.train(
    workdir,
    num_steps=10**6,
    checkpoint__every_steps=2,
    checkpoint__full_disk_secs=0,
    log__every_steps=10**6,
  )
  process = subprocess.run(
    [sys.executable, '-c', script, *argv],
    cwd=pathlib.Path(__file__).parents[2],
    env=os.environ | {'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    timeout=SECS,
    check=False,
  )
  assert process.returncode == 2, process.stderr
  case = Case('main', argv, [f'{workdir}/checkpoints'])
  mistakes.check_text(case, disk, process.stderr)


@pytest.mark.parametrize('package', ['clu', 'tensorflow', 'tensorboard'])
def test_tensorboard_without_its_packages(
  tmp_path, capsys, monkeypatch, package
):
  monkeypatch.setitem(sys.modules, package, None)
  argv = mistakes.train(tmp_path / 'run', log__tensorboard=True)
  told = [package, '--config.log.tensorboard=False']
  with mistakes.nothing_compiled():
    assert _run(*argv) == 2
  error = capsys.readouterr().err
  mistakes.check_text(Case('main', argv, told), tmp_path, error)


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize('saved', [False, True])
def test_losses_that_are_not_finite(tmp_path, capsys, dtype, saved):
  workdir = tmp_path / 'run'
  changes = {'dtype': dtype, 'checkpoint__every_steps': 2}
  if saved:
    assert _run(*mistakes.train(workdir, **changes, num_steps=2)) == 0
  before = mistakes.contents(tmp_path / 'run' / 'checkpoints')
  rate = 'optim.discriminator.learning_rate'
  argv = mistakes.train(
    workdir,
    **changes | {'checkpoint__every_steps': 50, rate: 1e38},
    num_steps=20,
  )
  capsys.readouterr()
  assert _run(*argv, f'--allow_changes={rate}') == 2
  error = capsys.readouterr().err
  where = 'checkpoint is of step 2' if saved else 'no state is saved yet'
  told = ['_loss is nan at step', where, '--config.optim.*.learning_rate']
  mistakes.check_text(Case('main', argv, told), tmp_path, error)
  assert ('--config.dtype=float32' in error) == (dtype == 'bfloat16')
  assert mistakes.contents(tmp_path / 'run' / 'checkpoints') == before


@pytest.mark.parametrize(
  'name', ['with spaces', 'lr=1e-4,x]', 'schön-日本', '%(x)s{0}$HOME', '-dash']
)
def test_directories_of_any_name(tmp_path, capsys, name):
  workdir = tmp_path / name
  changes = {
    'checkpoint__every_steps': 2,
    'sample__every_steps': 2,
    'eval__every_steps': 2,
  }
  assert _run(*mistakes.train(workdir, **changes, num_steps=2)) == 0
  assert _run(*mistakes.train(workdir, **changes, num_steps=4)) == 0
  assert 'resuming after step 2' in capsys.readouterr().out
  saved = {p.name for p in (workdir / 'checkpoints').iterdir()}
  assert saved == {'2', '4'}
  assert len(list((workdir / 'samples').iterdir())) == 4
  shutil.rmtree(workdir)
  assert {p.name for p in tmp_path.iterdir()} == {f'{name}-cache'}
