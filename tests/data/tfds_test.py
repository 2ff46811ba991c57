"""Tests of reading prepared TensorFlow Datasets."""

import importlib.util
import io
import os
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from sagan_jax import data, errors
from sagan_jax.data import folder

pytestmark = [
  pytest.mark.slow,
  # Not imported here: it takes seconds of each process that collects tests.
  pytest.mark.skipif(
    not importlib.util.find_spec('tensorflow'), reason='reads with TensorFlow'
  ),
]
tfds = pytest.importorskip('tensorflow_datasets')

NUM_EXAMPLES = 23


def store(
  data_dir,
  name,
  splits,
  *,
  names=('a', 'b', 'c', 'd'),
  version='1.0.0',
  **keys,
):
  """Writes splits of (encoded image, label) pairs, five records a file."""
  image_key, label_key = keys.get('image', 'image'), keys.get('label', 'label')
  features = tfds.features.FeaturesDict(
    {
      image_key: tfds.features.Image(),
      label_key: tfds.features.ClassLabel(names=list(names)),
    }
  )
  directory = os.path.join(data_dir, name, version)
  os.makedirs(directory)
  identity = tfds.core.dataset_info.DatasetIdentity(
    name=name,
    version=tfds.core.Version(version),
    data_dir=directory,
    module_name='test',
  )
  info = tfds.core.DatasetInfo(builder=identity, features=features)
  writer = tfds.core.SequentialWriter(info, max_examples_per_shard=5)
  writer.initialize_splits(list(splits))
  for split, examples in splits.items():
    writer.add_examples(
      {
        split: [
          {image_key: io.BytesIO(image), label_key: label}
          for image, label in examples
        ]
      }
    )
  writer.close_all()


def encode(pixels, mode='RGB', format='png', **kwargs):
  file = io.BytesIO()
  Image.fromarray(pixels).convert(mode).save(file, format, **kwargs)
  return file.getvalue()


def plain(value, size=(8, 8)):
  return np.full((*size, 3), value, np.uint8)


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  """A data set whose example i is an image of the value i."""
  path = str(tmp_path_factory.mktemp('tfds'))
  train = [(encode(plain(i)), i % 4) for i in range(NUM_EXAMPLES)]
  hidden = [(encode(plain(0)), 1), (encode(plain(0)), -1)]
  store(path, 'numbers', {'train': train, 'hidden': hidden})
  return path


@pytest.fixture(scope='module')
def src(data_dir):
  return data.make_source('tfds:numbers', image_size=8, data_dir=data_dir)


def numbers(batches):
  return np.concatenate([b['image'][:, 0, 0, 0] for b in batches])


def take(iterator, count):
  return np.stack([numbers([next(iterator)]) for _ in range(count)])


def test_examples_are_in_stored_order(src):
  assert (src.num_examples, src.num_classes) == (NUM_EXAMPLES, 4)
  assert (src.name, src.class_names) == ('tfds:numbers', tuple('abcd'))
  batches = list(src.examples(batch_size=9))
  assert [len(b['label']) for b in batches] == [9, 9, 5]
  np.testing.assert_array_equal(numbers(batches), np.arange(NUM_EXAMPLES))
  label = np.concatenate([b['label'] for b in batches])
  np.testing.assert_array_equal(label, np.arange(NUM_EXAMPLES) % 4)
  assert (label.dtype, batches[0]['image'].dtype) == (np.int32, np.uint8)
  np.testing.assert_array_equal(
    numbers(src.examples(batch_size=9, start=7)), np.arange(7, NUM_EXAMPLES)
  )
  shares = [
    numbers(src.examples(batch_size=9, process_index=p, process_count=3))
    for p in range(3)
  ]
  assert {len(s) for s in shares} == {7, 8}
  np.testing.assert_array_equal(np.concatenate(shares), np.arange(NUM_EXAMPLES))


def test_batches_restart_and_straddle_epochs(src):
  straight = take(src.batches(seed=3, batch_size=10), 5)
  epochs = straight.ravel()[: 2 * NUM_EXAMPLES].reshape(2, NUM_EXAMPLES)
  for epoch in epochs:
    np.testing.assert_array_equal(np.sort(epoch), np.arange(NUM_EXAMPLES))
    assert (epoch != np.arange(NUM_EXAMPLES)).any()
  assert (epochs[0] != epochs[1]).any()
  for start in (1, 2, 3):
    resumed = src.batches(seed=3, batch_size=10, start=start)
    np.testing.assert_array_equal(take(resumed, 2), straight[start : start + 2])
  assert (take(src.batches(seed=4, batch_size=10), 1) != straight[:1]).any()


def test_batches_may_be_larger_than_an_epoch(src):
  batch = next(src.batches(seed=3, batch_size=2 * NUM_EXAMPLES))
  np.testing.assert_array_equal(
    np.sort(numbers([batch])), np.repeat(np.arange(NUM_EXAMPLES), 2)
  )


def test_processes_read_disjoint_shares(src):
  seen = []
  for p in range(2):
    kwargs = dict(seed=3, batch_size=8, process_index=p, process_count=2)
    straight = take(src.batches(**kwargs), 3)
    assert straight.shape == (3, 4)
    np.testing.assert_array_equal(
      take(src.batches(**kwargs, start=2), 1), straight[2:]
    )
    seen.append(set(straight.ravel()[:11].tolist()))
  assert seen[0] == set(range(len(seen[0])))
  assert not seen[0] & seen[1]


def test_sub_splits_and_fingerprints(data_dir, src):
  half = data.make_source(
    'tfds:numbers', image_size=8, data_dir=data_dir, split='train[:50%]'
  )
  first = numbers(half.examples(batch_size=99))
  np.testing.assert_array_equal(first, np.arange(12))
  small = data.make_source('tfds:numbers', image_size=4, data_dir=data_dir)
  assert len({src.fingerprint, half.fingerprint, small.fingerprint}) == 3
  again = data.make_source('tfds:numbers', image_size=8, data_dir=data_dir)
  assert again.fingerprint == src.fingerprint


def test_shuffle_buffer_limits_the_shuffle(data_dir):
  src = data.make_source(
    'tfds:numbers', image_size=8, data_dir=data_dir, shuffle_buffer=1
  )
  order = take(src.batches(seed=0, batch_size=NUM_EXAMPLES), 1)[0]
  # Whole blocks of five, the files, are left; only their order is drawn.
  assert sorted(order) == list(range(NUM_EXAMPLES))
  assert (np.diff(order.astype(int)) == 1).sum() >= 18


def test_newest_version_and_default_directory(tmp_path, monkeypatch):
  for version, value in (('2.9.0', 1), ('2.10.0', 2)):
    examples = [(encode(plain(value)), 0)]
    store(tmp_path, 'things', {'train': examples}, version=version)
  monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
  for name, value in (('tfds:things', 2), ('tfds:things:2.9.0', 1)):
    src = data.make_source(name, image_size=8)
    assert numbers(src.examples(batch_size=1)) == [value]


def test_accelerators_are_hidden_from_tensorflow(data_dir, monkeypatch):
  import tensorflow as tf

  calls = []
  monkeypatch.setattr(
    tf.config, 'set_visible_devices', lambda *args: calls.append(args)
  )
  data.make_source('tfds:numbers', image_size=8, data_dir=data_dir)
  assert calls == [([], 'GPU'), ([], 'TPU')]


def test_every_kind_of_image_becomes_a_square_of_rgb(tmp_path):
  # Blue, green, red along the long side; green is the centre square.
  wide = np.zeros((20, 60, 3), np.uint8)
  for i in range(3):
    wide[:, 20 * i : 20 * i + 20, 2 - i] = 255
  stripes = np.zeros((64, 64, 3), np.uint8)
  stripes[::2] = 255
  colour = np.broadcast_to(np.uint8([200, 100, 50]), (12, 12, 3))
  cases = [
    (encode(wide), (0, 255, 0), 0),
    (encode(wide.transpose(1, 0, 2)), (0, 255, 0), 0),
    (encode(wide, format='jpeg', subsampling=0), (0, 255, 0), 4),
    (encode(stripes), (127, 127, 127), 8),  # Antialiased.
    (encode(colour, 'RGBA'), (200, 100, 50), 0),
    (encode(colour, 'L'), (124, 124, 124), 1),
    (encode(colour, 'L', 'jpeg'), (124, 124, 124), 2),
    (encode(colour, 'CMYK', 'jpeg'), (200, 100, 50), 4),
  ]
  store(tmp_path, 'kinds', {'train': [(image, 0) for image, _, _ in cases]})
  src = data.make_source('tfds:kinds', image_size=8, data_dir=str(tmp_path))
  (batch,) = src.examples(batch_size=99)
  for image, (_, expected, tolerance) in zip(
    batch['image'], cases, strict=True
  ):
    error = np.abs(image.astype(int) - expected)
    # Ringing of JPEG stays at the border of the square.
    assert error[1:-1, 1:-1].max() <= tolerance


def test_photos_agree_with_the_folder_source(shared_data, tmp_path):
  archive = shared_data / 'imagenet-samples' / 'imagenet-samples-orig-122.tar'
  with tarfile.open(archive) as tar:
    members = [m for m in tar.getmembers() if m.isfile()][:12]
    tar.extractall(tmp_path, members=members, filter='data')
  paths = [tmp_path / m.name for m in members]
  names = [p.parent.name for p in paths]
  store(
    tmp_path / 'data',
    'imagenet2012',
    {'train': [(p.read_bytes(), i) for i, p in enumerate(paths)]},
    names=names,
    version='5.1.0',
  )
  src = data.make_source(
    'tfds:imagenet2012', image_size=64, data_dir=str(tmp_path / 'data')
  )
  assert src.class_names == tuple(names)
  (batch,) = src.examples(batch_size=99)
  np.testing.assert_array_equal(batch['label'], np.arange(12))
  for image, path in zip(batch['image'], paths, strict=True):
    pillow = folder.load_image(path, 64)
    assert np.abs(image.astype(int) - pillow).mean() < 1.5


@pytest.mark.parametrize(
  ('image', 'match'),
  [
    (b'GIF89a' + bytes(40), 'neither JPEG nor PNG: record.*train.*__1'),
    (b'', 'neither JPEG nor PNG: record'),
    (b'\xff\xd8\xff' + bytes(40), "'tfds:broken', split .*cannot be read"),
    (encode(plain(1, (50, 50)))[:-30], 'cannot be read'),
  ],
)
def test_broken_records_are_refused(tmp_path, image, match):
  examples = [(encode(plain(0)), 0), (image, 0)]
  store(tmp_path, 'broken', {'train': examples})
  src = data.make_source('tfds:broken', image_size=8, data_dir=str(tmp_path))
  with pytest.raises(errors.UserError, match=f'(?s){match}'):
    list(src.examples(batch_size=1))


@pytest.mark.parametrize('format', ['png', 'jpeg'])
def test_bombs_are_refused_before_decoding(tmp_path, format):
  file = io.BytesIO()
  Image.new('L', (10_000, 8_001)).save(file, format)
  store(tmp_path, 'bomb', {'train': [(file.getvalue(), 0)]})
  src = data.make_source('tfds:bomb', image_size=8, data_dir=str(tmp_path))
  with pytest.raises(
    errors.UserError, match='(?s)over 80,000,000 pixels: record'
  ):
    list(src.examples(batch_size=1))


def test_hidden_labels_are_refused(data_dir):
  src = data.make_source(
    'tfds:numbers', image_size=8, data_dir=data_dir, split='hidden'
  )
  with pytest.raises(errors.UserError, match=r'hidden.*__1.* has label -1'):
    list(src.examples(batch_size=2))


@pytest.mark.parametrize(
  ('kwargs', 'match'),
  [
    (dict(name='tfds:letters'), r'no prepared data of .letters.*<version>/'),
    (dict(name='tfds:numbers:9.9.9'), 'numbers/9.9.9/dataset_info.json'),
    (dict(split='test'), r"no split 'test', only \['hidden', 'train'\]"),
    (dict(split='train[:0]'), r"split 'train\[:0\]' of .* is empty"),
    (dict(shuffle_buffer=0), 'shuffle_buffer 0 must be at least 1'),
  ],
)
def test_wrong_arguments_are_refused(data_dir, kwargs, match):
  kwargs = {'name': 'tfds:numbers', 'data_dir': data_dir, **kwargs}
  with pytest.raises(errors.UserError, match=match):
    data.make_source(image_size=8, **kwargs)


def test_too_many_processes_are_refused(src):
  with pytest.raises(
    errors.UserError, match='23 examples, too few for 24 processes'
  ):
    src.batches(seed=0, batch_size=24, process_count=24)
  with pytest.raises(ValueError, match=r'process_index 1 must be in \[0, 1\)'):
    src.examples(batch_size=24, process_index=1)


def test_data_without_classes_is_one_class(tmp_path):
  examples = {'train': [(encode(plain(i)), i) for i in range(3)]}
  store(tmp_path, 'faces', examples, label='person')
  src = data.make_source('tfds:faces', image_size=8, data_dir=str(tmp_path))
  assert (src.num_classes, src.class_names) == (1, ('images',))
  (batch,) = src.examples(batch_size=9)
  np.testing.assert_array_equal(batch['label'], [0, 0, 0])
  assert batch['label'].dtype == np.int32
  np.testing.assert_array_equal(numbers([batch]), [0, 1, 2])


def test_data_without_images_is_refused(tmp_path):
  examples = {'train': [(encode(plain(0)), 0)]}
  store(tmp_path, 'faces', examples, image='picture')
  with pytest.raises(
    errors.UserError, match=r"features \['label', 'picture'\]; an 'image' is"
  ):
    data.make_source('tfds:faces', image_size=8, data_dir=str(tmp_path))


@pytest.mark.parametrize('damage', ['cut short', 'missing'])
def test_damaged_record_files_are_refused(tmp_path, damage):
  store(tmp_path, 'things', {'train': [(encode(plain(0)), 0)] * 3})
  (path,) = tmp_path.glob('things/1.0.0/*tfrecord*')
  if damage == 'missing':
    path.unlink()
  else:
    path.write_bytes(path.read_bytes()[:-20])
  src = data.make_source('tfds:things', image_size=8, data_dir=str(tmp_path))
  with pytest.raises(
    errors.UserError,
    match="(?s)a record of 'tfds:things', split .* cannot be read",
  ):
    list(src.examples(batch_size=1))


@pytest.mark.parametrize('name', ['dataset_info.json', 'features.json'])
@pytest.mark.parametrize('content', [None, '{"name": '])
def test_damaged_descriptions_are_refused(tmp_path, name, content):
  store(tmp_path, 'things', {'train': [(encode(plain(0)), 0)]})
  path = tmp_path / 'things' / '1.0.0' / name
  if content is None:
    path.unlink()
  else:
    path.write_text(content)
  with pytest.raises(
    errors.UserError,
    match='does not describe a prepared|no prepared data of|is not JSON',
  ):
    data.make_source('tfds:things', image_size=8, data_dir=str(tmp_path))


def test_without_tensorflow_the_extra_is_named(data_dir, monkeypatch):
  monkeypatch.setitem(sys.modules, 'tensorflow', None)
  with pytest.raises(
    errors.UserError,
    match=r"reading tfds:numbers needs TensorFlow: pip install 'sagan_jax\[tfds",
  ):
    data.make_source('tfds:numbers', image_size=8, data_dir=data_dir)


def test_verify_reads_nothing(src, monkeypatch):
  monkeypatch.setattr(src, '_read', None)
  src.verify()


def test_the_fingerprint_is_pinned(src):
  # Statistics that were computed before are found under it.
  assert src.identity['name'] == 'numbers/1.0.0'
  assert src.fingerprint == 'f846ab3b370f3d29'
