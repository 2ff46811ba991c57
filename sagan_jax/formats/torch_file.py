"""Reads files of `torch.save` without PyTorch and without running them.

A `.pth` file is a pickle beside raw storages, and unpickling may call anything.
Here the pickle is read as data, see `pickle_data`, and arrays are made of what
it says of tensors, so that a hostile file ends in an error. Both layouts are
read: the zip archive of torch >= 1.6 and the older stream of pickles followed
by raw storages, in which the published Inception file was probably written.

Whatever a file claims, what is read of it takes no more memory than the file
has bytes, a few times over.
"""

import io
import struct
import textwrap
import zipfile
from typing import Any

from sagan_jax import errors, files
from sagan_jax.formats import pickle_data, torch_tensors, zip_members
from sagan_jax.formats.torch_tensors import TorchFileError

# torch/serialization.py: MAGIC_NUMBER and PROTOCOL_VERSION of the old layout.
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001

MAX_BYTES = 2**30  # Of a network of 268 million weights.


def read_state_dict(path):
  """Reads a file written by `torch.save(module.state_dict(), path)`.

  Args:
    path: of the file, local or a URL.

  Returns:
    dict of name -> numpy array, each a copy of its own.

  Raises:
    TorchFileError: if the file cannot be read, is truncated, is in neither
      layout, or holds anything but float32, float64 and int64 tensors in a
      dict, within the bytes that it has.
  """
  return _read(path, _refuse_others, torch_tensors.arrays)


def read_values(path):
  """Reads a file of settings: a dict written by `torch.save`.

  Args:
    path: of the file, local or a URL.

  Returns:
    dict whose values are plain, or what `pickle_data.load` makes of others: of
    a tensor or a module no more than its name.

  Raises:
    TorchFileError: if it cannot be read, is damaged or holds no dict.
  """
  return _read(path, None, lambda found, *_: found)


def _read(path, on_name, convert):
  """Reads a file, converts what it holds, and names it in every error."""
  path = files.as_path(path)
  try:
    data = files.read(path, MAX_BYTES)
    load = _load_zip if zipfile.is_zipfile(io.BytesIO(data)) else _load_legacy
    found, read_storages = load(data, on_name)
    if not isinstance(found, dict):
      raise TorchFileError(f'holds a {type(found).__name__}, not a state-dict')
    return convert(found, read_storages, len(data))
  except TorchFileError as e:
    raise TorchFileError(f'{path}: {e}') from e
  except errors.UserError as e:
    raise TorchFileError(str(e)) from e
  except (
    # What pickletools and zipfile raise on cut or foreign bytes.
    zipfile.BadZipFile,
    NotImplementedError,
    struct.error,
    EOFError,
    KeyError,
    ValueError,
    OverflowError,
  ) as e:
    raise TorchFileError(
      f'{path} is damaged, truncated or no PyTorch state-dict file: '
      f'{textwrap.shorten(str(e), 200)}'
    ) from e


def _refuse_others(name):
  """Refuses names that a dict of tensors does not need."""
  if name not in (
    pickle_data.ORDERED_DICT,
    torch_tensors.REBUILD,
    *torch_tensors.STORAGES,
  ):
    raise TorchFileError(
      f'wants {textwrap.shorten(name, 80)}, which a state-dict of float32, '
      'float64 and int64 tensors does not need; it was not loaded'
    )


def _load_zip(data, on_name):
  """Reads the layout of torch >= 1.6."""
  if zip_members.num_members(data) > zip_members.MAX_MEMBERS:
    raise TorchFileError('is a zip archive of too many members')
  archive = zipfile.ZipFile(io.BytesIO(data))
  members = {info.filename: info for info in archive.infolist()}
  zip_members.check(archive.infolist())
  pickles = [name for name in members if name.endswith('/data.pkl')]
  if len(pickles) != 1:
    raise TorchFileError('is a zip archive, but not one of torch.save')
  folder = pickles[0].removesuffix('data.pkl')
  if f'{folder}byteorder' in members:
    order = archive.read(f'{folder}byteorder')
    if order != b'little':
      raise TorchFileError(f'has byte order {order[:20]!r}, not little')
  found = pickle_data.load(io.BytesIO(archive.read(pickles[0])), on_name)

  def read_storages(storages):
    values = {}
    for key, storage in storages.items():
      name = f'{folder}data/{key}'
      if name not in members:
        raise TorchFileError(
          f'has no data for storage {torch_tensors.short(key)}'
        )
      values[key] = torch_tensors.values(storage, archive.read(name))
    return values

  return found, read_storages


def _load_legacy(data, on_name):
  """Reads the layout before torch 1.6: pickles, then the storages in turn."""
  stream = io.BytesIO(data)
  header: list[Any] = [pickle_data.load(stream, on_name) for _ in range(3)]
  if header[:2] != [_MAGIC, _PROTOCOL] or not isinstance(header[2], dict):
    raise TorchFileError('does not begin as torch.save files do')
  if not header[2].get('little_endian', True):
    raise TorchFileError('has byte order big, not little')
  found = pickle_data.load(stream, on_name)
  keys = pickle_data.load(stream, on_name)
  if not isinstance(keys, list) or not all(isinstance(k, str) for k in keys):
    raise TorchFileError('has no list of its storages')

  def read_storages(storages):
    values = {}
    for key in keys:
      if key not in storages:
        raise TorchFileError(
          f'has a storage {torch_tensors.short(key)} that no tensor uses'
        )
      (num_values,) = struct.unpack('<q', stream.read(8))
      num_bytes = max(0, num_values) * storages[key].dtype.itemsize
      values[key] = torch_tensors.values(storages[key], stream.read(num_bytes))
    missing = next((key for key in storages if key not in values), None)
    if missing is not None:
      raise TorchFileError(
        f'has no data for storage {torch_tensors.short(missing)}'
      )
    return values

  return found, read_storages
