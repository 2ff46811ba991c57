"""Reading and writing safetensors files."""

import json
import struct
import sys

import numpy as np
import pytest
from etils import epath

from sagan_jax import errors
from sagan_jax.formats import safetensors_file
from tests.support import gcs

TENSORS = {
  'a.kernel': np.arange(6, dtype=np.float32).reshape(2, 3),
  'gate': np.array(-0.0, np.float32),
}
CONTENT = safetensors_file.dump(TENSORS, {'card': 'x'})


def _header(header, data=b''):
  """A file with a header of our own."""
  if not isinstance(header, bytes):
    header = json.dumps(header).encode()
  return struct.pack('<Q', len(header)) + header + data


def _entry(dtype='F32', shape=(2,), offsets=(0, 8)):
  return {'a': {'dtype': dtype, 'shape': shape, 'data_offsets': offsets}}


def test_what_is_written_is_read(tmp_path):
  path = epath.Path(tmp_path / 'x.safetensors')
  path.write_bytes(CONTENT)
  found, metadata = safetensors_file.read(path)
  assert metadata == {'card': 'x'}
  assert found.keys() == TENSORS.keys()
  for name, tensor in TENSORS.items():
    assert found[name].dtype == np.float32
    assert found[name].shape == tensor.shape
    assert found[name].tobytes() == tensor.tobytes()


def test_the_layout_is_that_of_the_format():
  """github.com/huggingface/safetensors, README: Format."""
  (length,) = struct.unpack('<Q', CONTENT[:8])
  header = json.loads(CONTENT[8 : 8 + length])
  assert header['__metadata__'] == {'card': 'x'}
  begin, end = header['a.kernel']['data_offsets']
  assert header['a.kernel'] | {'data_offsets': 0} == {
    'dtype': 'F32',
    'shape': [2, 3],
    'data_offsets': 0,
  }
  data = CONTENT[8 + length :]
  assert data[begin:end] == TENSORS['a.kernel'].tobytes()
  assert len(data) == 7 * 4


def test_a_bucket_is_read(tmp_path, monkeypatch):
  where = gcs.mock_gcs(monkeypatch, tmp_path)
  where('gs://b').mkdir()
  where('gs://b/x.safetensors').write_bytes(CONTENT)
  found, _ = safetensors_file.read(epath.Path('gs://b/x.safetensors'))
  assert found['a.kernel'].tolist() == TENSORS['a.kernel'].tolist()
  with pytest.raises(errors.UserError, match='cannot read gs://b/none'):
    safetensors_file.read(epath.Path('gs://b/none'))


HOSTILE = {
  'empty': (b'', 'it has 0 bytes'),
  'seven bytes': (CONTENT[:7], 'it has 7 bytes'),
  'no header': (CONTENT[:8], 'damaged'),
  'half a header': (CONTENT[:40], 'damaged'),
  'a byte less': (CONTENT[:-1], 'damaged'),
  'a byte more': (CONTENT + b'x', 'damaged'),
  'a header of 2**63 bytes': (
    struct.pack('<Q', 2**63) + b'{}',
    'its header would have 9223372036854775808 bytes',
  ),
  'a header beyond the limit': (
    struct.pack('<Q', safetensors_file.MAX_HEADER_BYTES + 1),
    'the most is 16777216',
  ),
  'a header that is no JSON': (_header(b'{' * 9), 'damaged'),
  'a header that is a list': (_header([]), 'damaged'),
  'deep JSON': (_header(b'[' * 100_000), 'damaged'),
  'a pickle': (b'\x80\x04cos\nsystem\n(S"touch x"\ntR.', 'damaged'),
  'a huge shape': (
    _header(_entry(shape=(2**40, 2**20)), bytes(8)),
    'damaged',
  ),
  'a shape that overflows': (
    _header(_entry(shape=(2**62, 4)), bytes(8)),
    'overflow',
  ),
  'offsets beyond the file': (
    _header(_entry(shape=(2**30,), offsets=(0, 2**32)), bytes(8)),
    'damaged',
  ),
  'offsets backwards': (_header(_entry(offsets=(8, 0)), bytes(8)), 'damaged'),
  'a shape below zero': (_header(_entry(shape=(-2,)), bytes(8)), 'damaged'),
  'a half': (
    _header(_entry('F16', (4,)), bytes(8)),
    "'a' has the dtype F16, but weights are F32",
  ),
  'a dtype of nobody': (_header(_entry('F33'), bytes(8)), 'damaged'),
}


@pytest.mark.parametrize('content, told', HOSTILE.values(), ids=HOSTILE)
def test_what_others_may_have_made_is_refused(tmp_path, content, told):
  path = epath.Path(tmp_path / 'x.safetensors')
  path.write_bytes(content)
  with pytest.raises(errors.UserError) as e:
    safetensors_file.read(path)
  (line,) = str(e.value).splitlines()
  assert line.startswith(str(path)) and told in line and len(line) < 700


@pytest.mark.parametrize('cut', [False, True])
def test_any_byte_may_be_another(tmp_path, cut):
  """The file is refused, or the tensors are no larger than it is."""
  path = epath.Path(tmp_path / 'x.safetensors')
  random = np.random.default_rng(0)
  refused = 0
  for _ in range(300):
    content = bytearray(CONTENT)
    position = random.integers(len(content))
    content[position] ^= random.integers(1, 256)
    path.write_bytes(bytes(content[: position + 1] if cut else content))
    try:
      found, _ = safetensors_file.read(path)
    except errors.UserError as e:
      assert str(path) in str(e)
      refused += 1
    else:
      assert sum(x.nbytes for x in found.values()) <= len(CONTENT)
  assert refused > 100


@pytest.mark.parametrize('kind', ['nothing', 'folder'])
def test_no_file(tmp_path, kind):
  path = epath.Path(tmp_path / 'x.safetensors')
  if kind == 'folder':
    path.mkdir()
  with pytest.raises(errors.UserError, match=f'cannot read {path}: '):
    safetensors_file.read(path)


def test_a_missing_package_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, 'safetensors', None)
  with pytest.raises(errors.UserError, match='pip install safetensors'):
    safetensors_file.dump({}, {})
