"""Data, and what is kept about it, that anybody may have written."""

import itertools
import json
import os

import hypothesis
import numpy as np
import pytest
from etils import epath
from hypothesis import strategies as st
from PIL import Image

from sagan_jax import errors
from sagan_jax.benchmarks import record
from sagan_jax.data import (
  array,
  array_writer,
  checksums,
  cifar10_binary,
  folder,
  shapes,
)
from sagan_jax.pictures import filmstrip, labelled_grid
from tests.support import hostile

IMAGES = ('a/0.png', 'a/1.jpg', 'b/2.webp', 'b/3.png')


def _source():
  return shapes.open_source(image_size=8, num_examples=5)


@pytest.fixture(scope='module')
def template(tmp_path_factory):
  """A prepared directory, a folder of images, and other data."""
  base = tmp_path_factory.mktemp('data') / 'base'
  (base / 'array').mkdir(parents=True)
  array_writer.write(_source(), base / 'array', split='train')
  (base / 'half').mkdir()
  request = {
    'format_version': 1,
    'source_fingerprint': _source().fingerprint,
    'split': 'train',
    'num_examples': 5,
    'image_size': 8,
  }
  (base / 'half/progress.json').write_text(json.dumps(request | {'done': 3}))
  for name in ('images.npy', 'labels.npy'):
    content = (base / 'array' / name).read_bytes()
    (base / 'half' / name).write_bytes(content)
  random = np.random.default_rng(0)
  for name in IMAGES:
    (base / 'folder' / name).parent.mkdir(parents=True, exist_ok=True)
    pixels = random.integers(0, 255, (9, 12, 3), np.uint8)
    Image.fromarray(pixels).save(base / 'folder' / name)
  records = random.integers(0, 9, (3, cifar10_binary.RECORD_BYTES), np.uint8)
  (base / 'data_batch_1.bin').write_bytes(records.tobytes())
  with open(base / 'figures.jsonl', 'w') as file:
    file.write('{"setting": 1}\n{"cell": {"a": 1}, "x": 2.5}\n')
  sheet = labelled_grid.labelled(
    np.zeros((4, 8, 8, 3), np.uint8), 2, ['a', 'b']
  )
  labelled_grid.save(epath.Path(base / 'grid.png'), sheet, ['a', 'b'])
  cache = {os.path.realpath(base / 'grid.png'): [1, 2, 3, 'ab']}
  (base / 'checksums.json').write_text(json.dumps(cache))
  return base


def _batches(source):
  return list(itertools.islice(source.batches(seed=0, batch_size=2), 3))


def _array(base):
  source = array.open_source(base / 'array', image_size=8, split='train')
  (found,) = source.examples(batch_size=5)
  (expected,) = _source().examples(batch_size=5)
  # Else a checksum has accepted it.
  np.testing.assert_array_equal(found['image'], expected['image'])
  np.testing.assert_array_equal(found['label'], expected['label'])


def _go_on(base):
  array_writer.write(_source(), base / 'half', split='train')


def _folder(base):
  source = folder.open_source(
    base / 'folder', image_size=8, split='train', max_bad_images=1
  )
  source.verify()
  _batches(source)


def _cifar(base):
  _batches(cifar10_binary.open_source(base, image_size=32, split='train'))


def _figures(base):
  found = record.Record(base / 'figures.jsonl', {'setting': 1})
  found.get({'a': 1})
  found.add({'cell': {'a': 2}})


def _grid(base):
  grid = filmstrip.Grid(1, 'raw', epath.Path(base / 'grid.png'))
  filmstrip.frames([grid], 8, lambda n: [''] * n, 10**6, lambda _: None)


def _checksums(base):
  path = base / 'grid.png'
  assert checksums.of_unchanged(path) == checksums.sha256(path)


READERS = {
  'array': (_array, ['dataset.json', 'images.npy', 'labels.npy'], 'array'),
  'prepare': (_go_on, ['progress.json', 'images.npy', 'labels.npy'], 'half'),
  'folder': (_folder, IMAGES, 'folder'),
  'cifar10_binary': (_cifar, ['data_batch_1.bin'], ''),
  'figures': (_figures, ['figures.jsonl'], ''),
  'grid': (_grid, ['grid.png'], ''),
  'checksums': (_checksums, ['checksums.json'], ''),
}


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  """Where copies are damaged; the cache of the user is there too."""
  path = tmp_path_factory.mktemp('hostile')
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('SAGAN_JAX_CACHE', str(path / 'base'))
    patch.setattr(array_writer, '_SPARE_BYTES', 0)
    yield path


@pytest.mark.parametrize('name', READERS)
@hostile.inputs
@hypothesis.given(data=st.data())
def test_files_of_data(template, place, name, data):
  read, names, inside = READERS[name]
  base = hostile.fresh(template, place / 'base')
  of, damage = data.draw(hostile.mutated(names))
  damage(base / inside / of)
  with hostile.guarded(base) as refusals:
    read(base)
  for text in refusals:
    assert str(base) in text, text


@hostile.inputs
@hypothesis.given(
  names=st.lists(hostile.ENTRY_NAMES, min_size=1, max_size=3, unique=True)
)
def test_names_of_classes_and_images(template, place, names):
  """They are shown in grids and written into tables, never used as paths."""
  base = hostile.fresh(template, place / 'base')
  with hostile.guarded(base) as refusals:
    for name in names:
      (base / 'named' / name).mkdir(parents=True)
      (base / 'named' / name / f'{name[:40]}.png').write_bytes(
        (base / 'folder/a/0.png').read_bytes()
      )
    source = folder.open_source(
      base / 'named', image_size=8, split='train', max_bad_images=1
    )
    array_writer.write(source, base / 'out', split='train')
    again = array.open_source(base / 'out', image_size=8, split='train')
    assert again.class_names == source.class_names
    labelled_grid.save(
      epath.Path(base / 'grid.png'),
      labelled_grid.labelled(
        np.zeros((len(source.class_names), 8, 8, 3), np.uint8),
        1,
        source.class_names,
      ),
      source.class_names,
    )
    _grid(base)
  for text in refusals:
    assert 'named' in text


@pytest.mark.parametrize('kind', ['pipe', 'device'])
def test_an_image_that_is_no_file_is_named(template, tmp_path, kind):
  base = hostile.fresh(template, tmp_path / 'base')
  path = base / 'folder/a/0.png'
  path.unlink()
  if kind == 'pipe':
    os.mkfifo(path)
  else:
    path.symlink_to('/dev/zero')
  with pytest.raises(errors.UserError, match='a/0.png: it is no file'):
    folder.open_source(base / 'folder', image_size=8, split='train')
