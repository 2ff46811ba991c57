"""The command that shows attention."""

import csv
import json
import re

import numpy as np
import pytest

from sagan_jax import attention, errors
from sagan_jax.gallery import attention_files
from sagan_jax.pictures.attention import page
from sagan_jax.run import command
from sagan_jax.run.run import Run
from tests.pictures.page_test import Elements
from tests.support import known_attention

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope='module')
def known_networks():
  with known_attention.networks():
    yield


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  directory = tmp_path_factory.mktemp('known') / 'run'
  known_attention.saved(directory)
  return directory


def _main(*argv):
  """Runs the command in this process; returns its exit code."""
  return command.exit_code(attention.main, list(argv))


def test_all_files_are_written(workdir, tmp_path, capsys):
  out = tmp_path / 'new' / 'out'
  argv = ['--steps=all', '--classes=ring,3', '--measure=12', '--weights=ema']
  assert _main(f'--workdir={workdir}', f'--output={out}', *argv) == 0
  assert re.search(r'attention.html: \d\.\d MB', capsys.readouterr().out)
  assert sorted(path.name for path in out.iterdir()) == [
    'attention.html',
    *(
      f'{block}_0000000{step}.png'
      for block in (
        'discriminator_real_attention_16',
        'discriminator_real_attention_8',
        'generator_ema_attention_16',
        'generator_ema_attention_32',
        'generator_ema_attention_8',
      )
      for step in (2, 4)
    ),
    'maps_00000002.npz',
    'maps_00000004.npz',
    'statistics.csv',
  ]
  arrays = np.load(out / 'maps_00000004.npz')
  np.testing.assert_array_equal(
    arrays['generator/ema/attention_32/rows'],
    np.broadcast_to(
      known_attention.rows(32, 16).reshape(32, 32, 16, 16),
      (2, 32, 32, 16, 16),
    ),
  )
  np.testing.assert_array_equal(arrays['ema/labels'], [1, 3])
  np.testing.assert_array_equal(arrays['real/labels'], [1, 3])
  assert arrays['real/images'].shape == (2, 32, 32, 3)
  assert arrays['discriminator/real/attention_8/gate'] == 0
  assert arrays['generator/ema/attention_8/share'].tolist() == [0.25, 0.25]

  lines = (out / 'statistics.csv').read_text().splitlines()
  rows = list(csv.DictReader(lines))
  assert len(rows) == 2 * (3 + 2 + 2)
  by_block = {
    (r['network'], r['images'], r['block']): r for r in rows if r['step'] == '4'
  }
  uniform = by_block['generator', 'ema', 'attention_16']
  assert float(uniform['entropy']) == pytest.approx(np.log(64))
  assert uniform['num_images'] == '12' and uniform['colour'] == ''

  found = Elements((out / 'attention.html').read_text())
  views = json.loads(found.text['data'])['views']
  assert len(views) == len(rows)
  # The uniform map and the gate at zero raise their warnings.
  text = (out / 'attention.html').read_text().split('Where a pixel looks')[0]
  assert text.count('Its maps are nearly uniform') == 3
  assert text.count('The block does nothing yet') == 4
  assert text.count('All queries of an image attend alike') == 1


def test_without_the_data_only_generated_images_are_shown(
  workdir, tmp_path, capsys
):
  code = _main(
    f'--workdir={workdir}',
    f'--output={tmp_path}',
    '--measure=4',
    '--classes=1',
    '--config.dataset.name=folder:/none',
    '--config.dataset.num_examples=None',
  )
  out = capsys.readouterr()
  assert code == 0, out.err
  assert 'Generated images only, as the data cannot be read: ' in out.out
  assert not [p for p in tmp_path.iterdir() if 'real' in p.name]
  assert 'Generated images only' in (tmp_path / 'attention.html').read_text()
  # By default the last step.
  assert [p.name for p in tmp_path.glob('*.npz')] == ['maps_00000004.npz']
  assert 'on_object' not in (tmp_path / 'statistics.csv').read_text()


@pytest.mark.parametrize(
  ('argv', 'text'),
  [
    (['--steps=1,2'], 'has no checkpoints of steps [1], only of [2, 4]; set'),
    (['--steps=first'], "'first' is neither last, best, all nor steps with"),
    (['--steps=best'], 'best holds no checkpoint: no evaluation'),
    (['--classes=circle'], "there is no class 'circle'"),
    (['--classes=12'], 'label 12 must be an integer in [0, 10)'),
    (['--num=0'], "'0' is not an integer from 1"),
    (['--seed=-1'], 'seed=-1 must be an integer in [0, 2**31)'),
    (['--weights=mean'], "'mean' is not ema, raw or ema,raw"),
    (['--points=8'], "'8' are no points; give them as '8,8;2,13'"),
    (['--points=1,8'], 'the point 1,8 is outside of a map of 8 x 8; set'),
    (['--points=' + ';'.join(['1,1'] * 6)], '6 points are more than the 5 '),
    (['--num=90'], 'would make it '),
    (['--num=90'], 'show fewer by --classes, --num, --steps, --weights or'),
    (['--config=quickstart'], 'a run is shown by its own config'),
    (
      [
        '--config.generator.attention=()',
        '--config.discriminator.attention=()',
      ],
      'neither network of this run has an attention block',
    ),
  ],
)
def test_what_cannot_be_shown_is_refused(
  workdir, tmp_path, capsys, monkeypatch, argv, text
):
  def refuse(*args):
    raise AssertionError(args)

  monkeypatch.setattr(page, 'render', refuse)
  out = tmp_path / 'out'
  assert _main(f'--workdir={workdir}', f'--output={out}', *argv) == 2
  assert text in capsys.readouterr().err


def test_a_directory_that_cannot_be_made_is_named(workdir, tmp_path, capsys):
  (tmp_path / 'file').write_text('')
  out = f'--output={tmp_path}/file'
  assert _main(f'--workdir={workdir}', out, '--no_real') == 2
  assert f'cannot write {tmp_path}/file' in capsys.readouterr().err


def test_classes_are_chosen_by_name_number_or_evenly(workdir):
  run = Run.open(workdir)
  chosen = attention_files.chosen_labels
  assert chosen(run, 'ring,3', 2).tolist() == [1, 1, 3, 3]
  assert chosen(run, 'all', 1).tolist() == list(range(10))
  assert chosen(run, None, 1).tolist() == list(range(10))
  run.class_names = tuple(str(2000 - i) for i in range(1000))
  evenly = chosen(run, None, 1)
  assert len(evenly) == 10 and (evenly[0], evenly[-1]) == (0, 999)
  assert chosen(run, '2000', 1).tolist() == [0]  # A name before a number.
  assert chosen(run, '7', 1).tolist() == [7]


def test_real_images_of_none_of_the_classes_are_told(workdir):
  run = Run.open(workdir, {'dataset.num_examples': '1'})
  with pytest.raises(errors.UserError, match='has none of these classes'):
    attention_files._real(run, np.array([5]), 4)


@pytest.mark.parametrize(
  ('changes', 'network', 'kinds'),
  [
    ({'discriminator__attention': ()}, 'generator', {'ema', 'raw'}),
    ({'generator__attention': ()}, 'discriminator', {'ema', 'raw', 'real'}),
  ],
)
def test_one_network_may_be_without_attention(
  tmp_path, capsys, changes, network, kinds
):
  changes = {f'{network}__attention': (8,)} | changes
  known_attention.saved(tmp_path / 'run', steps=(2,), **changes)
  argv = [f'--workdir={tmp_path}/run', f'--output={tmp_path}', '--measure=2']
  assert _main(*argv) == 0, capsys.readouterr().err
  data = json.loads(
    Elements((tmp_path / 'attention.html').read_text()).text['data']
  )
  assert set(data['views']) == {f'2/{network}/{x}/attention_8' for x in kinds}
  assert data['first']['network'] == network
  arrays = np.load(tmp_path / 'maps_00000002.npz')
  rows = {name for name in arrays if name.endswith('/rows')}
  assert rows == {f'{network}/{x}/attention_8/rows' for x in kinds}
