"""Tests of decoding images."""

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from sagan_jax.data import image_file


def save(path, colour=(200, 100, 50), size=(12, 12), mode='RGB', **kwargs):
  image = Image.new('RGB', size, colour)
  image.convert(mode, palette=Image.Palette.ADAPTIVE).save(path, **kwargs)


@pytest.mark.parametrize('size', [(60, 20), (20, 60)])
def test_the_centre_square_is_kept(tmp_path, size):
  # Blue, then green, then red along the long side: green is the centre.
  pixels = np.zeros((20, 60, 3), np.uint8)
  for i in range(3):
    pixels[:, 20 * i : 20 * i + 20, 2 - i] = 255
  if size == (20, 60):
    pixels = pixels.transpose(1, 0, 2)
  Image.fromarray(pixels).save(tmp_path / 'x.png')
  image = image_file.decode_square(tmp_path / 'x.png', 10)
  np.testing.assert_array_equal(
    image, np.broadcast_to([0, 255, 0], (10, 10, 3))
  )


def test_resizing_is_antialiased(tmp_path):
  # Stripes of one pixel must average out, not alias into black or white.
  pixels = np.zeros((64, 64, 3), np.uint8)
  pixels[::2] = 255
  Image.fromarray(pixels).save(tmp_path / 'x.png')
  image = image_file.decode_square(tmp_path / 'x.png', 8)
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
    ('x.webp', 'RGB', (200, 100, 50), 4),
    ('x.webp', 'RGBA', (200, 100, 50), 4),
  ],
)
def test_every_mode_becomes_rgb(tmp_path, name, mode, expected, tolerance):
  path = tmp_path / name
  save(path, mode=mode)
  image = image_file.decode_square(path, 8)
  assert (image.shape, image.dtype) == ((8, 8, 3), np.uint8)
  if expected is not None:
    assert np.abs(image.astype(int) - expected).max() <= tolerance


def test_palette_with_transparency_becomes_rgb(tmp_path):
  save(tmp_path / 'x.png', mode='P', transparency=bytes([0, 128, 255]))
  image = image_file.decode_square(tmp_path / 'x.png', 8)
  np.testing.assert_array_equal(image[0, 0], [200, 100, 50])


def test_sixteen_bit_greyscale_is_scaled(tmp_path):
  pixels = np.full((8, 8), 0x8000, np.uint16)
  Image.fromarray(pixels).save(tmp_path / 'x.png')
  image = image_file.decode_square(tmp_path / 'x.png', 8)
  np.testing.assert_array_equal(image, np.full((8, 8, 3), 0x80))


def test_suffixes_may_lie(tmp_path):
  # ImageNet's n02105855_2933.JPEG is a PNG file.
  save(tmp_path / 'x.JPEG', format='PNG')
  assert image_file.decode_square(tmp_path / 'x.JPEG', 8)[0, 0].tolist() == [
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
    image = image_file.decode_square(path, 4).astype(np.float32)
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


def test_bombs_are_refused_before_decoding(tmp_path, monkeypatch):
  path = tmp_path / 'bomb.png'
  Image.new('1', (10_000, 8_001)).save(path)
  assert path.stat().st_size < 100_000
  with pytest.raises(
    image_file.UnreadableError, match='it has 10000 x 8001 pixels, over 80'
  ):
    image_file.decode_square(path, 8)
  with pytest.raises(image_file.UnreadableError, match='10000 x 8001'):
    image_file.read_size(io.BytesIO(path.read_bytes()))
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1000)
  with pytest.raises(image_file.UnreadableError, match='decompression bomb'):
    image_file.decode_square(path, 8)


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('suffix', ['jpg', 'png', 'webp'])
def test_images_are_turned_upright(tmp_path, orientation, suffix):
  # Each quarter has its own brightness.
  upright = np.kron([[0, 80], [160, 240]], np.ones((8, 8))).astype(np.uint8)
  stored = {
    1: upright,
    2: upright[:, ::-1],
    3: upright[::-1, ::-1],
    4: upright[::-1],
    5: upright.T,
    6: np.rot90(upright),  # To be turned clockwise.
    7: np.rot90(upright, 2).T,
    8: np.rot90(upright, -1),
  }[orientation]
  exif = Image.Exif()
  exif[0x0112] = orientation
  path = tmp_path / f'x.{suffix}'
  Image.fromarray(stored).convert('RGB').save(path, quality=95, exif=exif)
  image = image_file.decode_square(path, 16).astype(int)
  assert np.abs(image - upright[..., None]).max() < 12


@pytest.mark.parametrize('exif', [b'Exif\0\0', b'Exif\0\0nonsense', b'x'])
def test_damaged_exif_is_passed_over(tmp_path, exif):
  path = tmp_path / 'x.jpg'
  Image.new('RGB', (8, 8), (9, 9, 9)).save(path, exif=exif)
  np.testing.assert_array_equal(image_file.decode_square(path, 8)[0, 0], 9)


def test_animations_are_refused(tmp_path):
  path = tmp_path / 'x.webp'
  frames = [Image.new('RGB', (8, 8), (i, 0, 0)) for i in (0, 200)]
  frames[0].save(path, save_all=True, append_images=frames[1:])
  for read in (
    lambda: image_file.decode_square(path, 8),
    lambda: image_file.read_size(io.BytesIO(path.read_bytes())),
  ):
    with pytest.raises(image_file.UnreadableError, match='it is an animation'):
      read()


@pytest.mark.parametrize('format', ['jpeg', 'png', 'webp'])
def test_damaged_files_are_refused(format):
  whole = io.BytesIO()
  noise = np.random.default_rng(0).integers(0, 256, (60, 50, 3), np.uint8)
  Image.fromarray(noise).save(whole, format)
  whole = whole.getvalue()
  assert image_file.read_size(io.BytesIO(whole)) == (50, 60)
  for content in (b'', b'no image', whole[:9], whole[:-100]):
    with pytest.raises(image_file.UnreadableError, match='.'):
      image_file.decode_square(io.BytesIO(content), 8)
  with pytest.raises(
    image_file.UnreadableError, match='not a JPEG, PNG or WebP image'
  ):
    image_file.read_size(io.BytesIO(b'no image'))


def test_the_reason_of_the_system_is_told(tmp_path):
  with pytest.raises(
    image_file.UnreadableError, match='^No such file or directory$'
  ):
    image_file.decode_square(tmp_path / 'none.png', 8)
