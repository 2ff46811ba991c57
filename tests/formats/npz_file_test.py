"""Arrays of known shapes, and nothing else."""

import io
import re
import zipfile

import numpy as np
import pytest

from sagan_jax.formats import npz_file

ARRAYS = {
  'a': np.arange(6.0).reshape(2, 3),
  'b/c': np.asfortranarray(np.arange(4, dtype=np.int32).reshape(2, 2)),
  'n': np.array(7),
}
SHAPES = {name: array.shape for name, array in ARRAYS.items()}


def _write(path, arrays=ARRAYS, save=np.savez):
  with open(path, 'wb') as file:
    save(file, **arrays)
  return path


@pytest.mark.parametrize('signed', [False, True])
def test_what_was_written_is_read(tmp_path, signed):
  digest = {npz_file.DIGEST: npz_file.digest(ARRAYS)} if signed else {}
  found = npz_file.read(_write(tmp_path / 'x', ARRAYS | digest), SHAPES)
  assert set(found) == set(ARRAYS)
  for name, array in ARRAYS.items():
    np.testing.assert_array_equal(found[name], array)
    assert found[name].dtype == array.dtype


def test_a_digest_that_differs_is_refused(tmp_path):
  other = ARRAYS | {'n': np.array(8)}
  path = _write(
    tmp_path / 'x', ARRAYS | {npz_file.DIGEST: npz_file.digest(other)}
  )
  with pytest.raises(ValueError, match='its digest is not that of its arrays'):
    npz_file.read(path, SHAPES)


def test_a_digest_covers_names_and_kinds():
  digests = [
    npz_file.digest(arrays).tobytes()
    for arrays in (
      {'a': np.zeros(2)},
      {'b': np.zeros(2)},
      {'a': np.zeros(2, np.int64)},
      {'a': np.zeros((2, 1))},
    )
  ]
  assert len(set(digests)) == 4


@pytest.mark.parametrize(
  ('changes', 'match'),
  [
    ({'z': np.zeros(2)}, 'it holds other arrays'),
    ({'a': np.zeros((3, 2))}, 'float64 [3, 2] in place of [2, 3]'),
    ({'n': np.array('7')}, '<U1 [] in place of []'),
    ({'a': np.zeros((2, 3), '<f8,<f8')}, 'in place of [2, 3]'),
    ({'n': np.zeros(10**6)}, 'it has more bytes than such a file'),
  ],
)
def test_other_arrays_are_refused(tmp_path, changes, match):
  path = _write(tmp_path / 'x', ARRAYS | changes)
  with pytest.raises(ValueError, match=re.escape(match)):
    npz_file.read(path, SHAPES)


def test_objects_are_not_unpickled(tmp_path):
  path = _write(tmp_path / 'x', ARRAYS | {'n': np.array(print, object)})
  with pytest.raises(ValueError, match='an array of object'):
    npz_file.read(path, SHAPES)


def test_compressed_arrays_are_read(tmp_path):
  found = npz_file.read(
    _write(tmp_path / 'x', save=np.savez_compressed), SHAPES
  )
  for name, array in ARRAYS.items():
    np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
  ('method', 'match'),
  [
    (zipfile.ZIP_DEFLATED, 'an array with other bytes than its header'),
    (zipfile.ZIP_BZIP2, 'compressed or encrypted'),
    (zipfile.ZIP_LZMA, 'compressed or encrypted'),
  ],
)
def test_what_expands_beyond_its_header_is_refused(tmp_path, method, match):
  content = io.BytesIO()
  np.save(content, np.zeros(3))
  with zipfile.ZipFile(tmp_path / 'x', 'w', method) as archive:
    archive.writestr('n.npy', content.getvalue() + bytes(10**6))
  with pytest.raises(ValueError, match=match):
    npz_file.read(tmp_path / 'x', {'n': (3,)})


def test_a_header_that_claims_more_is_refused(tmp_path):
  path = tmp_path / 'x'
  whole = _write(tmp_path / 'whole', {'n': np.zeros(3)})
  with zipfile.ZipFile(whole) as archive:
    content = archive.read('n.npy')
  for claimed, match in (
    (content.replace(b'(3,), ', b'(99,),'), 'fewer bytes than its header'),
    (content[:20] + b'[' * 9 + content[29:], 'an array without header'),
    (b'\x93NUMPY\x02' + content[7:], 'an array of another format'),
    (content + b'x', 'an array with other bytes than its header'),
  ):
    with zipfile.ZipFile(path, 'w') as archive:
      archive.writestr('n.npy', claimed)
    size = 99 if b'(99,)' in claimed else 3
    with pytest.raises(ValueError, match=match):
      npz_file.read(path, {'n': (size,)})
