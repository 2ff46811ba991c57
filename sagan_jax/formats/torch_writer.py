"""Writes files that `torch.load` reads, also with `weights_only=True`.

The layout is that of torch >= 1.6: a zip archive of a pickle of protocol 2 and
of a member for every storage. The same content gives the same bytes.
"""

import io
import pickle
import struct
import zipfile

import numpy as np

from sagan_jax import files
from sagan_jax.formats import pickle_data, torch_tensors

_ALIGNMENT = 64  # Bytes, of a storage in the file, so that it can be mapped.
_PADDING = 0x4246  # Of an extra field of a zip member: 'FB', as torch's own.
_LOCAL_HEADER_BYTES = 30
_EXTRA_HEADER_BYTES = 4

_STORAGES = {dtype: name for name, dtype in torch_tensors.STORAGES.items()}


def write(path, content):
  """Writes a dict; the file is there whole or not at all.

  Args:
    path: where to, local or a URL; its directory exists.
    content: {name: value}, where a value is an array of float32, float64 or
      int64, which becomes a tensor, or anything plain: None, a bool, int, float
      or str, or a list, tuple or dict of such.

  Raises:
    UserError: if it cannot be written.
    TypeError: if a value is neither, or an array of another dtype.
  """
  arrays = [v for v in content.values() if isinstance(v, np.ndarray)]
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_STORED) as archive:
    _add(archive, 'data.pkl', _pickle(content))
    _add(archive, 'byteorder', b'little')
    for key, array in enumerate(arrays):
      array = array.astype(array.dtype.newbyteorder('<'), order='C', copy=False)
      _add(archive, f'data/{key}', array.tobytes())
    _add(archive, 'version', b'3\n')
  files.write(path, buffer.getvalue())


def _add(archive, name, data):
  """Adds a member whose data begins at a multiple of the alignment."""
  info = zipfile.ZipInfo(f'archive/{name}')  # Of 1980, at any time.
  start = (
    archive.fp.tell()
    + _LOCAL_HEADER_BYTES
    + len(info.filename)
    + _EXTRA_HEADER_BYTES
  )
  padding = -start % _ALIGNMENT
  info.extra = struct.pack('<HH', _PADDING, padding) + b'Z' * padding
  archive.writestr(info, data)


def _pickle(content):
  """Pickles a dict whose arrays are tensors of storages '0', '1', ..."""
  ordered = _name(pickle_data.ORDERED_DICT) + b')R'
  parts = [b'\x80\x02', ordered, b'(']
  key = 0
  for name, value in content.items():
    parts.append(_plain(name))
    if not isinstance(value, np.ndarray):
      parts.append(_plain(value))
      continue
    dtype = value.dtype.newbyteorder('<')
    if dtype not in _STORAGES:
      raise TypeError(f'{name!r} is an array of {dtype}, of which none is made')
    storage = _name(_STORAGES[dtype])
    steps = np.cumprod([1, *value.shape[:0:-1]], dtype=np.int64)[::-1]
    strides = tuple(steps.tolist()) if value.ndim else ()
    parts += [_name(torch_tensors.REBUILD), b'((', _plain('storage'), storage]
    parts += [_plain(str(key)), _plain('cpu'), _plain(value.size), b'tQ']
    # Its offset, size and strides; no gradient, no hooks.
    parts += [_plain(0), _plain(value.shape), _plain(strides)]
    parts += [_plain(False), ordered, b'tR']
    key += 1
  return b''.join([*parts, b'u.'])


class _PlainPickler(pickle.Pickler):
  """Pickles what needs no import where it is read."""

  def reducer_override(self, value):
    raise TypeError(f'{value!r} is neither an array nor plain')


def _plain(value):
  """Opcodes that push a plain value."""
  buffer = io.BytesIO()
  _PlainPickler(buffer, protocol=2).dump(value)
  return buffer.getvalue()[2:-1]  # Without the protocol and the stop.


def _name(text):
  """Opcodes that push what a name stands for."""
  module, _, attribute = text.rpartition('.')
  return f'c{module}\n{attribute}\n'.encode()
