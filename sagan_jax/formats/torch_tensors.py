"""Arrays of what a pickle of `torch.save` says of tensors.

Nothing that it says is believed: sizes are checked against the bytes that are
there before an array is made.
"""

import math
import reprlib
from typing import NamedTuple

import numpy as np

from sagan_jax import errors
from sagan_jax.formats import pickle_data

STORAGES = {
  'torch.FloatStorage': np.dtype('<f4'),
  'torch.DoubleStorage': np.dtype('<f8'),
  'torch.LongStorage': np.dtype('<i8'),  # num_batches_tracked of batch norm
}
REBUILD = 'torch._utils._rebuild_tensor_v2'


class TorchFileError(errors.UserError):
  """A file that is damaged, or is not a plain state-dict."""


class Storage(NamedTuple):
  """What a pickle says of a storage."""

  dtype: np.dtype
  key: str
  num_values: int


class _Tensor(NamedTuple):
  """What a pickle says of a tensor; sizes and strides in values."""

  storage: Storage
  offset: int
  size: tuple[int, ...]
  stride: tuple[int, ...]


def arrays(found, read_storages, file_bytes):
  """Makes arrays of the tensors of a dict.

  Args:
    found: {name: what `pickle_data.load` made of a tensor}.
    read_storages: takes {key: `Storage`} and returns {key: array [n]}.
    file_bytes: that all arrays together may have.

  Returns:
    {name: array}, each a copy of its own.

  Raises:
    TorchFileError: if something is no tensor, or no tensor of its storage.
  """
  tensors = {name: _tensor(name, value) for name, value in found.items()}
  num_bytes = sum(
    math.prod(tensor.size) * tensor.storage.dtype.itemsize
    for tensor in tensors.values()
  )
  if num_bytes > file_bytes:
    raise TorchFileError(
      f'has tensors of {num_bytes:,} bytes in a file of {file_bytes:,}'
    )
  storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
  for tensor in tensors.values():
    if tensor.storage != storages[tensor.storage.key]:
      raise TorchFileError(
        f'says different things of storage {short(tensor.storage.key)}'
      )
  data = read_storages(storages)
  return {
    name: _array(tensor, data[tensor.storage.key])
    for name, tensor in tensors.items()
  }


def _tensor(name, value):
  """Checks what a tensor would be made with."""
  if not isinstance(value, pickle_data.Call):
    raise TorchFileError(
      f'has {short(name)}, a {type(value).__name__} and no tensor'
    )
  arguments = value.arguments
  if (
    value.function != pickle_data.Name(REBUILD)
    or not isinstance(arguments, tuple)
    or len(arguments) < 4
  ):
    raise TorchFileError(f'has {short(name)}, which is made as no tensor is')
  reference, offset, size, stride = arguments[:4]
  numbers = [offset]
  for axes in size, stride:
    if not isinstance(axes, tuple):
      raise TorchFileError('has a tensor whose size or stride is no tuple')
    numbers += axes
  if not all(type(n) is int and 0 <= n < 2**62 for n in numbers):
    raise TorchFileError('has a tensor with a size or stride that is no size')
  if len(size) != len(stride) or len(size) > 32:
    raise TorchFileError(
      f'has a tensor of {len(size)} axes with {len(stride)} strides'
    )
  return _Tensor(_storage(reference), offset, size, stride)


def _storage(reference):
  """Checks what a tensor refers to."""
  found = reference.id if isinstance(reference, pickle_data.Reference) else None
  if not isinstance(found, tuple) or len(found) < 5 or found[0] != 'storage':
    raise TorchFileError('refers to an unknown object and not to a storage')
  _, kind, key, _, num_values, *view = found
  if any(view):
    raise TorchFileError('uses storage views, which are not supported')
  kind = kind.text if isinstance(kind, pickle_data.Name) else None
  if kind not in STORAGES or not isinstance(key, str):
    raise TorchFileError(f'refers to an unknown storage {short(key)}')
  if type(num_values) is not int or num_values < 0:
    raise TorchFileError(f'has a storage {short(key)} of no size')
  return Storage(STORAGES[kind], key, num_values)


def _array(tensor, data):
  """Copies a tensor out of the values of its storage."""
  _, offset, size, stride = tensor
  if 0 in size:
    return np.zeros(size, data.dtype)
  reach = 1  # Values from the first to the last, smallest strides first.
  for step, n in sorted(zip(stride, size, strict=True)):
    if n > 1 and step < reach:
      raise TorchFileError(
        f'has a tensor {size} with strides {stride} that overlaps itself'
      )
    reach += (n - 1) * step
  if offset + reach > len(data):
    raise TorchFileError(
      f'has a tensor {size} with strides {stride} outside its storage of '
      f'{len(data)} values'
    )
  strides = [step * data.itemsize for step in stride]
  view = np.lib.stride_tricks.as_strided(data[offset:], size, strides)
  return view.copy()


def values(storage, data):
  """The values of a storage.

  Args:
    storage: a `Storage`.
    data: its bytes.

  Returns:
    An array [storage.num_values] of its dtype.

  Raises:
    TorchFileError: if the bytes are not as many as the pickle says.
  """
  num_bytes = storage.num_values * storage.dtype.itemsize
  if len(data) != num_bytes:
    raise TorchFileError(
      f'is damaged or truncated: storage {short(storage.key)} has '
      f'{len(data):,} of {num_bytes:,} bytes'
    )
  return np.frombuffer(data, storage.dtype)


def short(value):
  """A value of a file for an error: no line breaks, no depth, no length."""
  return reprlib.repr(value) if isinstance(value, str) else type(value).__name__
