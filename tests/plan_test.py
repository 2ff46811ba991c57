"""Tests of the command: its report, its files and its refusals."""

import json

import pytest

from sagan_jax import errors, plan
from sagan_jax.planning import compiler
from tests.support import commands, tiny

CONFIG = ['--config=quickstart', '--config.generator.bn_group_size=None']
V5E = '--topology=v5e:2x2'


@pytest.fixture(autouse=True)
def accounts(monkeypatch):
  """What the compiler says, by batch size; some gibibytes per 64 images."""

  def account(c, topology, cache):
    del topology, cache
    peak = (1 + c.batch_size / 64) * 2**30
    if peak > 15.75 * 2**30:
      return {
        'fits': False,
        'flops_per_image': 10**9,
        'needed_bytes': peak,
        'available_bytes': 15.75 * 2**30,
      }
    return {
      'fits': True,
      'flops_per_image': 10**9,
      'state_bytes': 2**29,
      'memory': {'arguments': 2**29, 'temporaries': 2**29, 'peak': peak},
      'compiler_flops': 98.5e9,
      'compile_secs': 1.0,
      'collectives': [
        {
          'kind': 'all-reduce',
          'dtype': 'bf16',
          'count': 2,
          'bytes': 1_000_000,
          'asynchronous': False,
          'covered_cycles': 0,
        }
      ],
      'cycles': 15_030_000 * c.batch_size // 64,
      'origins': {
        'convolutions': 10_020_000 * c.batch_size // 64,
        'batch_norm': 5_010_000 * c.batch_size // 64,
      },
      'hbm_bytes': 0.819e9,
      'padding': {
        'logical_bytes': 100,
        'physical_bytes': 150,
        'worst': [
          {
            'array': 'bf16[16,8]',
            'count': 3,
            'logical_bytes': 50,
            'physical_bytes': 100,
          }
        ],
      },
    }

  monkeypatch.setattr(compiler, 'account', account)
  monkeypatch.setattr(compiler, 'check', lambda _: None)


def run(*arguments):
  plan.main([*CONFIG, *arguments])


def test_report(capsys):
  run(V5E, '--batch_sizes=64,256,2048', '--price_per_chip_hour=1.5')
  output = capsys.readouterr().out
  assert max(map(len, output.splitlines())) <= 100
  assert output.startswith('Estimates of the compiler, not measurements')
  text = ' '.join(output.split())  # In lines of any length.
  for part in (
    'quickstart, v5e:2x2 (4 TPU v5e), batch 64, 16 images per chip',
    'fits, 13% of 15.75 GiB',
    '16.0 GFLOP per chip by formula (1.00 per image), 98.5 by the compiler',
    'large arrays take 1.50 times their size in tiles; most: 3 x bf16[16,8] 2x',
    '2 all-reduce of bf16, 1.00 MB',
    '15.03 Mcycles = 10.00 ms',
    '1.00 ms (16,000 images/s) by memory traffic',
    '0.50 ms (32,000 images/s) by matrix units',
    '| convolutions | 6.67 | 67% |',
    '| all | 10.00 | 100% |',
    'does not fit: 33.00 GiB per chip needed, 15.75 GiB there',
    'largest batch 928 (on the line through the peaks of 64 and 256)',
    'advice 16 images per chip',
  ):
    assert part in text, part


def test_the_largest_batch_is_compiled_if_asked_for(capsys):
  run(V5E, '--batch_sizes=64', '--largest_batch')
  output = capsys.readouterr().out
  assert 'batch 640,' in output  # 64 * 15.25 / 1.5, as a multiple of 32.
  assert 'batch 928,' in output
  assert 'largest batch   928 (compiled)' in output


def test_json_holds_the_first_size_and_further_ones(tmp_path):
  path = tmp_path / 'plan.json'
  run(V5E, '--batch_sizes=64,128', f'--json={path}')
  found = json.loads(path.read_text())
  assert found['cycles'] == sum(found['origins'].values()) == 15_030_000
  assert found['batch_size'] == 64
  assert found['estimate']['images_per_chip'] == 16
  assert [x['batch_size'] for x in found['further']] == [128]
  assert found['versions']['jax']


def test_two_accounts_side_by_side(tmp_path, capsys):
  path = tmp_path / 'before.json'
  run(V5E, '--batch_sizes=128', f'--json={path}')
  capsys.readouterr()
  run(V5E, '--batch_sizes=64', f'--compare={path}')
  output = capsys.readouterr().out
  assert '| origin | ms before | ms after |' in output
  assert '| batch norm | 6.67 | 3.33 |' in output
  assert '| all | 20.00 | 10.00 |' in output


@pytest.mark.parametrize(
  'content, message',
  [
    ({'topology': 'cpu:2'}, 'is no plan for a TPU'),
    ([1], 'is no plan for a TPU'),
    (
      {'topology': 'v6e:2x2', 'cycles': 1, 'origins': {}},
      'is of v6e:2x2, this is v5e:2x2',
    ),
  ],
)
def test_other_files_are_not_compared(tmp_path, content, message):
  path = tmp_path / 'before.json'
  path.write_text(json.dumps(content))
  with pytest.raises(errors.UserError, match=message):
    run(V5E, f'--compare={path}')


@pytest.mark.parametrize(
  'arguments, message',
  [
    ([], '--topology'),
    (['--topology=v5e:5x5'], 'must be even'),
    ([V5E, '--batch_sizes=30'], 'batch_size 30 must be a multiple of 4'),
    ([V5E, '--batch_sizes=0'], "'0' is not an integer"),
    ([V5E, '--config.num_devices=2'], 'num_devices is 2, v5e:2x2 has 4'),
    ([V5E, '--config.image_size=48'], 'image_size=48 must be one of'),
    ([V5E, '--config.dataset.name=folder:x'], 'set --config.num_classes'),
    ([V5E, '--price_per_chip_hour=-1'], "'-1' is no number above 0"),
    ([V5E, '--price_per_chip_hour=nan'], "'nan' is no number above 0"),
    ([V5E, '--workdir=x'], 'unknown flag --workdir'),
    ([V5E, '--json=/nowhere/plan.json'], 'cannot write /nowhere'),
    ([V5E, '--compare=/nowhere/plan.json'], 'cannot read /nowhere'),
  ],
)
def test_mistakes_are_refused(arguments, message):
  with pytest.raises(errors.UserError, match=message):
    run(*arguments)


def test_classes_are_known_without_data(capsys):
  run(V5E, '--config.dataset.name=tfds:cifar100')
  run(V5E, '--config.dataset.name=folder:x', '--config.num_classes=3')
  assert capsys.readouterr().out.count('Mcycles') == 2


@pytest.mark.slow
def test_the_command_compiles_for_virtual_devices(tmp_path):
  arguments = [
    *CONFIG,
    *tiny.overrides(num_devices=None),
    '--topology=cpu:2',
    '--config.generator.attention=()',
    '--config.discriminator.attention=()',
    f'--cache={tmp_path}/cache',
    f'--json={tmp_path}/plan.json',
  ]
  code, output = commands.run(*arguments, module='sagan_jax.plan')
  assert code == 0, output
  found = json.loads((tmp_path / 'plan.json').read_text())
  assert {x['kind'] for x in found['collectives']} == {'all-reduce'}
  assert found['compiler_flops'] > 0
  assert 'compiling batch size 8 for cpu:2 ...' in output
