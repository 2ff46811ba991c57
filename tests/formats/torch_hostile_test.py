"""Files that claim more than they have, and files with random damage."""

import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from sagan_jax.formats import torch_file, torch_writer
from tests.support import evaluation_fakes as fakes

NUM_MUTATIONS = 200  # Of each layout.


def test_tensors_may_share_a_storage_within_the_bytes_of_the_file(tmp_path):
  path = tmp_path / 'w.pth'
  size = 1000
  one = fakes.pickle_state_dict({'a': np.zeros(size, np.float32)})
  head, tail = one.index(b'(') + 1, one.rindex(b'u.')
  for count, match in (1, None), (3, r'tensors of 12,000 bytes in a file of'):
    tensors = b''.join(
      one[head:tail].replace(b'\x00a', b'\x00' + b'abc'[i : i + 1])
      for i in range(count)
    )
    data = one[:head] + tensors + one[tail:]
    fakes.write_torch_zip(path, {'a': np.zeros(size, np.float32)}, data=data)
    if match is None:
      assert torch_file.read_state_dict(path)['a'].shape == (size,)
    else:
      with pytest.raises(torch_file.TorchFileError, match=match):
        torch_file.read_state_dict(path)


def _zip(path, members, **settings):
  with zipfile.ZipFile(path, 'w', **settings) as archive:
    for name, data in members:
      archive.writestr(name, data)


def test_archives_that_are_larger_inside_are_refused(tmp_path):
  path = tmp_path / 'w.pth'
  state = {'w': np.zeros(10**6, np.float32)}
  members = [
    ('archive/data.pkl', fakes.pickle_state_dict(state)),
    ('archive/data/0', state['w'].tobytes()),
  ]
  _zip(path, members, compression=zipfile.ZIP_DEFLATED)
  assert path.stat().st_size < 10**5
  with pytest.raises(torch_file.TorchFileError, match='compressed'):
    torch_file.read_state_dict(path)
  with pytest.warns(UserWarning, match='Duplicate name'):
    _zip(path, [members[0], members[0]])
  with pytest.raises(torch_file.TorchFileError, match='there twice'):
    torch_file.read_state_dict(path)
  _zip(path, [('archive/data.pkl', b'x'), ('archive/data/0', b'y' * 99)])
  data = path.read_bytes()
  # The offset of the second member's header, in the central directory.
  offset = data.index(b'PK\x03\x04', 1)
  assert data.count(struct.pack('<I', offset)) == 1
  data = data.replace(struct.pack('<I', offset), struct.pack('<I', 0))
  path.write_bytes(data)
  with pytest.raises(torch_file.TorchFileError, match='members overlap'):
    torch_file.read_state_dict(path)


def _mutate(data, rng):
  """A copy of a file with one kind of damage."""
  data = bytearray(data)
  where = int(rng.integers(len(data)))
  span = int(rng.integers(1, 9))
  kind = rng.integers(5)
  if kind == 0:  # Bits.
    data[where] ^= 1 << int(rng.integers(8))
  elif kind == 1:  # Bytes, often of sizes: large and small ones.
    new = rng.choice([0x00, 0x01, 0x7F, 0x80, 0xFF, 0x2E, 0x28], span)
    data[where : where + span] = bytes(new.tolist())
  elif kind == 2:
    del data[where : where + span]
  elif kind == 3:  # Something of the file, elsewhere.
    start = int(rng.integers(len(data)))
    data[where:where] = data[start : start + 4 * span]
  else:
    del data[where:]
  return bytes(data)


@pytest.mark.parametrize('layout', ['zip', 'legacy'])
def test_damage_is_refused_in_one_line_and_within_bounds(tmp_path, layout):
  """What is read in spite of it, is read within the same bounds."""
  rng = np.random.default_rng(0)
  path = tmp_path / 'w.pth'
  state = {
    f'blocks.{i}.weight': rng.standard_normal((4, 3, 2)).astype(np.float32)
    for i in range(4)
  }
  if layout == 'zip':
    torch_writer.write(path, state)
  else:
    fakes.write_torch_legacy(path, state)
  whole = path.read_bytes()
  refused = 0
  tracemalloc.start()
  for _ in range(NUM_MUTATIONS):
    data = _mutate(whole, rng)
    # Half of the damage hits the pickle, which the zip's checksum protects.
    if layout == 'zip' and rng.integers(2):
      data = _damaged_pickle(path, state, rng)
    path.write_bytes(data)
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    try:
      found = torch_file.read_state_dict(path)
    except torch_file.TorchFileError as e:
      refused += 1
      assert '\n' not in str(e) and str(path) in str(e)
      assert len(str(e)) < 1000
    else:
      assert sum(array.nbytes for array in found.values()) <= len(data)
    # The pickle's values take a hundred bytes each.
    _, peak = tracemalloc.get_traced_memory()
    assert peak - before < 200 * len(whole)
  tracemalloc.stop()
  assert NUM_MUTATIONS / 3 < refused < NUM_MUTATIONS


def _damaged_pickle(path, state, rng):
  """A whole archive around a pickle with damage."""
  data = _mutate(fakes.pickle_state_dict(state), rng)
  fakes.write_torch_zip(path, state, data=data or b'.')
  return path.read_bytes()
