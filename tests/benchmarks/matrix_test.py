"""The matrix: which cells there are, what is missing, and its tables."""

import json

import pytest

from sagan_jax import errors
from sagan_jax.benchmarks import children, matrix
from tests.support import tiny

MACHINE = {'device_kind': 'cpu', 'platform': 'cpu'}
FOUND = {
  'machine': MACHINE,
  'ceilings': {
    'bfloat16_tflops': 2.0,
    'float32_tflops': 1.0,
    'copy_gb_per_sec': 10.0,
  },
  'evaluation': {
    'extractor': 'random',
    'images_per_sec': 100.0,
    'secs_for_50000': 500.0,
  },
  'determinism': {'same_bits': True, 'steps': 5},
  'kernels': {'kernels': [['dot', 0.75], ['conv', 0.25]]},
  'BigGAN-PyTorch': {'images_per_sec': 5.0, 'note': 'torch'},
}


def _plan(**changes):
  fields = {
    'config': 'quickstart',
    'overrides': {'generator.ch': '4'},
    'forms': ['cheap'],
    'dtypes': ['float32', 'bfloat16'],
    'batch_sizes': [8, 16],
    'flags': [''],
    'steps': 5,
    'warmup': 2,
    'programs': 'programs',
    'biggan': None,
    'biggan_python': 'python3',
    'peer_settings': '{}',
  }
  return matrix.Plan(**fields | changes)


@pytest.fixture
def asked(monkeypatch):
  """The commands that were run, whose figures are made up."""
  commands = []

  def measure(argv, secs, environment=None):
    assert secs > 0
    commands.append((argv, environment))
    if 'biggan_step' in argv[1]:
      return FOUND['BigGAN-PyTorch']
    part = next(x for x in argv if x.startswith('--part=')).partition('=')[2]
    if part != 'step':
      return FOUND[part]
    if '--batch_sizes=16' in argv:
      return {'error': 'out of memory'}
    return {'images_per_sec': 50.0, 'gflop_per_image': 4.0, 'finite': True}

  monkeypatch.setattr(children, 'measure', measure)
  return commands


def _run(tmp_path, plan, budget_secs=100.0):
  said = []
  matrix.run(plan, {'batch_size': 8}, tmp_path, budget_secs, said.append)
  report = json.loads((tmp_path / 'matrix.json').read_text())
  return report['rows'], said


def test_all_cells_are_in_the_table(tmp_path, asked):
  rows, said = _run(tmp_path, _plan(biggan='DIR', flags=['', '--fast']))
  steps = [r for r in rows if r['measured'] == 'step']
  assert len(steps) == 8
  # 50 images/s of 4 GFLOP each, against 1 and 2 TFLOP/s.
  assert [r['effective_mfu'] for r in steps[:2]] == [0.2, 0.1]
  assert {r['note'] for r in steps[2:4]} == {'out of memory'}
  assert rows[-1]['measured'] == 'kernels'
  assert rows[-1]['note'] == 'dot 75.0%; conv 25.0%'
  assert (tmp_path / 'matrix.md').read_text() == said[-1]
  assert '| step | cheap | float32 | 8 |  | 50.00 | - | 20.0% |' in said[-1]
  peers = [argv for argv, _ in asked if argv[0] == 'python3']
  assert [argv[3:5] for argv in peers] == [
    [size, dtype] for size in ('8', '16') for dtype in ('bfloat16', 'float32')
  ]
  flags = [e['XLA_FLAGS'].split()[-1] for _, e in asked if e]
  assert flags == ['--fast'] * 4 + ['--xla_gpu_deterministic_ops=true']


def test_a_second_run_measures_what_is_missing(tmp_path, asked):
  _run(tmp_path, _plan(batch_sizes=[8]))
  before = len(asked)
  rows, said = _run(tmp_path, _plan(batch_sizes=[8, 16]))
  assert 'cells are there already' in said[0]
  # The machine is asked again, and the two steps of 16 images are measured.
  parts = [argv[-6] for argv, _ in asked[before:]]
  assert len(parts) == 3
  assert sum(r['measured'] == 'step' for r in rows) == 4


def test_what_there_is_no_time_for_is_told(tmp_path, asked):
  rows, said = _run(tmp_path, _plan(), budget_secs=0.0)
  assert len(rows) == 8 and {r['note'] for r in rows} == {'not run'}
  assert 'ceilings: not run, the time is over' in said
  assert len(asked) == 1  # For the machine.
  rows, _ = _run(tmp_path, _plan())
  assert 'not run' not in {r['note'] for r in rows}


@pytest.mark.usefixtures('asked')
def test_a_cell_that_is_ended_is_tried_again(tmp_path, monkeypatch):
  measure = children.measure

  def slow(argv, *rest):
    return None if '--part=evaluation' in argv else measure(argv, *rest)

  with monkeypatch.context() as patch:
    patch.setattr(children, 'measure', slow)
    rows, said = _run(tmp_path, _plan())
  assert 'evaluation: ended, the time is over' in said
  assert sum(r['note'] == 'not run' for r in rows) == 1
  rows, _ = _run(tmp_path, _plan())
  assert 'not run' not in {r['note'] for r in rows}


@pytest.mark.usefixtures('asked')
def test_another_config_is_refused(tmp_path):
  _run(tmp_path, _plan())
  with pytest.raises(errors.UserError, match='steps: 5 there, 6 now'):
    _run(tmp_path, _plan(steps=6))


def test_no_device_is_told(tmp_path, monkeypatch):
  monkeypatch.setattr(children, 'measure', lambda *_: {'error': 'no GPU'})
  with pytest.raises(errors.UserError, match='no device to measure: no GPU'):
    _run(tmp_path, _plan())


def test_the_peer_has_the_sizes_of_the_config():
  c = tiny.config(num_classes=10, generator__attention=())
  found = matrix.peer_settings(c)
  assert found['image_size'] == c.image_size
  assert found['flags']['G_attn'] == '0'
  assert found['flags']['G_ch'] == c.generator.ch
