"""Reading and writing safetensors files of float32.

The format is 8 bytes of length, a JSON header, and the bytes of the tensors
(github.com/huggingface/safetensors): nothing in it can be executed.
"""

import contextlib
import os
import struct
import tempfile
from collections.abc import Iterator, Mapping

import numpy as np
from etils import epath

from sagan_jax import errors, files

SUFFIX = '.safetensors'
# The format allows 100 MB, which parsed are ten times as much. The largest of
# ours is 60 kB, and 2 MB with the names of 20,000 classes.
MAX_HEADER_BYTES = 16 * 2**20
MAX_BYTES = 2**32  # Three networks of 358 million weights.


def dump(
  tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> bytes:
  """Returns the content of a file.

  Args:
    tensors: by name, float32.
    metadata: for the header.

  Raises:
    UserError: if the package is missing.
  """
  return _package()[1].save(dict(tensors), dict(metadata))


def read(path: epath.Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """Reads a file; takes no more memory than the file has bytes.

  Args:
    path: of the file, local or remote.

  Returns:
    (tensors by name, metadata of the header).

  Raises:
    UserError: if it is damaged, cannot be read, or holds anything else than
      float32 tensors.
  """
  package, _ = _package()
  with _local(path) as local:
    _check_header(path, local)
    try:
      with package.safe_open(local, 'np') as file:
        metadata = file.metadata() or {}
        names = list(file.keys())
        for name in names:
          dtype = file.get_slice(name).get_dtype()
          if dtype != 'F32':
            raise errors.UserError(
              f'{path}: {name[:99]!r} has the dtype {dtype}, but weights are '
              'F32; convert it'
            )
        tensors = {name: file.get_tensor(name) for name in names}
    except package.SafetensorError as e:
      raise _damaged(path, str(e)) from e
  return tensors, metadata


def _check_header(path, local):
  """Refuses a header that is too large to be parsed."""
  with open(local, 'rb') as file:
    start = file.read(8)
  if len(start) < 8:
    raise _damaged(path, f'it has {len(start)} bytes')
  (length,) = struct.unpack('<Q', start)
  if length > MAX_HEADER_BYTES:
    raise _damaged(
      path,
      f'its header would have {length} bytes, the most is {MAX_HEADER_BYTES}',
    )


def _check_size(path, num_bytes):
  if num_bytes > MAX_BYTES:
    raise _damaged(path, f'it has {num_bytes:,} bytes, the most is {MAX_BYTES}')


def _damaged(path, why):
  return errors.UserError(
    f'{path} is damaged, or no safetensors file of weights ({why[:200]}); get '
    'it again'
  )


@contextlib.contextmanager
def _local(path: epath.Path) -> Iterator[str]:
  """The name of a local copy of a remote file, or of the file itself."""
  try:
    if not files.is_remote(path):
      # Raises what the package would panic about.
      with files.open_file(path) as file:
        _check_size(path, os.fstat(file.fileno()).st_size)
      yield str(path)
      return
    _check_size(path, path.stat().length)
    with tempfile.NamedTemporaryFile(suffix=SUFFIX) as copy:
      with path.open('rb') as file:
        while part := file.read(2**24):
          copy.write(part)
      copy.flush()
      yield copy.name
  except OSError as e:
    raise errors.UserError(
      f'cannot read {path}: {e.strerror or e}; mend its permissions, or name '
      'another file'
    ) from e


def _package():
  # Not at import: all else in this package does without it.
  try:
    import safetensors
    from safetensors import numpy
  except ModuleNotFoundError as e:
    raise errors.UserError(
      'files of weights need a package: pip install safetensors'
    ) from e
  return safetensors, numpy
