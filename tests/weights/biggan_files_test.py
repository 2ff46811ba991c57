"""The directory of a checkpoint: what is read, written and refused."""

import numpy as np
import pytest

from sagan_jax import errors
from sagan_jax.formats import torch_file
from sagan_jax.weights import biggan
from tests.support import biggan as support
from tests.support import evaluation_fakes as fakes


def _equal(found, expected):
  assert list(found) == list(expected)
  for name, array in expected.items():
    np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize('suffix', [None, 'best0'])
def test_what_was_written_is_read(tmp_path, suffix):
  c = support.config(discriminator__attention=(16,))
  dicts = biggan.to_state_dicts(c, support.random_state(c))
  path = tmp_path / 'weights' / 'run'
  biggan.write_directory(path, dicts, suffix)
  end = f'_{suffix}.pth' if suffix else '.pth'
  assert {file.name for file in path.iterdir()} == {
    f'{name}{end}' for name in ('G', 'G_ema', 'D', 'state_dict')
  }
  found = biggan.read_directory(path, suffix)
  for file in 'G', 'G_ema', 'D':
    _equal(found[file], dicts[file])
  # What load_weights there takes from the file.
  assert found['state_dict'] == {
    'itr': 7,
    'epoch': 0,
    'save_num': 0,
    'save_best_num': 0,
    'best_IS': 0,
    'best_FID': 999999,
    'config': dicts['state_dict']['config'],
  }


def test_files_of_torch_before_1_6_are_read(tmp_path):
  dicts = support.checkpoint(support.config())
  for file in 'G', 'D':
    fakes.write_torch_legacy(tmp_path / f'{file}.pth', dicts[file])
  found = biggan.read_directory(tmp_path)
  assert set(found) == {'G', 'D'}
  _equal(found['G'], dicts['G'])


def test_torch_reads_the_names_and_shapes_of_the_network(tmp_path):
  torch = pytest.importorskip('torch', reason='reads files with torch.load')
  c = support.config()
  biggan.write_directory(
    tmp_path, biggan.to_state_dicts(c, support.random_state(c))
  )
  for file, names in support.shapes(c).items():
    found = torch.load(tmp_path / f'{file}.pth', weights_only=True)
    assert {k: tuple(v.shape) for k, v in found.items()} == names
  settings = torch.load(tmp_path / 'state_dict.pth', weights_only=True)
  assert settings['config']['G_ch'] == 4


def test_missing_files_are_named(tmp_path):
  with pytest.raises(errors.UserError, match='none/G.pth does .*the directory'):
    biggan.read_directory(tmp_path / 'none')
  dicts = support.checkpoint(support.config())
  biggan.write_directory(tmp_path, dicts, 'best0')
  biggan.write_directory(tmp_path, {'G': dicts['G']}, 'copy1')
  with pytest.raises(errors.UserError, match='the suffixes best0, copy1$'):
    biggan.read_directory(tmp_path)
  with pytest.raises(errors.UserError, match=r'D_copy1.pth.*suffixes best0$'):
    biggan.read_directory(tmp_path, 'copy1')


def test_a_hostile_file_is_refused_by_name(tmp_path):
  dicts = support.checkpoint(support.config())
  biggan.write_directory(tmp_path, dicts)
  mark = tmp_path / 'run'
  attack = b'\x80\x02cposix\nsystem\n(X' + bytes([len(f'touch {mark}')])
  attack += b'\0\0\0' + f'touch {mark}'.encode() + b'tR.'
  fakes.write_torch_zip(tmp_path / 'G_ema.pth', {}, data=attack)
  with pytest.raises(
    torch_file.TorchFileError, match='G_ema.pth: wants posix.system'
  ):
    biggan.read_directory(tmp_path)
  assert not mark.exists()


def test_a_place_that_cannot_be_written_is_told(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.UserError, match='cannot write .*file'):
    biggan.write_directory(tmp_path / 'file' / 'run', {})
