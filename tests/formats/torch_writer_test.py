"""Tests of the writer of files for `torch.load`, with torch and without."""

import zipfile

import numpy as np
import pytest

from sagan_jax import errors
from sagan_jax.formats import torch_file, torch_writer


def _content():
  rng = np.random.default_rng(0)
  return {
    'conv.weight': rng.standard_normal((4, 3, 2, 2)).astype(np.float32),
    'fc.weight': rng.standard_normal((5, 3)).astype(np.float32).T,
    'gamma': np.array(0.5, np.float32),
    'u0': np.ones((1, 7)),
    'counter': np.array([3, 2**40]),
    'empty': np.zeros((0, 2), np.float32),
    'big_endian': np.arange(3, dtype='>f4'),
  }


def test_what_was_written_is_read(tmp_path):
  path, content = tmp_path / 'w.pth', _content()
  torch_writer.write(path, content)
  found = torch_file.read_state_dict(path)
  assert list(found) == list(content)
  for name, array in content.items():
    assert found[name].dtype == array.dtype.newbyteorder('<')
    np.testing.assert_array_equal(found[name], array)


def test_torch_reads_what_was_written(tmp_path):
  torch = pytest.importorskip('torch', reason='reads a file with torch.load')
  path, content = tmp_path / 'w.pth', _content()
  settings = {'itr': 3, 'config': {'G_attn': '64', 'hier': False, 'eps': 1e-5}}
  torch_writer.write(path, content | settings)
  for mapped in False, True:
    found = torch.load(path, weights_only=True, mmap=mapped)
    assert list(found) == [*content, *settings]
    for name, array in content.items():
      np.testing.assert_array_equal(found[name].numpy(), array)
    assert {name: found[name] for name in settings} == settings


def test_the_archive_is_laid_out_as_torch_does(tmp_path):
  """Names, no compression, aligned storages; the same bytes at any time."""
  paths = tmp_path / 'a.pth', tmp_path / 'b.pth'
  for path in paths:
    torch_writer.write(path, _content())
  data = paths[0].read_bytes()
  assert data == paths[1].read_bytes()
  with zipfile.ZipFile(paths[0]) as archive:
    assert archive.testzip() is None
    assert archive.namelist() == [
      'archive/data.pkl',
      'archive/byteorder',
      *(f'archive/data/{i}' for i in range(7)),
      'archive/version',
    ]
    assert archive.read('archive/version') == b'3\n'
    weight = _content()['conv.weight'].tobytes()
    assert archive.read('archive/data/0') == weight
    assert data.index(weight) % 64 == 0
    assert all(i.compress_type == 0 for i in archive.infolist())


@pytest.mark.parametrize(
  'value, match',
  [
    (np.float32(1), 'neither an array nor plain'),
    ({'a': {1, 2}}, 'neither an array nor plain'),
    (object(), 'neither an array nor plain'),
    (np.zeros(2, np.float16), "'x' is an array of float16"),
  ],
)
def test_other_values_are_our_fault(tmp_path, value, match):
  with pytest.raises(TypeError, match=match):
    torch_writer.write(tmp_path / 'w.pth', {'x': value})
  assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_told(tmp_path):
  with pytest.raises(errors.UserError, match='cannot write .*w.pth'):
    torch_writer.write(tmp_path / 'none' / 'w.pth', {})
