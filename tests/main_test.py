"""Tests of the command: its exit codes and what it tells the user."""

import compileall
import json
import pathlib
import shutil

import pytest
from PIL import Image

from sagan_jax import main
from sagan_jax.run import command
from tests.conftest import ROOT
from tests.support import commands, mistakes

pytestmark = pytest.mark.slow


def test_a_run_ends_with_code_zero_and_all_files():
  workdir, output = commands.undisturbed()
  assert 'Traceback' not in output
  rows = commands.rows(workdir)
  trained = [row['step'] for row in rows if 'train/d_loss' in row]
  assert trained == list(range(1, 41))
  scored = [row for row in rows if 'eval/fid_random/ema_standing' in row]
  assert [row['step'] for row in scored] == [20, 40]
  steps = sorted(int(p.name) for p in (workdir / 'checkpoints').iterdir())
  assert steps == list(range(4, 41, 4))
  assert sorted(p.name for p in (workdir / 'samples').iterdir()) == [
    f'{step:08}_{name}.png' for step in (15, 30, 40) for name in ('ema', 'raw')
  ]
  for path in (workdir / 'samples').iterdir():
    with Image.open(path) as image:
      assert image.height == 3 * 33 - 1  # Three classes.
  assert f'\n  report: {workdir}/report.html\n' in output
  assert 'finished: 40 steps' in (workdir / 'report.html').read_text()
  config = json.loads((workdir / 'config.json').read_text())
  assert config['generator.ch'] == 4


def test_a_row_of_the_real_networks_tells_their_gates():
  workdir, output = commands.undisturbed()
  for row in commands.rows(workdir):
    if 'train/d_loss' not in row:
      continue
    # The gates start at zero and have moved after the first update.
    assert row['train/g_gate_attention_16'] != 0
    assert row['train/d_gate_attention_16'] != 0
  assert 'g_gate_attention_16 ' in output
  assert 'generator/attention_16' in output


def test_help_lists_the_flags():
  _, output = commands.run('--help')
  for text in ('--config', '--workdir', '--allow_changes', 'Exit codes: 0'):
    assert text in output
  assert 'Traceback' not in output


@pytest.fixture(scope='module')
def places(tmp_path_factory):
  """A directory with what the cases below find missing, empty or in the way."""
  directory = tmp_path_factory.mktemp('places')
  (directory / 'file').touch()
  (directory / 'folder' / 'train' / 'empty').mkdir(parents=True)
  return directory


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'generatr.ch': 4}, "'generatr.ch'; did you mean 'generator.ch'"),
    ({'generator.chh': 4}, "'generator.chh'; did you mean 'generator.ch'"),
    ({'batch_size': 'many'}, "batch_size='many' must be an integer from 1"),
    ({'batch_size': 1.5}, 'batch_size=1.5 must be an integer from 1'),
    ({'loss': 'hing'}, "loss='hing' must be one of"),
    (
      {'num_microbatches': 3},
      'batch_size 8 must be a multiple of 3 = 3 microbatches x 1 devices; set '
      '--config.batch_size',
    ),
    (
      {'generator.attention': '(64,)'},
      'the generator has [8, 16, 32], the discriminator has [8, 16]; set '
      '--config.generator.attention',
    ),
    ({'dataset.name': 'shaps'}, "did you mean 'shapes'"),
    (
      {'dataset.name': 'folder:PLACES/none', 'dataset.num_examples': None},
      "PLACES/none' is not a folder; set --config.dataset.name",
    ),
    (
      {'dataset.name': 'folder:PLACES/folder', 'dataset.num_examples': None},
      'PLACES/folder/train/empty',
    ),
    (
      {
        'dataset.name': 'tfds:cifar10',
        'dataset.data_dir': 'PLACES/none',
        'dataset.num_examples': None,
      },
      'Set --config.dataset.data_dir=DIR, or prepare the data',
    ),
    ({'workdir': 'PLACES/file/run'}, 'cannot write PLACES/file/run: Not a dir'),
    ({'config': 'PLACES/none.py'}, 'PLACES/none.py'),
  ],
)
def test_refuses_with_code_two_and_one_line(places, capsys, changes, message):
  def put(text):
    return str(text).replace('PLACES', str(places))

  arguments = dict(
    a.removeprefix('--').split('=', 1) for a in commands.flags(places / 'run')
  )
  for key, value in changes.items():
    arguments[key if key in arguments else f'config.{key}'] = put(value)
  argv = [f'--{k}={v}' for k, v in arguments.items()]
  with mistakes.nothing_compiled():
    assert command.exit_code(main.main, argv) == 2
  error = capsys.readouterr().err
  assert error.startswith('error: ') and put(message) in error
  assert not (places / 'run').exists()


def test_refuses_the_directory_of_another_run():
  workdir, _ = commands.undisturbed()
  code, output = commands.run(*commands.flags(workdir, seed=1))
  assert code == 2
  assert 'seed: 0 -> 1' in output
  assert '--allow_changes=seed' in output
  assert 'Traceback' not in output


def test_refuses_the_checkpoint_of_another_model(tmp_path):
  workdir, _ = commands.undisturbed()
  shutil.copytree(workdir, tmp_path / 'run')
  code, output = commands.run(
    *commands.flags(tmp_path / 'run', latent_dim=24),
    '--allow_changes=latent_dim',
  )
  assert code == 2
  assert 'is of another model: use the config it was trained with' in output
  assert 'Traceback' not in output
  saved = json.loads((tmp_path / 'run' / 'config.json').read_text())
  assert saved['latent_dim'] != 24


def test_a_finished_run_ends_at_once(tmp_path):
  workdir, _ = commands.undisturbed()
  shutil.copytree(workdir, tmp_path / 'run')
  code, output = commands.run(
    *commands.flags(tmp_path / 'run', seed=1), '--allow_changes=seed'
  )
  assert code == 0, output
  assert 'nothing to do: 40 of 40 steps done' in output
  assert 'compiling the step' not in output
  assert json.loads((tmp_path / 'run' / 'config.json').read_text())['seed'] == 1


def test_all_files_compile(tmp_path):
  for path in [*ROOT.glob('*/**/*.py'), *ROOT.glob('*.py')]:
    if pathlib.Path('.venv') not in path.relative_to(ROOT).parents:
      assert compileall.compile_file(path, ddir=str(tmp_path), quiet=1), path
