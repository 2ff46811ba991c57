"""Tests of reading folders of image files."""

import gc
import subprocess
import sys
import tarfile
import threading
import time

import numpy as np
import pytest
from PIL import Image

from sagan_jax import data
from sagan_jax.data import folder


def save(path, colour=(200, 100, 50), size=(12, 12), mode='RGB', **kwargs):
  path.parent.mkdir(parents=True, exist_ok=True)
  image = Image.new('RGB', size, colour)
  image.convert(mode, palette=Image.Palette.ADAPTIVE).save(path, **kwargs)


@pytest.fixture
def root(tmp_path):
  """Two classes; the red value of an image is its number in stored order."""
  for i in range(4):
    save(tmp_path / 'train' / 'ant' / f'{i}.png', (i, 0, 0))
  save(tmp_path / 'train' / 'bee' / 'deep' / 'a.PNG', (4, 0, 0))
  save(tmp_path / 'train' / 'bee' / 'deep' / 'b.png', (5, 0, 0))
  save(tmp_path / 'train' / 'bee' / 'z.png', (6, 0, 0))
  (tmp_path / 'train' / 'bee' / 'notes.txt').write_text('not an image')
  save(tmp_path / 'val' / 'ant' / '0.png', (90, 0, 0))
  save(tmp_path / 'val' / 'bee' / '0.png', (91, 0, 0))
  return tmp_path


def numbers(batches):
  return np.concatenate([b['image'][:, 0, 0, 0] for b in batches])


def test_stored_order_is_by_class_and_name(root):
  src = data.make_source(f'folder:{root}', image_size=8)
  assert (src.num_examples, src.num_classes) == (7, 2)
  assert src.class_names == ('ant', 'bee')
  batches = list(src.examples(batch_size=3))
  np.testing.assert_array_equal(numbers(batches), np.arange(7))
  label = np.concatenate([b['label'] for b in batches])
  np.testing.assert_array_equal(label, [0, 0, 0, 0, 1, 1, 1])
  assert label.dtype == np.int32
  assert batches[0]['image'].shape == (3, 8, 8, 3)
  assert batches[0]['image'].dtype == np.uint8
  np.testing.assert_array_equal(
    numbers(src.examples(batch_size=3, start=5)), [5, 6]
  )
  val = data.make_source(f'folder:{root}', image_size=8, split='val')
  np.testing.assert_array_equal(numbers(val.examples(batch_size=9)), [90, 91])


def test_class_folders_alone_are_the_train_split(root):
  whole = data.make_source(f'folder:{root}', image_size=8)
  direct = data.make_source(f'folder:{root}/train', image_size=8)
  assert direct.fingerprint == whole.fingerprint
  np.testing.assert_array_equal(
    numbers(direct.examples(batch_size=9)), np.arange(7)
  )


def test_batches_restart_and_split_exactly(root):
  src = data.make_source(f'folder:{root}', image_size=8)

  def read(count, **kwargs):
    iterator = src.batches(seed=3, batch_size=4, **kwargs)
    return np.stack([numbers([next(iterator)]) for _ in range(count)])

  straight = read(7)
  np.testing.assert_array_equal(
    np.sort(straight.reshape(4, 7)), np.tile(np.arange(7), (4, 1))
  )
  np.testing.assert_array_equal(read(2, start=5), straight[5:])
  halves = [read(7, process_index=p, process_count=2) for p in range(2)]
  np.testing.assert_array_equal(np.concatenate(halves, axis=1), straight)


def test_threads_end_with_the_source(root):
  before = threading.active_count()
  src = data.make_source(f'folder:{root}', image_size=8)
  iterator = src.batches(seed=0, batch_size=4)
  next(iterator)
  assert threading.active_count() > before
  del src, iterator
  gc.collect()
  deadline = time.monotonic() + 10
  while threading.active_count() > before:
    assert time.monotonic() < deadline
    time.sleep(0.001)


def test_fingerprint_follows_files_and_size(root):
  first = data.make_source(f'folder:{root}', image_size=8).fingerprint
  assert data.make_source(f'folder:{root}', image_size=9).fingerprint != first
  (root / 'train' / 'ant' / '0.png').rename(root / 'train' / 'ant' / '00.png')
  assert data.make_source(f'folder:{root}', image_size=8).fingerprint != first


@pytest.mark.parametrize('size', [(60, 20), (20, 60)])
def test_the_centre_square_is_kept(tmp_path, size):
  # Blue, then green, then red along the long side: green is the centre.
  pixels = np.zeros((20, 60, 3), np.uint8)
  for i in range(3):
    pixels[:, 20 * i : 20 * i + 20, 2 - i] = 255
  if size == (20, 60):
    pixels = pixels.transpose(1, 0, 2)
  Image.fromarray(pixels).save(tmp_path / 'x.png')
  image = folder.load_image(tmp_path / 'x.png', 10)
  np.testing.assert_array_equal(
    image, np.broadcast_to([0, 255, 0], (10, 10, 3))
  )


def test_resizing_is_antialiased(tmp_path):
  # Stripes of one pixel must average out, not alias into black or white.
  pixels = np.zeros((64, 64, 3), np.uint8)
  pixels[::2] = 255
  Image.fromarray(pixels).save(tmp_path / 'x.png')
  image = folder.load_image(tmp_path / 'x.png', 8)
  assert np.abs(image.astype(int) - 127).max() <= 8


@pytest.mark.parametrize(
  ('name', 'mode', 'expected', 'tolerance'),
  [
    ('x.jpg', 'RGB', (200, 100, 50), 3),
    ('x.jpg', 'L', (124, 124, 124), 2),
    ('x.jpg', 'CMYK', (200, 100, 50), 3),
    ('x.png', 'RGBA', (200, 100, 50), 0),
    ('x.png', 'LA', (124, 124, 124), 1),
    ('x.png', 'P', (200, 100, 50), 0),
    ('x.png', '1', None, 0),
  ],
)
def test_every_mode_becomes_rgb(tmp_path, name, mode, expected, tolerance):
  path = tmp_path / name
  save(path, mode=mode)
  image = folder.load_image(path, 8)
  assert (image.shape, image.dtype) == ((8, 8, 3), np.uint8)
  if expected is not None:
    assert np.abs(image.astype(int) - expected).max() <= tolerance


def test_palette_with_transparency_becomes_rgb(tmp_path):
  save(tmp_path / 'x.png', mode='P', transparency=bytes([0, 128, 255]))
  image = folder.load_image(tmp_path / 'x.png', 8)
  np.testing.assert_array_equal(image[0, 0], [200, 100, 50])


def test_sixteen_bit_greyscale_is_scaled(tmp_path):
  pixels = np.full((8, 8), 0x8000, np.uint16)
  Image.fromarray(pixels).save(tmp_path / 'x.png')
  image = folder.load_image(tmp_path / 'x.png', 8)
  np.testing.assert_array_equal(image, np.full((8, 8, 3), 0x80))


def test_suffixes_may_lie(tmp_path):
  # ImageNet's n02105855_2933.JPEG is a PNG file.
  save(tmp_path / 'x.JPEG', format='PNG')
  assert folder.load_image(tmp_path / 'x.JPEG', 8)[0, 0].tolist() == [
    200,
    100,
    50,
  ]


def test_real_photos_decode_to_their_area_averages(shared_data, tmp_path):
  archive = shared_data / 'imagenet-samples' / 'imagenet-samples-orig-122.tar'
  with tarfile.open(archive) as tar:
    members = [m for m in tar.getmembers() if m.isfile()][:40]
    tar.extractall(tmp_path, members=members, filter='data')
  modes = set()
  for member in members:
    path = tmp_path / member.name
    image = folder.load_image(path, 4).astype(np.float32)
    with Image.open(path) as full:
      modes.add(full.mode)
      pixels = np.asarray(full.convert('RGB'), np.float32)
    side = min(pixels.shape[:2]) // 4 * 4
    top, left = ((n - side) // 2 for n in pixels.shape[:2])
    pixels = pixels[top : top + side, left : left + side]
    mean = pixels.reshape(4, side // 4, 4, side // 4, 3).mean((1, 3))
    # The triangle filter is wider than a cell, hence not equality.
    assert np.abs(image - mean).mean() < 12
    assert np.corrcoef(image.ravel(), mean.ravel())[0, 1] > 0.9
  assert modes == {'RGB', 'L'}


def test_image_folder_of_cifar10(shared_data, tmp_path):
  wanted = {f'train/{c}/000{i}.jpg' for c in ('cat', 'ship') for i in range(3)}
  archive = shared_data / 'cifar10' / 'cifar10_jpeg_q75.tar.xz'
  with tarfile.open(archive) as tar:
    for member in tar:  # Stops early: the archive takes seconds to unpack.
      if member.name in wanted:
        tar.extract(member, tmp_path, filter='data')
        wanted.remove(member.name)
      if not wanted:
        break
  src = data.make_source(f'folder:{tmp_path}', image_size=32)
  assert src.class_names == ('cat', 'ship')
  (batch,) = src.examples(batch_size=6)
  with Image.open(tmp_path / 'train' / 'ship' / '0001.jpg') as image:
    np.testing.assert_array_equal(batch['image'][4], np.asarray(image))


def test_corrupt_files_are_named(root):
  src = data.make_source(f'folder:{root}', image_size=8)
  path = root / 'train' / 'bee' / 'z.png'
  whole = path.read_bytes()
  for content in (b'', b'no image', whole[:40], whole[:-20]):
    path.write_bytes(content)
    with pytest.raises(ValueError, match='bee/z.png cannot be read as an'):
      list(src.examples(batch_size=2))
  jpeg = root / 'x.jpg'
  save(jpeg, size=(100, 100))
  jpeg.write_bytes(jpeg.read_bytes()[:-100])
  with pytest.raises(ValueError, match='x.jpg cannot be .*truncated'):
    folder.load_image(jpeg, 8)


def test_bombs_are_refused_before_decoding(tmp_path, monkeypatch):
  path = tmp_path / 'bomb.png'
  Image.new('1', (10_000, 8_001)).save(path)
  assert path.stat().st_size < 100_000
  with pytest.raises(ValueError, match='bomb.png .* 10000 x 8001 pixels, over'):
    folder.load_image(path, 8)
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)
  with pytest.raises(ValueError, match='bomb.png .* decompression bomb'):
    folder.load_image(path, 8)


def test_missing_folders_are_refused(root, tmp_path):
  with pytest.raises(ValueError, match="nowhere' is not a folder; set --conf"):
    data.make_source(f'folder:{tmp_path}/nowhere', image_size=8)
  with pytest.raises(ValueError, match="folder 'test'; it has train, val; set"):
    data.make_source(f'folder:{root}', image_size=8, split='test')
  with pytest.raises(ValueError, match="'val'; it has class folders only"):
    data.make_source(f'folder:{root}/train', image_size=8, split='val')
  empty = root / 'train' / 'cow'
  empty.mkdir()
  with pytest.raises(ValueError, match="class folder '.*cow' has no image"):
    data.make_source(f'folder:{root}', image_size=8)
  with pytest.raises(ValueError, match="cow' has no class folders"):
    data.make_source(f'folder:{empty}', image_size=8)


def test_needs_no_tensorflow(root):
  code = f"""
import sys
from sagan_jax import data
source = data.make_source('folder:{root}', image_size=8)
next(source.batches(seed=0, batch_size=2))
assert not {{'tensorflow', 'tensorflow_datasets', 'jax'}} & set(sys.modules)
"""
  subprocess.run([sys.executable, '-c', code], check=True)
