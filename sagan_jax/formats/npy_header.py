"""Reads the header of a `.npy` array, whatever is in it."""

import tokenize
from typing import BinaryIO

import numpy as np


def read(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
  """Reads a header of version 1.0; the file is left at the first value.

  Args:
    file: at its beginning.

  Returns:
    (shape, whether the values lie by columns, dtype).

  Raises:
    ValueError: if there is none.
  """
  try:
    if np.lib.format.read_magic(file) != (1, 0):
      raise ValueError('an array of another format')
    shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
  # What Python's parser raises, to which NumPy gives the text.
  except (
    *(SyntaxError, TypeError, RecursionError, MemoryError, OverflowError),
    *(KeyError, tokenize.TokenError),
  ) as e:
    raise ValueError(f'an array without header ({type(e).__name__})') from e
  if any(size < 0 for size in shape) or dtype.hasobject:
    raise ValueError(f'an array of {dtype}, {list(shape)}')
  return shape, by_columns, dtype
