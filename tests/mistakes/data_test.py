"""Data that is missing, damaged, or another than it was."""

import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from sagan_jax.data import array_writer, shapes
from tests.support import mistakes, tiny
from tests.support.mistakes import Case

SIZE = 32


@pytest.fixture(autouse=True, scope='module')
def small_networks():
  with tiny.small_networks():
    yield


def photos(folder, classes=('ant', 'bee'), count=8):
  """Writes JPEG files of noise."""
  rng = np.random.default_rng(0)
  for name in classes:
    (folder / name).mkdir(parents=True)
    for i in range(count):
      pixels = rng.integers(0, 256, (40, 48, 3), np.uint8)
      Image.fromarray(pixels).save(folder / name / f'{i}.jpg')


def damage(path):
  """Leaves the header of an image, and cuts its body."""
  content = path.read_bytes()
  path.write_bytes(content[: len(content) // 2])


@pytest.fixture
def places(tmp_path):
  """A folder of photos, and an array directory, 'places/...'."""
  directory = tmp_path / 'places'
  photos(directory / 'photos')
  source = shapes.open_source(image_size=SIZE, split='train', num_examples=40)
  array_writer.write(source, directory / 'array', split='train')
  (directory / 'file').write_text('text')
  return directory


def train(name, workdir='PLACES/run', **changes):
  """The arguments of a run on the data of some name."""
  changes = {
    'dataset__name': name,
    'dataset__num_examples': None,
    'num_steps': 2,
    'image_size': SIZE,
  } | changes
  return mistakes.train(workdir, **changes)


def _broken_header(places):
  for i in (1, 2):
    (places / 'photos' / 'ant' / f'{i}.jpg').write_bytes(b'no image')


def _empty_class(places):
  (places / 'photos' / 'cow').mkdir()


def _no_images(places):
  shutil.rmtree(places / 'array')
  (places / 'array').mkdir()


def _edit_info(**changes):
  def arrange(places):
    path = places / 'array' / 'dataset.json'
    info = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(info))

  return arrange


def _cut_array(places):
  path = places / 'array' / 'images.npy'
  path.write_bytes(path.read_bytes()[:-100])


def _change_array(places):
  path = places / 'array' / 'images.npy'
  content = bytearray(path.read_bytes())
  content[-1] ^= 1
  path.write_bytes(content)


def _tfds(places, content):
  path = places / 'tfds' / 'mine' / '1.0.0' / 'dataset_info.json'
  path.parent.mkdir(parents=True)
  path.write_text(content)


NAMES = {
  'no folder': (None, 'folder:PLACES/none', ["PLACES/none'"]),
  'a file': (None, 'folder:PLACES/file', ['PLACES/file']),
  'a folder without images': (
    lambda places: (places / 'empty').mkdir(),
    'folder:PLACES/empty',
    ['PLACES/empty'],
  ),
  'a class without images': (
    _empty_class,
    'folder:PLACES/photos',
    ['PLACES/photos/cow'],
  ),
  'files that are no images': (
    _broken_header,
    'folder:PLACES/photos',
    ['PLACES/photos', 'ant/1.jpg', 'ant/2.jpg'],
  ),
  'no array': (None, 'array:PLACES/none', ["PLACES/none'", 'dataset.json']),
  'an unfinished array': (_no_images, 'array:PLACES/array', ['PLACES/array']),
  'an array without images': (
    lambda places: (places / 'array' / 'images.npy').unlink(),
    'array:PLACES/array',
    ['PLACES/array/images.npy'],
  ),
  'an array of another size': (
    _edit_info(image_size=64),
    'array:PLACES/array',
    ['PLACES/array', '--config.image_size=64'],
  ),
  'an array of another split': (
    _edit_info(split='val'),
    'array:PLACES/array',
    ['PLACES/array', '--config.dataset.split=val'],
  ),
  'an array of another format': (
    _edit_info(format_version=7),
    'array:PLACES/array',
    ['PLACES/array/dataset.json'],
  ),
  'an array with a wrong description': (
    _edit_info(num_examples='many'),
    'array:PLACES/array',
    ['PLACES/array/dataset.json', 'num_examples'],
  ),
  'an array of more images': (
    _edit_info(num_examples=41),
    'array:PLACES/array',
    ['PLACES/array/images.npy'],
  ),
  'an array with a description of no JSON': (
    lambda places: (places / 'array' / 'dataset.json').write_text('{'),
    'array:PLACES/array',
    ['PLACES/array/dataset.json'],
  ),
  'an array that was cut': (
    _cut_array,
    'array:PLACES/array',
    ['PLACES/array/images.npy'],
  ),
  'an array that was changed': (
    _change_array,
    'array:PLACES/array',
    ['PLACES/array/images.npy'],
  ),
  'no binary files': (
    None,
    'cifar10_binary:PLACES/none',
    ['PLACES/none'],
  ),
  'a binary file that was cut': (
    lambda places: (places / 'data_batch_1.bin').write_bytes(b'x' * 100),
    'cifar10_binary:PLACES',
    ['PLACES/data_batch_1.bin'],
  ),
  'no bucket of that kind': (None, 'folder:ftp://x/y', ["'ftp://x/y'"]),
  'a bucket with a slash too few': (None, 'array:gs:/x', ["'gs:/x'", 'gs://']),
}


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('kind', ['main', 'evaluate', 'prepare'])
def test_data(places, capsys, name, kind):
  arrange, source, told = NAMES[name]
  if arrange is not None:
    arrange(places)
  if kind == 'main':
    argv = train(source)
  elif kind == 'evaluate':
    argv = ['--config=quickstart', '--real=shapes', f'--fake={source}']
  else:
    argv = [f'--source={source}', f'--image_size={SIZE}', '--output=PLACES/out']
  mistakes.check(Case(kind, argv, told), places, capsys)
  assert not (places / 'run').exists() and not (places / 'out').exists()


def test_tfds_data_that_is_not_there(places, capsys):
  argv = train('tfds:mine', dataset__data_dir='PLACES/none')
  told = ["'mine'", 'PLACES/none/mine', '--config.dataset.data_dir']
  mistakes.check(Case('main', argv, told), places, capsys)


def test_tfds_data_that_is_not_described(places, capsys):
  pytest.importorskip('tensorflow_datasets')
  _tfds(places, '{"name"')
  argv = train('tfds:mine', dataset__data_dir='PLACES/tfds')
  told = ['PLACES/tfds/mine/1.0.0']
  mistakes.check(Case('main', argv, told), places, capsys)


def test_tfds_without_its_packages(places, capsys, monkeypatch):
  monkeypatch.setitem(sys.modules, 'tensorflow_datasets', None)
  _tfds(places, '{}')
  argv = train('tfds:mine', dataset__data_dir='PLACES/tfds')
  told = ['tfds:mine', "pip install 'sagan_jax[tfds]'"]
  mistakes.check(Case('main', argv, told), places, capsys)


@pytest.mark.parametrize('scheme', ['gs', 's3'])
@pytest.mark.parametrize('flag', ['workdir', 'config', 'data'])
def test_a_bucket_without_its_package(
  places, capsys, monkeypatch, scheme, flag
):
  for package in ('tensorflow', 'gcsfs', 's3fs'):
    monkeypatch.setitem(sys.modules, package, None)
  url = f'{scheme}://bucket/x'
  argv = {
    'workdir': ['--config=quickstart', f'--workdir={url}'],
    'config': [f'--config={url}.py', '--workdir=PLACES/run'],
    'data': train(f'array:{url}'),
  }[flag]
  package = {'gs': 'gcsfs', 's3': 's3fs'}[scheme]
  told = [url, f'pip install {package}']
  mistakes.check(Case('main', argv, told), places, capsys)
