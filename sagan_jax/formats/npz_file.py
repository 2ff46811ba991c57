"""Reads `.npz` files of arrays whose shapes are known, and nothing else.

What a file claims is compared with what is wanted before memory is set aside
for it, also for what is compressed; nothing is unpickled.
"""

import hashlib
import io
import math
import os
import zipfile
from collections.abc import Mapping

import numpy as np
from etils import epath

from sagan_jax import files
from sagan_jax.formats import npy_header, zip_members

DIGEST = 'digest'  # An array of 32 bytes in the file, of all others.
_SPARE_BYTES = 2**12  # Of headers and of the list of members, for each array.
_BLOCK_BYTES = 2**22
_KINDS = 'fiu'
# What zipfile and NumPy raise on bytes that are damaged.
_DAMAGES = (EOFError, KeyError, NotImplementedError, zipfile.BadZipFile)


def read(
  path: epath.PathLike, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
  """Reads a file.

  Args:
    path: local or a URL.
    shapes: by name, of the arrays that the file must hold.

  Returns:
    The arrays, of numbers of at most 8 bytes.

  Raises:
    OSError: if it cannot be read.
    ValueError: if it is damaged, holds anything else, or has a digest that is
      not that of its arrays.
  """
  path = epath.Path(path)
  most = sum(
    8 * math.prod(shape) + len(name) * 2 + _SPARE_BYTES
    for name, shape in {**shapes, DIGEST: (32,)}.items()
  )
  with _open(path, most) as file:
    try:
      return _arrays(file, shapes)
    except _DAMAGES as e:
      raise ValueError(str(e)) from e


def digest(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
  """SHA-256 of arrays with their names: uint8 [32], to be kept as `DIGEST`."""
  found = hashlib.sha256()
  for name in sorted(arrays):
    array = np.asarray(arrays[name])
    found.update(f'{name} {array.dtype.str} {array.shape}\n'.encode())
    found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
  return np.frombuffer(found.digest(), np.uint8)


def _open(path, most):
  if files.is_remote(path):  # NumPy seeks, and a bucket need not.
    if path.stat().length > most:
      raise ValueError('it has more bytes than such a file')
    return io.BytesIO(path.read_bytes())
  file = files.open_file(path)
  if os.fstat(file.fileno()).st_size > most:
    file.close()
    raise ValueError('it has more bytes than such a file')
  return io.BufferedReader(file)


def _arrays(file, shapes):
  with zipfile.ZipFile(file) as archive:
    members = archive.infolist()
    zip_members.check(members, deflated=True)
    names = {info.filename.removesuffix('.npy') for info in members}
    if names - {DIGEST} != set(shapes):
      raise ValueError('it holds other arrays')
    wanted = {name: (32,) if name == DIGEST else shapes[name] for name in names}
    found = {}
    for info in members:
      name = info.filename.removesuffix('.npy')
      with archive.open(info) as member:
        found[name] = _array(member, info, wanted[name])
  signed = found.pop(DIGEST, None)
  if signed is not None and not np.array_equal(signed, digest(found)):
    raise ValueError('its digest is not that of its arrays')
  return found


def _array(member, info, wanted):
  """Reads a member, whose header is looked at first."""
  shape, by_columns, dtype = npy_header.read(member)
  if shape != wanted or dtype.kind not in _KINDS:
    raise ValueError(f'{dtype} {list(shape)} in place of {list(wanted)}')
  values = np.empty(shape, dtype, order='F' if by_columns else 'C')
  if values.nbytes > info.file_size:
    raise ValueError('an array with fewer bytes than its header says')
  rest = memoryview(values.reshape(-1, order='A')).cast('B')
  while rest and (count := member.readinto(rest[:_BLOCK_BYTES])):
    rest = rest[count:]
  if rest or member.read(1):  # At the end its checksum is compared.
    raise ValueError('an array with other bytes than its header says')
  return values
