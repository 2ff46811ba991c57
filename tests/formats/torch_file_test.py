"""Tests of the torch reader: both layouts, damage, and hostile files."""

import pickle

import numpy as np
import pytest

from sagan_jax.formats import torch_file
from tests.support import evaluation_fakes as fakes

WRITERS = {'zip': fakes.write_torch_zip, 'legacy': fakes.write_torch_legacy}

every_layout = pytest.mark.parametrize('layout', list(WRITERS))


def _state():
  rng = np.random.default_rng(0)
  return {
    'conv.weight': rng.normal(size=(4, 3, 2, 2)).astype(np.float32),
    # Not in C order: its strides must be obeyed.
    'fc.weight': rng.normal(size=(5, 3)).astype(np.float32).T,
    'bn.num_batches_tracked': np.array(3, np.int64),
    'empty': np.zeros((0, 2), np.float32),
  }


@every_layout
def test_reads_what_was_written(tmp_path, layout):
  path, state = tmp_path / 'w.pth', _state()
  WRITERS[layout](path, state)
  found = torch_file.read_state_dict(path)
  assert list(found) == list(state)
  for name, array in state.items():
    assert found[name].dtype == array.dtype
    np.testing.assert_array_equal(found[name], array)


@every_layout
def test_reads_files_of_torch_itself(tmp_path, layout):
  torch = pytest.importorskip('torch', reason='writes a file with torch.save')
  net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 2), torch.nn.BatchNorm2d(4))
  state = net.state_dict()
  base = torch.arange(12.0)
  state['view'] = base.reshape(3, 4)[1:, ::2]  # offset, strides, shared storage
  state['same'] = base
  state['double'] = torch.arange(3.0, dtype=torch.float64)
  path = tmp_path / 'w.pth'
  torch.save(state, path, _use_new_zipfile_serialization=layout == 'zip')
  found = torch_file.read_state_dict(path)
  assert list(found) == list(state)
  for name, tensor in state.items():
    np.testing.assert_array_equal(found[name], tensor.numpy())


@every_layout
def test_a_hostile_file_is_refused_and_not_run(tmp_path, layout):
  path, mark = tmp_path / 'w.pth', tmp_path / 'run'
  command = f'touch {mark}'
  attack = (
    b'\x80\x02cposix\nsystem\n(' + pickle.dumps(command, 2)[2:-1] + b'tR.'
  )
  WRITERS[layout](path, {}, data=attack)
  with pytest.raises(torch_file.TorchFileError, match='wants posix.system'):
    torch_file.read_state_dict(path)
  assert not mark.exists()


@every_layout
@pytest.mark.parametrize(
  'rebuild', ['builtins.eval', 'torch._utils._rebuild_parameter', 'torch.load']
)
def test_other_names_are_refused(tmp_path, layout, rebuild):
  path, state = tmp_path / 'w.pth', _state()
  data = fakes.pickle_state_dict(state, rebuild=rebuild)
  WRITERS[layout](path, state, data=data)
  with pytest.raises(torch_file.TorchFileError, match=f'wants {rebuild}'):
    torch_file.read_state_dict(path)


@every_layout
@pytest.mark.parametrize('share', [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path, layout, share):
  path, cut = tmp_path / 'w.pth', tmp_path / 'cut.pth'
  WRITERS[layout](path, _state())
  data = path.read_bytes()
  cut.write_bytes(data[: int(share * len(data))])
  with pytest.raises(torch_file.TorchFileError, match='cut.pth.*truncated'):
    torch_file.read_state_dict(cut)


@every_layout
@pytest.mark.parametrize(
  'offset, size, stride, match',
  [
    (0, (2, 2), (2, 1), None),
    (1, (2, 3), (1, 2), r'\(2, 3\).*outside its storage of 6 values'),
    (0, (2, 5), (5, 1), r'\(2, 5\).*outside its storage of 6 values'),
    (0, (2, 2), (0, 1), 'overlaps itself'),
    (0, (2, 3), (2, 1), 'overlaps itself'),
    (0, (2, 3), (3, -1), 'that is no size'),
    (0, (2, True), (1, 1), 'that is no size'),
    (-1, (2,), (1,), 'that is no size'),
    (0, [2], (1,), 'is no tuple'),
    (0, (2, 2), (1,), '2 axes with 1 strides'),
    (0, (1,) * 33, (1,) * 33, '33 axes'),
    (0, (2**40,), (1,), r'tensors of 4,398,046,511,104 bytes in a file of'),
    (0, (0, 2**61), (1, 1), 'array is too big'),
    (7, (0, 5), (5, 1), None),
  ],
)
def test_sizes_and_strides_are_checked(
  tmp_path, layout, offset, size, stride, match
):
  path, state = tmp_path / 'w.pth', {'w': np.arange(6, dtype=np.float32)}
  data = fakes.pickle_state_dict(state)
  written, wanted = (
    b''.join(pickle.dumps(value, 2)[2:-1] for value in values)
    for values in ((0, (6,), (1,)), (offset, size, stride))
  )
  assert data.count(written) == 1
  data = data.replace(written, wanted)
  WRITERS[layout](path, state, data=data)
  if match is None:
    assert torch_file.read_state_dict(path)['w'].shape == size
  else:
    with pytest.raises(torch_file.TorchFileError, match=match):
      torch_file.read_state_dict(path)


@every_layout
def test_wrong_byte_counts_are_refused(tmp_path, layout):
  path, state = tmp_path / 'w.pth', {'w': np.zeros(6, np.float32)}
  claimed = {'w': np.zeros(5, np.float32)}
  WRITERS[layout](path, state, data=fakes.pickle_state_dict(claimed))
  with pytest.raises(
    torch_file.TorchFileError, match="storage '0' has 24 of 20 bytes"
  ):
    torch_file.read_state_dict(path)


@every_layout
@pytest.mark.parametrize(
  'reference, match',
  [
    (('module', 'x', '0'), 'unknown object'),
    (('storage', 'x', '0', 'cpu', 4), "unknown storage '0'"),
    (('storage', 'x', 0, 'cpu', 4), 'unknown storage int'),
    (('storage', 'x', '0', 'cpu', 4, ('view', 0, 1)), 'storage views'),
  ],
)
def test_other_references_are_refused(tmp_path, layout, reference, match):
  state = {'w': np.zeros(4, np.float32)}
  opcodes = pickle.dumps(reference, 2)[2:-1]
  path = tmp_path / 'w.pth'
  data = fakes.pickle_state_dict(state, persistent_id=opcodes)
  WRITERS[layout](path, state, data=data)
  with pytest.raises(torch_file.TorchFileError, match=match):
    torch_file.read_state_dict(path)


@every_layout
def test_something_else_than_a_dict_is_refused(tmp_path, layout):
  path = tmp_path / 'w.pth'
  WRITERS[layout](path, {}, data=pickle.dumps([1, 2], 2))
  with pytest.raises(torch_file.TorchFileError, match='holds a list'):
    torch_file.read_state_dict(path)


def test_big_endian_files_are_refused(tmp_path):
  path, state = tmp_path / 'w.pth', _state()
  fakes.write_torch_zip(path, state, byteorder=b'big')
  with pytest.raises(torch_file.TorchFileError, match="byte order b'big'"):
    torch_file.read_state_dict(path)
  fakes.write_torch_legacy(path, state, little_endian=False)
  with pytest.raises(torch_file.TorchFileError, match='byte order big'):
    torch_file.read_state_dict(path)


def test_a_legacy_file_without_a_storage_is_refused(tmp_path):
  path, state = tmp_path / 'w.pth', _state()
  fakes.write_torch_legacy(path, state, keys=['0', '1'])
  with pytest.raises(
    torch_file.TorchFileError, match="no data for storage '2'"
  ):
    torch_file.read_state_dict(path)


def test_other_files_are_refused(tmp_path):
  path = tmp_path / 'w.pth'
  np.savez(tmp_path / 'w.npz', a=np.zeros(3))
  (tmp_path / 'w.npz').rename(path)
  with pytest.raises(torch_file.TorchFileError, match='not one of torch.save'):
    torch_file.read_state_dict(path)
  path.write_bytes(b''.join(pickle.dumps(part, 2) for part in (1, 2, {})))
  with pytest.raises(torch_file.TorchFileError, match='does not begin as'):
    torch_file.read_state_dict(path)


@every_layout
def test_two_sayings_of_one_storage_are_refused(tmp_path, layout):
  path, state = tmp_path / 'w.pth', _state()
  data = fakes.pickle_state_dict(state)
  # The storage of the float32 tensor '0' for the int64 one.
  key = pickle.dumps('2', 2)[2:-1]
  assert data.count(key) == 1
  data = data.replace(key, pickle.dumps('0', 2)[2:-1])
  WRITERS[layout](path, state, data=data)
  with pytest.raises(
    torch_file.TorchFileError, match="different things of storage '0'"
  ):
    torch_file.read_state_dict(path)


def test_what_cannot_be_read_is_told(tmp_path):
  with pytest.raises(torch_file.TorchFileError, match='cannot read .*none.pth'):
    torch_file.read_state_dict(tmp_path / 'none.pth')


@every_layout
def test_other_values_are_refused_in_a_state_dict_only(tmp_path, layout):
  path, ours = tmp_path / 'w.pth', {'config': {'ch': 64}, 'itr': 1, 'new': 2.5}
  WRITERS[layout](path, {}, data=pickle.dumps(ours, 2))
  assert torch_file.read_values(path) == ours
  with pytest.raises(
    torch_file.TorchFileError, match="has 'config', a dict and no tensor"
  ):
    torch_file.read_state_dict(path)


@every_layout
def test_settings_with_objects_are_read_without_them(tmp_path, layout):
  """As BigGAN-PyTorch saves them, with modules in its config."""
  mark = tmp_path / 'run'
  command = pickle.dumps(f'touch {mark}', 2)[2:-1]
  data = (
    b'\x80\x02}('
    + pickle.dumps('itr', 2)[2:-1]
    + b'K\x07'
    + pickle.dumps('G_activation', 2)[2:-1]
    + b'ctorch.nn.modules.activation\nReLU\n)\x81}b'
    + pickle.dumps('hostile', 2)[2:-1]
    + b'cposix\nsystem\n('
    + command
    + b'tRu.'
  )
  path = tmp_path / 'w.pth'
  WRITERS[layout](path, {}, data=data)
  found = torch_file.read_values(path)
  assert found['itr'] == 7
  assert found['G_activation'].function.text.endswith('activation.ReLU')
  assert found['hostile'].arguments == (f'touch {mark}',)
  assert not mark.exists()
