"""A sweep of the real trainer, of small networks."""

import csv
import math

import pytest
from PIL import Image

from sagan_jax.evaluation import protocol
from tests.support import commands, sweeps

pytestmark = [pytest.mark.slow, pytest.mark.processes]


def test_a_real_sweep_is_killed_and_repeated(tmp_path):
  """Two by two settings of two seeds, trained; killed once on the way."""
  grid = ('--grid=dataset.num_examples=64,48', '--grid=horizontal_flip=0,1')
  changes = commands.CHANGES | {'num_steps': 8, 'eval.every_steps': 4}
  del changes['dataset.num_examples']
  flags = [
    '--config=experiments/quickstart.py',
    *(f'--config.{k}={v}' for k, v in changes.items()),
    *grid,
    '--seeds=2',
    '--jobs=2',
  ]
  settings = {'base': flags, 'trainer': sweeps.SMALL_TRAINER}
  process = sweeps.start(tmp_path, **settings)
  names = [
    f'dataset.num_examples={n},horizontal_flip={flip},seed={seed}'
    for n in (64, 48)
    for flip in (False, True)
    for seed in (0, 1)
  ]
  sweeps.wait_until(lambda: sweeps.step_of(tmp_path, names[3]) >= 2, process)
  process.kill()
  process.communicate()
  code, status = commands.run(
    f'--output={tmp_path}', '--status', module='sagan_jax.sweep'
  )
  assert code == 0
  assert f'| {names[0]} | finished | 8/8 |' in status
  first = (tmp_path / names[0] / 'metrics.jsonl').stat().st_mtime_ns
  process = sweeps.start(tmp_path, **settings)
  output, _ = process.communicate(timeout=commands.TIMEOUT_SECS)
  assert process.returncode == 0, output
  assert '8 runs: 8 finished' in output
  assert (tmp_path / names[0] / 'metrics.jsonl').stat().st_mtime_ns == first
  rates = {}
  for name in names:
    attempts = (tmp_path / name / 'output.log').read_text().count('\n--- 2')
    assert attempts == 0, name  # Another than the first line.
    records = protocol.read(tmp_path / name / 'evaluations.jsonl')
    rates[name] = records[-1]['scores']['fid_random']
  with (tmp_path / 'sweep.csv').open() as file:
    rows = [r for r in csv.DictReader(file) if r['level'] == 'setting']
  assert len(rows) == 4
  for row in rows:
    a, b = (rates[f'{row["setting"]},seed={seed}'] for seed in (0, 1))
    assert a != b
    assert float(row['last']) == pytest.approx((a + b) / 2, rel=1e-12)
    assert float(row['last_std']) == pytest.approx(abs(a - b) / math.sqrt(2))
  with Image.open(tmp_path / 'sweep.png') as image:
    assert image.width >= 700
