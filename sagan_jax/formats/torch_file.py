"""Reads PyTorch state-dict files without PyTorch and without running them.

A `.pth` file is a pickle, and unpickling may call anything. Here only the names
that a dict of tensors needs are resolved, each to a function of this file, so
that a hostile file ends in an error. Both layouts are read: the zip archive of
torch >= 1.6 and the older stream of pickles followed by raw storages, in which
the published Inception file was probably written.
"""

import collections
import pickle
import struct
import zipfile

import numpy as np

from sagan_jax import errors

# torch/serialization.py: MAGIC_NUMBER and PROTOCOL_VERSION of the old layout.
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001

_DTYPES = {
  'FloatStorage': np.dtype('<f4'),
  'DoubleStorage': np.dtype('<f8'),
  'LongStorage': np.dtype('<i8'),  # num_batches_tracked of batch norm
}


class TorchFileError(errors.UserError):
  """A file that is damaged, or is not a plain state-dict."""


def read_state_dict(path):
  """Reads a file written by `torch.save(module.state_dict(), path)`.

  Args:
    path: pathlib.Path or str of the file.

  Returns:
    dict of name -> numpy array, each a copy of its own.

  Raises:
    TorchFileError: if the file is truncated, is in neither layout, or holds
      anything but float32, float64 and int64 tensors in a dict.
  """
  try:
    if zipfile.is_zipfile(path):
      found = _read_zip(path)
    else:
      found = _read_legacy(path)
    if not isinstance(found, dict):
      raise TorchFileError(f'holds a {type(found).__name__}, not a state-dict')
    return {name: tensor.array() for name, tensor in found.items()}
  except TorchFileError as e:
    raise TorchFileError(f'{path}: {e}') from e
  except (
    # What pickle and zipfile raise on cut or foreign bytes.
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    EOFError,
    KeyError,
    IndexError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
  ) as e:
    raise TorchFileError(
      f'{path} is damaged, truncated or no PyTorch state-dict file: {e!r}'
    ) from e


class _Tensor:
  """A tensor whose storage may come later in the file."""

  def __init__(self, storage, offset, size, stride, *_):
    self._storage = storage
    self._layout = (offset, tuple(size), tuple(stride))

  def array(self):
    offset, size, stride = self._layout
    data = self._storage.data
    if data is None:
      raise TorchFileError(f'has no data for storage {self._storage.key!r}')
    extent = sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    in_bounds = min((offset, *size, *stride)) >= 0 and offset + extent < len(
      data
    )
    if 0 in size:
      return np.zeros(size, data.dtype)
    if not in_bounds:
      raise TorchFileError(
        f'has a tensor {size} with strides {stride} outside its storage of '
        f'{len(data)} values'
      )
    view = np.lib.stride_tricks.as_strided(
      data[offset:], size, [s * data.itemsize for s in stride]
    )
    return view.copy()


class _Storage:
  """Values of one storage; `data` is None until they are read."""

  def __init__(self, dtype, key):
    self.dtype = dtype
    self.key = key
    self.data = None


class _StateDictUnpickler(pickle.Unpickler):
  """Resolves the names of a dict of tensors, and no others."""

  def __init__(self, file):
    super().__init__(file, encoding='utf-8')
    self.storages = {}

  def find_class(self, module, name):
    if (module, name) == ('collections', 'OrderedDict'):
      return collections.OrderedDict
    if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
      return _Tensor
    if module == 'torch' and name in _DTYPES:
      return _DTYPES[name]
    raise TorchFileError(
      f'wants {module}.{name}, which a state-dict of float32, float64 and '
      'int64 tensors does not need; it was not loaded'
    )

  def persistent_load(self, pid):
    if not isinstance(pid, tuple) or len(pid) < 3 or pid[0] != 'storage':
      raise TorchFileError(f'refers to an unknown object {pid!r}')
    dtype, key = pid[1], pid[2]
    if len(pid) > 5 and pid[5] is not None:
      raise TorchFileError('uses storage views, which are not supported')
    return self.storages.setdefault(key, _Storage(dtype, key))


def _read_zip(path):
  """Reads the layout of torch >= 1.6."""
  with zipfile.ZipFile(path) as archive:
    pickles = [n for n in archive.namelist() if n.endswith('/data.pkl')]
    if len(pickles) != 1:
      raise TorchFileError('is a zip archive, but not one of torch.save')
    folder = pickles[0].removesuffix('data.pkl')
    if f'{folder}byteorder' in archive.namelist():
      order = archive.read(f'{folder}byteorder')
      if order != b'little':
        raise TorchFileError(f'has byte order {order!r}, not little')
    with archive.open(pickles[0]) as file:
      unpickler = _StateDictUnpickler(file)
      found = unpickler.load()
    for key, storage in unpickler.storages.items():
      data = archive.read(f'{folder}data/{key}')
      storage.data = np.frombuffer(data, storage.dtype)
  return found


def _read_legacy(path):
  """Reads the layout before torch 1.6: pickles, then the storages in turn."""
  with open(path, 'rb') as file:
    header = [_StateDictUnpickler(file).load() for _ in range(3)]
    if header[:2] != [_MAGIC, _PROTOCOL] or not isinstance(header[2], dict):
      raise TorchFileError('does not begin as torch.save files do')
    if not header[2].get('little_endian', True):
      raise TorchFileError('has byte order big, not little')
    unpickler = _StateDictUnpickler(file)
    found = unpickler.load()
    for key in _StateDictUnpickler(file).load():
      storage = unpickler.storages[key]
      (count,) = struct.unpack('<q', file.read(8))
      data = file.read(count * storage.dtype.itemsize)
      if len(data) != count * storage.dtype.itemsize:
        raise TorchFileError(
          f'is truncated: storage {key!r} has {len(data)} of '
          f'{count * storage.dtype.itemsize} bytes'
        )
      storage.data = np.frombuffer(data, storage.dtype)
  return found
