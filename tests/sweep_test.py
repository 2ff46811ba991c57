"""Tests of the command that sweeps, most with a trainer that trains nothing."""

import csv
import json
import math
import os
import time

import pytest
from PIL import Image

from sagan_jax import errors, sweep
from tests.support import fake_trainer, sweeps
from tests.support.sweeps import NAMES, RATES

pytestmark = pytest.mark.slow


def score(rate, seed, step):
  leaves = {'optim.generator.learning_rate': float(rate), 'seed': seed}
  return fake_trainer.score(leaves, step)


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """The directory of a sweep that ran to its end."""
  output = tmp_path_factory.mktemp('sweep') / 'out'
  assert sweeps.run(output) == 0
  return output


def test_all_runs_finish_once(finished):
  for name in NAMES:
    assert sweeps.history(finished, name) == [(0, 20, 0)]
    config = json.loads((finished / name / 'config.json').read_text())
    assert f'={config["optim.generator.learning_rate"]},' in name
    assert name.endswith(f'seed={config["seed"]}')
    assert (finished / name / 'output.log').read_text().startswith('--- 2')


def test_repeating_runs_nothing(finished, capsys):
  assert sweeps.run(finished) == 0
  assert '4 of them are done' in capsys.readouterr().out
  for name in NAMES:
    assert len(sweeps.history(finished, name)) == 1


def test_the_table_equals_a_hand_computation(finished, capsys):
  assert sweep.main([f'--output={finished}', '--status']) == 0
  text = capsys.readouterr().out
  assert text == (finished / 'sweep.md').read_text() + '\n'
  with (finished / 'sweep.csv').open() as file:
    rows = list(csv.DictReader(file))
  members = [row for row in rows if row['level'] == 'member']
  assert [row['member'] for row in members] == NAMES
  for row in members:
    rate, seed = row['setting'].partition('=')[2], int(row['seed'])
    assert row['state'] == 'finished'
    assert (row['step'], row['num_steps']) == ('20', '20')
    assert float(row['images_per_sec']) == 8.5
    assert float(row['last']) == score(rate, seed, 20)
    assert (row['last_step'], row['best_step']) == ('20', '20')
  settings = [row for row in rows if row['level'] == 'setting']
  assert len(settings) == 2
  for rate, row in zip(RATES, settings, strict=True):
    a, b = score(rate, 0, 20), score(rate, 1, 20)
    mean, std = (a + b) / 2, abs(a - b) / math.sqrt(2)  # By n - 1 = 1.
    assert float(row['last']) == pytest.approx(mean, rel=1e-12)
    assert float(row['last_std']) == pytest.approx(std, rel=1e-12)
    assert row['n'] == '2'
    assert f'| 2 | 20 | {mean:.4g} ± {std:.2g} |' in text


def test_the_curves_are_a_picture(finished):
  with Image.open(finished / 'sweep.png') as image:
    assert image.size == (700, 400)
    assert len(image.convert('RGB').getcolors(1 << 20)) > 50


def test_more_values_and_seeds_run_only_what_is_new(finished):
  flags = [f for f in sweeps.FLAGS if not f.startswith(('--grid', '--seeds'))]
  flags += ['--grid=optim.generator.learning_rate=0.002,0.003', '--seeds=3']
  code = sweeps.run(finished, base=flags)
  assert code == 0
  assert len(sweeps.history(finished, NAMES[2])) == 1
  assert sweeps.history(
    finished, 'optim.generator.learning_rate=0.003,seed=2'
  ) == [(0, 20, 0)]
  assert sweeps.run(finished) == 0  # The manifest as it was.


def test_more_steps_go_on(tmp_path):
  assert sweeps.run(tmp_path) == 0
  assert sweeps.run(tmp_path, '--config.num_steps=30') == 0
  for name in NAMES:
    assert sweeps.history(tmp_path, name) == [(0, 20, 0), (20, 30, 0)]


def test_a_renamed_directory_is_found_by_its_content(tmp_path):
  assert sweeps.run(tmp_path) == 0
  (tmp_path / NAMES[1]).rename(tmp_path / 'my favourite')
  assert sweeps.run(tmp_path) == 0
  assert not (tmp_path / NAMES[1]).exists()
  assert sweeps.history(tmp_path, 'my favourite') == [(0, 20, 0)]


def test_an_edited_base_is_refused_with_the_differences(tmp_path, finished):
  before = (finished / 'sweep.json').read_text()
  with pytest.raises(errors.UserError) as caught:
    sweeps.run(finished, '--config.batch_size=16', '--config.ema.decay=0.9')
  text = str(caught.value)
  assert 'batch_size: 32 -> 16' in text
  assert 'ema.decay: 0.995 -> 0.9' in text
  assert f'{NAMES[0]} and 3 more' in text
  assert (finished / 'sweep.json').read_text() == before
  assert sweeps.run(tmp_path, '--config.batch_size=16') == 0


def test_the_status_answers_while_it_runs(tmp_path, capsys):
  process = sweeps.start(tmp_path, '--jobs=1', FAKE_STEP_SECS='0.1')
  try:
    sweeps.wait_until(lambda: sweeps.step_of(tmp_path, NAMES[0]) >= 11, process)
    # As if it were written at this very moment.
    with (tmp_path / NAMES[0] / 'evaluations.jsonl').open('a') as file:
      file.write('{"card": {"st')
    began = time.monotonic()
    assert sweep.main([f'--output={tmp_path}', '--status']) == 0
    assert time.monotonic() - began < 10
    text = capsys.readouterr().out
    assert '4 runs: 1 running, 3 missing' in text
    assert f'| {NAMES[0]} | running | 1' in text
    assert f'| {NAMES[1]} | missing | 0/20 | - | - | - | - |' in text
    assert f'| {score(RATES[0], 0, 10):.4g} |' in text
    assert '| 1 of 2 | 10 |' in text
  finally:
    process.terminate()
    sweeps.output_of(process)


def test_the_commands_of_what_is_left_can_be_run_elsewhere(tmp_path, capsys):
  assert sweeps.run(tmp_path, '--print_commands') == 0
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) == 4
  assert os.system(f'{lines[1]} > /dev/null') == 0
  assert sweeps.history(tmp_path, NAMES[1]) == [(0, 20, 0)]
  assert sweeps.run(tmp_path, '--print_commands') == 0
  assert capsys.readouterr().out.splitlines() == [lines[0], *lines[2:]]
  sweep.main([f'--output={tmp_path}', '--status'])
  assert '1 finished' in capsys.readouterr().out


def test_halving_shows_a_failed_run_as_failed(tmp_path, monkeypatch):
  monkeypatch.setenv('FAKE_EXITS', json.dumps({NAMES[0]: [2]}))
  flag = '--halving=steps=4 keep=0.5 metric=fid_random'
  assert sweeps.run(tmp_path, flag) == 1
  table = (tmp_path / 'sweep.md').read_text()
  assert f'| {NAMES[0]} | failed | 2/20 |' in table
  assert f'| {NAMES[1]} | halted at rung 1 (successive halving) | 4/20' in table
  assert table.count('| finished | 20/20 |') == 2


def test_halving_goes_on_with_the_better_half(tmp_path, capsys):
  flags = ('--halving=steps=4,8 keep=0.5 metric=fid_random',)
  base = [f for f in sweeps.FLAGS if not f.startswith('--grid')]
  rates = '0.003,0.001,0.004,0.002'
  base.append(f'--grid=optim.generator.learning_rate={rates}')
  assert sweeps.run(tmp_path, *flags, base=base) == 0
  text = capsys.readouterr().out
  for rate, ends, rung in (
    (0.001, [4, 8, 20], None),
    (0.002, [4, 8], 2),
    (0.003, [4], 1),
    (0.004, [4], 1),
  ):
    for seed in (0, 1):
      name = f'optim.generator.learning_rate={rate},seed={seed}'
      assert [last for _, last, _ in sweeps.history(tmp_path, name)] == ends
      state = f'halted at rung {rung} (successive halving)'
      assert f'| {name} | {state if rung else "finished"} |' in text
  # Repeated, it decides the same and runs nothing.
  assert sweeps.run(tmp_path, *flags, base=base) == 0
  name = 'optim.generator.learning_rate=0.003,seed=0'
  assert len(sweeps.history(tmp_path, name)) == 1
  # Without it, all go on.
  assert sweeps.run(tmp_path, base=base) == 0
  assert sweeps.history(tmp_path, name)[1:] == [(4, 20, 0)]
  assert 'halted' not in (tmp_path / 'sweep.md').read_text()


@pytest.mark.parametrize(
  'flags, message',
  [
    (['--config=quickstart'], 'no directory was given; set --output'),
    (['--output=OUT'], 'set --config and --grid, or --sweep'),
    (['--output=OUT', '--status'], 'there is no sweep in OUT'),
    (
      ['--output=OUT', '--sweep=attention', '--seeds=2'],
      '--seeds and --sweep=attention were given',
    ),
    (['--output=OUT', '--sweep=atention'], "did you mean 'attention'"),
    (
      ['--output=OUT', '--config=quickstart', '--jobs=0'],
      '--jobs=0 must be an integer >= 1',
    ),
    (
      [
        '--output=OUT',
        '--config=quickstart',
        '--halving=steps=1 keep=0.5 metric=fid_random',
        '--print_commands',
      ],
      '--halving compares runs of this machine',
    ),
    (
      ['--output=OUT', '--config=quickstart', '--backend=slrum'],
      '--backend=slrum must be one of tpu-vm, xpk, gke, slurm, skypilot',
    ),
    (
      ['--output=OUT', '--config=quickstart', '--submit'],
      '--submit is for a scheduler; set --backend',
    ),
    (
      ['--output=OUT', '--config=quickstart', '--', '--nodes=1'],
      '--nodes=1 is for a scheduler; set --backend',
    ),
    (
      ['--output=OUT', '--backend=slurm', '--', '--node=1'],
      'unknown flag --node; did you mean --nodes',
    ),
    (
      ['--output=OUT', '--config=quickstart', '--grid=generator.chh=1'],
      "unknown config key 'generator.chh'; did you mean 'generator.ch'",
    ),
  ],
)
def test_refusals(tmp_path, flags, message):
  output = tmp_path / 'out'
  flags = [flag.replace('OUT', str(output)) for flag in flags]
  with pytest.raises(errors.UserError) as caught:
    sweep.main(flags, trainer=sweeps.TRAINER)
  assert message.replace('OUT', str(output)) in str(caught.value)
  assert not output.exists()


def test_a_bucket_is_refused():
  """By its scheme, or before that by the package for it that is missing."""
  match = 'no directory of this machine|pip install gcsfs'
  with pytest.raises(errors.UserError, match=match):
    sweep.main(['--output=gs://bucket/sweep', '--config=quickstart'])


def test_a_job_array_of_what_is_left(tmp_path, capsys):
  flags = ['--backend=slurm', '--', '--time=1:00:00', '--shared_workdir']
  assert sweeps.run(tmp_path, *flags) == 0
  text = capsys.readouterr().out
  assert '#SBATCH --array=0-3' in text
  assert '#SBATCH --time=1:00:00' in text
  for number, name in enumerate(NAMES):
    command = f"python -m sagan_jax.main --workdir='{tmp_path}/{name}'"
    line = next(x for x in text.splitlines() if x.startswith(f'  {number}) '))
    assert command.replace("'", '') in line.replace("'", '')
    assert (tmp_path / name / 'config.json').exists()
  assert sweeps.run(tmp_path) == 0
  assert sweeps.run(tmp_path, *flags) == 0
  assert capsys.readouterr().out.endswith('all runs are done or running\n')


def test_submit_hands_the_script_over(tmp_path, monkeypatch):
  stub = tmp_path / 'bin' / 'sbatch'
  stub.parent.mkdir()
  stub.write_text(f'#!/bin/sh\ncp "$1" {tmp_path}/submitted\n')
  stub.chmod(0o755)
  monkeypatch.setenv('PATH', f'{stub.parent}:{os.environ["PATH"]}')
  flags = ['--backend=slurm', '--submit', '--', '--shared_workdir']
  assert sweeps.run(tmp_path / 'out', *flags) == 0
  assert '--array=0-3' in (tmp_path / 'submitted').read_text()
