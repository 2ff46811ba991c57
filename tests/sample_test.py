"""The command that makes images."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import sagan_jax
from sagan_jax import sample
from sagan_jax.gan import chunks
from sagan_jax.run import command
from tests.support import commands, mistakes, tiny

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope='module')
def small_networks():
  with tiny.small_networks():
    yield


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A directory with the checkpoints of steps 2 and 4."""
  workdir = tmp_path_factory.mktemp('trained') / 'run'
  tiny.run(
    workdir,
    num_steps=4,
    checkpoint__every_steps=2,
    optim__generator__learning_rate=0.05,  # So that classes differ.
  )
  return workdir


def _main(*argv):
  """Runs the command in this process; returns its exit code."""
  return command.exit_code(sample.main, list(argv))


def _make(workdir, output, *argv):
  """Makes images; returns {name: bytes} of what is in the output then."""
  assert _main(f'--workdir={workdir}', f'--output={output}', *argv) == 0
  return {str(k): v for k, v in mistakes.contents(output).items()}


def _rows(output, name):
  with open(output / name, newline='', encoding='utf-8') as file:
    return list(csv.DictReader(file))


@pytest.fixture
def without_data(trained, tmp_path, monkeypatch):
  """A copy of the run, where its data is not."""

  def refuse(*args, **kwargs):
    raise AssertionError((args, kwargs))

  monkeypatch.setattr('sagan_jax.data.make_source', refuse)
  return shutil.copytree(trained, tmp_path / 'copy')


def test_files_are_what_their_table_says(without_data, tmp_path):
  out = tmp_path / 'out'
  made = _make(without_data, out, '--as=files', '--classes=star,1', '--num=5')
  rows = _rows(out, 'samples.csv')
  assert [row['class'] for row in rows] == ['star'] * 5 + ['ring'] * 5
  assert made.keys() == {'samples.csv'} | {row['file'] for row in rows}
  assert rows[0]['file'] == '3-star-00000.png'
  run = sagan_jax.open_run(without_data)
  for row in rows:
    expected = run.sample(
      [row['class']],
      index=[int(row['index'])],
      seed=int(row['seed']),
      step=int(row['step']),
      weights=row['weights'],
      statistics=row['statistics'],
    )
    with Image.open(out / row['file']) as image:
      np.testing.assert_array_equal(image, expected[0])
  assert len({content for content in made.values()}) == 11


def test_an_image_does_not_depend_on_what_else_is_made(trained, tmp_path):
  few = _make(trained, tmp_path / 'a', '--as=files', '--classes=3', '--num=2')
  many = _make(trained, tmp_path / 'b', '--as=files', '--num=4')
  del few['samples.csv']
  assert len(few) == 2 and few.items() <= many.items()


MODES = {
  'files': ['--as=files'],
  'grid': [],
  'latent': ['--interpolate=latent', '--classes=1,2'],
  'class': ['--interpolate=class', '--classes=1,2,3', '--weights=raw'],
  'batch': ['--as=files', '--statistics=batch', '--truncation=0.7'],
}


@pytest.mark.parametrize('mode', MODES)
def test_bytes_do_not_depend_on_batches_or_devices(trained, tmp_path, mode):
  expected = _make(trained, tmp_path / '1', *MODES[mode])
  for devices, batch_size in (1, 3), (8, 16):
    found = _make(
      trained,
      tmp_path / f'{devices}-{batch_size}',
      *MODES[mode],
      f'--config.eval.batch_size={batch_size}',
      f'--config.num_devices={devices}',
    )
    assert found == expected


def test_a_grid_has_a_row_per_class(trained, tmp_path):
  made = _make(trained, tmp_path, '--classes=1,2,3', '--num=2')
  assert made.keys() == {'grid.png'}
  with Image.open(tmp_path / 'grid.png') as image:
    assert 3 * 64 < image.height < 3 * 80
  assert _make(trained, tmp_path, '--classes=1,2,3', '--num=2') == made
  changes = ['--seed=1'], ['--step=2'], ['--weights=raw'], ['--truncation=0.1']
  for change in (*changes, ['--statistics=running']):
    other = _make(trained, tmp_path, '--classes=1,2,3', '--num=2', *change)
    assert other != made


@pytest.mark.parametrize(('mode', 'legs'), [('latent', 3), ('class', 1)])
def test_interpolations_are_strips_and_animations(
  trained, tmp_path, mode, legs
):
  made = _make(
    trained,
    tmp_path,
    f'--interpolate={mode}',
    # Raw, as averages of four steps hardly tell classes apart.
    *('--classes=1,2', '--num=3', '--frames=4', '--weights=raw'),
  )
  assert made.keys() == {f'{mode}.png', f'{mode}.gif'}
  walkers = {'latent': 2, 'class': 3}[mode]
  with Image.open(tmp_path / f'{mode}.png') as image:
    assert legs * walkers * 64 < image.height < (legs * walkers + 1) * 66 + 40
    assert image.width > 5 * 64
  with Image.open(tmp_path / f'{mode}.gif') as image:
    assert image.n_frames == (12 if legs == 3 else 8)


def test_ends_of_a_way_between_classes_are_images_of_them(trained, tmp_path):
  """The shares of the ends have one class, of whose table the row is taken."""
  argv = ['--interpolate=class', '--classes=1,2', '--num=1', '--frames=8']
  _make(trained, tmp_path, *argv, '--weights=raw')
  run = sagan_jax.open_run(trained)
  expected = run.sample(
    [1, 2], index=[1, 1], weights='raw'
  )  # Both of the latent of class 1.
  with Image.open(tmp_path / 'class.png') as image:
    strip = np.asarray(image)
  for number, image in enumerate(expected):
    big = image.repeat(2, 0).repeat(2, 1)
    left = strip.shape[1] - 6 - 64 - (1 - number) * 8 * 66
    np.testing.assert_array_equal(strip[-70:-6, left : left + 64], big)


def test_nearest_training_images_stand_beside_samples(
  trained, tmp_path, capsys
):
  cache = f'--config.eval.cache_dir={tmp_path / "cache"}'
  out = tmp_path / 'out'
  made = _make(trained, out, '--nearest=3', '--classes=1,2', '--num=2', cache)
  assert made.keys() == {'nearest.png', 'nearest.csv'}
  rows = _rows(out, 'nearest.csv')
  assert len(rows) == 2 * 2 * 3
  assert {row['features'] for row in rows} == {
    'random-conv-seed-0, pooled (224 dimensions)'
  }
  run = sagan_jax.open_run(trained)
  (batch,) = run.source.examples(batch_size=64)
  for row in rows:
    label = batch['label'][int(row['training_image'])]
    assert run.class_names[label] == row['training_class']
  said = capsys.readouterr().out
  assert 'the 3 nearest of 64 training images by Euclidean distance' in said
  assert 'Training images are ' in said


def test_other_data_has_no_training_images(trained, tmp_path, capsys):
  argv = [f'--workdir={trained}', f'--output={tmp_path}', '--nearest=1']
  assert _main(*argv, '--config.dataset.num_examples=65') == 2
  error = capsys.readouterr().err
  assert 'shapes is not the data of the run in ' in error
  assert 'set --config.dataset.name' in error


HOSTILE = [
  *('../../outside', '/etc/x', 'a\nb', '..', '', 'x' * 300, '日本', '$x^{$'),
  *('<script>', '\ud800'),
]


@pytest.mark.parametrize('mode', ['files', 'latent'])
def test_names_of_classes_never_become_paths(trained, tmp_path, mode):
  workdir = shutil.copytree(trained, tmp_path / 'run')
  facts = json.loads((workdir / 'data.json').read_text())
  facts['class_names'] = HOSTILE
  (workdir / 'data.json').write_text(json.dumps(facts))
  before = mistakes.contents(tmp_path)
  out = tmp_path / 'deep' / 'er' / 'out'
  made = _make(workdir, out, *MODES[mode], '--num=2', '--classes=all')
  after = mistakes.contents(tmp_path)
  assert len(after) == len(before) + len(made)
  if mode == 'files':
    assert len(made) == 21
    assert [row['class'] for row in _rows(out, 'samples.csv')][::2] == [
      *HOSTILE[:-1],
      '\\ud800',
    ]


@pytest.mark.parametrize(
  ('argv', 'text'),
  [
    (['--classes=rnig'], "no class 'rnig'; did you mean 'ring'"),
    (['--step=3'], r'has no checkpoint of step 3, only of [2, 4]'),
    (['--step=best'], 'best holds no checkpoint: no evaluation has chosen'),
    (['--step=last'], "'last' is no step, nor best"),
    (['--truncation=0'], "'0' is no number above 0"),
    (['--truncation=nan'], "'nan' is no number above 0"),
    (['--truncation=x'], "'x' is no number above 0"),
    (['--seed=-1'], "'-1' is not an integer from 0 to 2147483647"),
    (['--seed=2147483648'], 'is not an integer from 0 to 2147483647'),
    (['--num=0'], "'0' is not an integer from 1"),
    (['--config=quickstart'], 'a run has its own config'),
    (['--as=grid', '--nearest=2'], 'give one of --as and --nearest'),
    (['--frames=3'], '--frames has no effect without --interpolate'),
    (['--interpolate=latent', '--num=1'], '--num=1: a way between latents'),
    (['--interpolate=class', '--classes=1'], 'a way between classes needs at'),
    (['--num=1000'], 'a grid of 10 classes of 1,000 images would be 66,'),
    (['--as=files', '--num=100001'], '1,000,010 images are too many for one'),
    (['--as=files', '--num=2147483647', '--classes=1'], 'images are too many'),
    (['--interpolate=latent', '--frames=999999'], 'images are too many'),
    (['--interpolate=class', '--frames=900'], 'a strip of 40 rows would be 59'),
    (['--nearest=64'], '--nearest=64 is too many: shapes has 64 images'),
    (['--nearest=5', '--num=9999'], 'a picture of 99,990 rows would be'),
  ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
  trained, tmp_path, monkeypatch, capsys, argv, text
):
  def refuse(*args, **kwargs):
    raise AssertionError((args, kwargs))

  monkeypatch.setattr(chunks.ChunkSampler, 'images', refuse)
  output = tmp_path / 'out'
  assert _main(f'--workdir={trained}', f'--output={output}', *argv) == 2
  assert text in capsys.readouterr().err
  assert not output.exists() or not [*output.iterdir()]


@pytest.mark.parametrize('flag', ['--workdir', '--output'])
def test_directories_must_be_given(tmp_path, capsys, flag):
  argv = [f'--workdir={tmp_path}', f'--output={tmp_path}']
  assert _main(*(x for x in argv if not x.startswith(flag))) == 2
  assert f'{flag} is needed; see python -m' in capsys.readouterr().err


def test_samples_of_before_are_not_mixed_in(trained, tmp_path, capsys):
  _make(trained, tmp_path, '--as=files', '--classes=1', '--num=3')
  argv = [f'--workdir={trained}', f'--output={tmp_path}', '--as=files']
  assert _main(*argv, '--classes=1', '--num=2') == 2
  assert 'holds 1 images of other samples, such as 1-ring-00002.png' in (
    capsys.readouterr().err
  )
  assert _main(*argv, '--classes=1', '--num=3', '--seed=5') == 0


@pytest.mark.slow
def test_the_command_makes_images_of_a_real_run(tmp_path):
  workdir, _ = commands.undisturbed()
  code, output = commands.run(
    f'--workdir={workdir}',
    f'--output={tmp_path}',
    *('--classes=ring,star', '--num=2', '--step=best'),
    module='sagan_jax.sample',
  )
  assert code == 0, output
  assert str(tmp_path / 'grid.png') in output
  with Image.open(tmp_path / 'grid.png') as image:
    assert image.height > 128
