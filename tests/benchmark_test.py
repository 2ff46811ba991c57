"""Tests of the benchmark: its figures, its table, its file and its refusals."""

import json
import math
import re

import jax
import pytest

from sagan_jax import benchmark, errors
from sagan_jax.benchmarks import tables
from sagan_jax.cluster import distributed, sharding
from sagan_jax.gan import build, flops, measure
from tests.support import tiny

pytestmark = pytest.mark.slow

CONFIG = ['--config=experiments/quickstart.py'] + [
  f'--config.{key}={value}' for key, value in tiny.CHANGES.items()
]
FEW = ['--steps=2', '--warmup=1']


@pytest.fixture(autouse=True)
def networks():
  with tiny.small_networks():
    yield


def test_figures_are_positive_and_consistent(tmp_path, capsys):
  path = tmp_path / 'figures.json'
  benchmark.main([*CONFIG, *FEW, '--batch_sizes=4,8', f'--json={path}'])
  report = json.loads(path.read_text())
  rows = report['rows']
  assert [row['batch_size'] for row in rows] == [4, 8]
  for row in rows:
    rates = ['images_per_sec', 'fed_images_per_sec', 'matmul_tflops']
    for name in ('compile_secs', 'step_secs', 'step_mib', *rates):
      assert row[name] > 0, name
    assert row['images_per_sec'] == row['batch_size'] / row['step_secs']
    gflops = row['images_per_sec'] * row['gflop_per_image']
    assert math.isclose(
      row['effective_mfu'], gflops / 1000 / row['matmul_tflops']
    )
  c = tiny.config(num_classes=10)
  formula = flops.step_flops(build.build_gan(c, sharding.make_mesh(1))) / 1e9
  assert {row['gflop_per_image'] for row in rows} == {formula}
  assert report['input_images_per_sec'] > 0
  assert report['machine'] == {
    'devices': 1,
    'device_kind': jax.devices()[0].device_kind,
    'platform': 'cpu',
    'jax': jax.__version__,
    'python': report['machine']['python'],
  }
  output = capsys.readouterr().out
  assert tables.table(rows) in output
  assert f'shapes: {report["input_images_per_sec"]:.0f} images/s' in output


def test_variants_are_all_combinations(tmp_path, monkeypatch):
  def measured(*_args, **_kwargs):
    return {'step_secs': 1.0, 'images_per_sec': 1.0, 'gflop_per_image': 1.0}

  monkeypatch.setattr(measure, 'measure_step', measured)
  path = tmp_path / 'figures.json'
  benchmark.main(
    [
      *CONFIG,
      '--config.num_classes=10',
      '--no-input',
      '--forms=cheap,reference',
      '--dtypes=float32,bfloat16',
      f'--json={path}',
    ]
  )
  rows = json.loads(path.read_text())['rows']
  assert [(row['resample'], row['dtype']) for row in rows] == [
    ('cheap', 'float32'),
    ('cheap', 'bfloat16'),
    ('reference', 'float32'),
    ('reference', 'bfloat16'),
  ]


def test_without_input_nothing_is_fed(tmp_path, capsys):
  path = tmp_path / 'figures.json'
  benchmark.main(
    [*CONFIG, *FEW, '--config.num_classes=10', '--no-input', f'--json={path}']
  )
  report = json.loads(path.read_text())
  assert [row['fed_images_per_sec'] for row in report['rows']] == [None]
  assert 'input_images_per_sec' not in report
  assert 'input: not measured: not asked for' in capsys.readouterr().out


def test_a_profile_is_written(tmp_path):
  benchmark.main(
    [
      *CONFIG,
      *FEW,
      '--config.num_classes=10',
      '--no-input',
      f'--profile={tmp_path}',
    ]
  )
  assert list(tmp_path.glob('plugins/profile/*/*.xplane.pb'))


def test_a_table_has_a_row_per_variant_and_a_dash_for_what_is_absent():
  lines = tables.table(
    [{'resample': 'cheap', 'batch_size': 8, 'effective_mfu': 0.1234}]
  ).split('\n')
  assert len(lines) == 3
  cells = dict(
    zip(tables.STEP_COLUMNS, lines[2].strip('| ').split(' | '), strict=True)
  )
  assert cells.pop('resample') == 'cheap'
  assert cells.pop('batch_size') == '8'
  assert cells.pop('effective_mfu') == '12.3%'
  assert set(cells.values()) == {'-'}


def test_a_variant_that_does_not_fit_is_refused_before_any_is_measured(capsys):
  with pytest.raises(errors.UserError, match='batch_size 9 must be a multiple'):
    benchmark.main(
      [*CONFIG, *FEW, '--config.num_devices=2', '--batch_sizes=8,9']
    )
  assert '|' not in capsys.readouterr().out


def test_an_unknown_form_names_those_that_exist():
  with pytest.raises(errors.UserError, match=r"'chaep'.*'cheap'"):
    benchmark.main([*CONFIG, '--forms=chaep'])


def test_classes_that_nobody_knows_are_refused(tmp_path):
  missing = f'--config.dataset.name=folder:{tmp_path}/none'
  unset = '--config.dataset.num_examples=None'
  with pytest.raises(errors.UserError, match=r'none.*--config.num_classes'):
    benchmark.main([*CONFIG, missing, unset])


def test_data_that_is_not_there_leaves_the_step(tmp_path, capsys):
  missing = f'--config.dataset.name=folder:{tmp_path}/none'
  unset = '--config.dataset.num_examples=None'
  benchmark.main([*CONFIG, *FEW, missing, unset, '--config.num_classes=10'])
  output = capsys.readouterr().out
  assert 'input: not measured: ' in output
  assert f'{tmp_path}/none' in output
  assert '| auto | float32 | 8 |' in output


def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path, capsys):
  path = tmp_path / 'none' / 'figures.json'
  with pytest.raises(errors.UserError, match='cannot write .*figures.json'):
    benchmark.main([*CONFIG, f'--json={path}'])
  assert capsys.readouterr().out == ''


@pytest.mark.parametrize(
  'flag, text',
  [
    ('--steps=0', "--steps: '0' is not an integer from 1 to"),
    ('--warmup=-1', "--warmup: '-1' is not an integer from 1 to"),
    ('--batch_sizes=8,x', "--batch_sizes: 'x' is not an integer from 1 to"),
    ('--stepps=3', 'unknown flag --stepps; did you mean --steps?'),
  ],
)
def test_a_wrong_flag_is_refused_by_name(flag, text):
  with pytest.raises(errors.UserError, match=re.escape(text)):
    benchmark.main([*CONFIG, flag])


def _part(tmp_path, name):
  path = tmp_path / 'figures.json'
  benchmark.main([*CONFIG, *FEW, f'--part={name}', f'--json={path}'])
  return json.loads(path.read_text())


def test_parts_are_measured_alone(tmp_path):
  found = _part(tmp_path, 'evaluation')
  assert found['extractor'] == 'random-conv-seed-0'
  assert found['secs_for_50000'] == 50_000 / found['images_per_sec'] > 0
  found = _part(tmp_path, 'determinism')
  assert found == {'steps': 2, 'same_bits': True, 'largest_difference': 0.0}
  found = _part(tmp_path, 'ceilings')
  assert min(found.values()) > 0 and len(found) == 3
  shares = [share for _, share in _part(tmp_path, 'kernels')['kernels']]
  assert shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 1.001
  assert _part(tmp_path, 'step')['finite'] is True
  assert _part(tmp_path, 'machine')['platform'] == 'cpu'


def test_a_matrix_is_for_one_process(monkeypatch):
  monkeypatch.setattr(distributed, 'membership', lambda _: 'one of two')
  with pytest.raises(errors.UserError, match='--matrix is for one process'):
    benchmark.main([*CONFIG, '--matrix'])
