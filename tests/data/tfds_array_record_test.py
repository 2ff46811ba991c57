"""Tests of TFDS data stored as ArrayRecord."""

import io
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sagan_jax import data, errors
from tests.support import commands

tfds = pytest.importorskip('tensorflow_datasets')
pytest.importorskip('array_record')

NUM_EXAMPLES = 23
LABELS = [i % 4 for i in range(NUM_EXAMPLES)]


def encode(value):
  file = io.BytesIO()
  Image.new('RGB', (12, 8), (value, 0, 0)).save(file, 'png')
  return file.getvalue()


def store(data_dir, images, labels):
  """Writes 'numbers' of encoded images, five records a file."""
  features = tfds.features.FeaturesDict(
    {
      'image': tfds.features.Image(),
      'label': tfds.features.ClassLabel(names=list('abcd')),
    }
  )
  directory = os.path.join(data_dir, 'numbers', '1.0.0')
  os.makedirs(directory)
  identity = tfds.core.dataset_info.DatasetIdentity(
    name='numbers',
    version=tfds.core.Version('1.0.0'),
    data_dir=directory,
    module_name='test',
  )
  writer = tfds.core.SequentialWriter(
    tfds.core.DatasetInfo(builder=identity, features=features),
    max_examples_per_shard=5,
    file_format='array_record',
  )
  writer.initialize_splits(['train'])
  examples = [
    {'image': io.BytesIO(image), 'label': label}
    for image, label in zip(images, labels, strict=True)
  ]
  writer.add_examples({'train': examples})
  writer.close_all()


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  """A data set whose example i is red by the value i."""
  path = str(tmp_path_factory.mktemp('tfds'))
  store(path, [encode(i) for i in range(NUM_EXAMPLES)], LABELS)
  return path


def open_source(data_dir, **kwargs):
  return data.make_source(
    'tfds:numbers', image_size=8, data_dir=str(data_dir), **kwargs
  )


def numbers(batches):
  return np.concatenate([b['image'][:, 0, 0, 0] for b in batches])


def test_examples_are_in_stored_order(data_dir):
  src = open_source(data_dir)
  assert (src.num_examples, src.class_names) == (NUM_EXAMPLES, tuple('abcd'))
  batches = list(src.examples(batch_size=9))
  np.testing.assert_array_equal(numbers(batches), np.arange(NUM_EXAMPLES))
  label = np.concatenate([b['label'] for b in batches])
  np.testing.assert_array_equal(label, LABELS)
  assert (label.dtype, batches[0]['image'].dtype) == (np.int32, np.uint8)
  half = open_source(data_dir, split='train[50%:]')
  assert numbers(half.examples(batch_size=99)).tolist() == list(range(12, 23))
  assert half.fingerprint != src.fingerprint


def test_the_order_does_not_depend_on_the_processes(data_dir):
  src = open_source(data_dir)
  whole = numbers([next(src.batches(seed=3, batch_size=20, start=2))])
  halves = [
    numbers(
      [
        next(
          src.batches(
            seed=3, batch_size=20, start=2, process_index=p, process_count=2
          )
        )
      ]
    )
    for p in range(2)
  ]
  np.testing.assert_array_equal(np.concatenate(halves), whole)


@pytest.mark.parametrize(
  ('image', 'label', 'match'),
  [
    (b'no image', 1, "example 1 of 'tfds:numbers', split 'train', in .*JPEG"),
    (encode(1), -1, 'tfds:numbers: example 1 has label -1; labels must'),
  ],
)
def test_broken_records_are_refused(tmp_path, image, label, match):
  store(tmp_path, [encode(0), image], [0, label])
  src = open_source(tmp_path)
  with pytest.raises(errors.UserError, match=match):
    list(src.examples(batch_size=1))


def test_a_shuffle_buffer_has_no_effect(data_dir):
  with pytest.raises(
    errors.UserError, match='shuffle_buffer=9 has no effect .*as ArrayRecord'
  ):
    open_source(data_dir, shuffle_buffer=9)


def test_without_array_record_the_package_is_named(data_dir, monkeypatch):
  monkeypatch.setitem(sys.modules, 'array_record', None)
  with pytest.raises(
    errors.UserError, match='tfds:numbers needs ArrayRecord: pip install array'
  ):
    open_source(data_dir)


WITHOUT_TENSORFLOW = """
import sys

class Without:
  def __init__(self, finder):
    self.finder = finder

  def find_spec(self, name, *args):
    if name.split('.')[0] == 'tensorflow':
      return None
    return self.finder.find_spec(name, *args)

  def __getattr__(self, name):
    return getattr(self.finder, name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]

from sagan_jax import data
src = data.make_source('tfds:numbers', image_size=8, data_dir=sys.argv[1])
batch = next(src.batches(seed=0, batch_size=23))
assert sorted(batch['image'][:, 0, 0, 0]) == list(range(23))
assert 'tensorflow' not in sys.modules
"""


def test_needs_no_tensorflow(data_dir):
  subprocess.run(
    [sys.executable, '-c', WITHOUT_TENSORFLOW, data_dir],
    check=True,
    cwd=pathlib.Path(__file__).parents[1],
    timeout=commands.TIMEOUT_SECS,
  )
