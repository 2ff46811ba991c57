"""Keeps the memory that a step frees for the next one, on a CPU.

XLA's CPU backend allocates all temporaries of a program when it starts and
frees them when it ends. glibc hands so large a block back to the system, and a
fifth of a small step is spent on mapping and clearing its pages anew.
"""

import ctypes
import importlib.util
import os

# Larger blocks are mapped and unmapped as before. A heap grows to several times
# its largest block, as small ones settle in the gaps, until it grows no more.
_LARGEST_BYTES = 1 << 28
_KEPT_BYTES = 1 << 30  # Of what is free at the end of the heap.

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8


def keep_freed_memory():
  """Tells the allocator to keep what is freed, if JAX will run on a CPU.

  Must come before JAX starts its threads: only the first heap is unlimited in
  size, so all of them have to share it. Does nothing where the C library is
  not glibc, or where JAX may find an accelerator.

  Returns:
    Whether the allocator was told.
  """
  if not _only_cpu():
    return False
  try:
    mallopt = ctypes.CDLL(None).mallopt
  except (AttributeError, OSError, TypeError):  # Another C library.
    return False
  settings = (
    (_ARENA_MAX, 1),
    (_MMAP_THRESHOLD, _LARGEST_BYTES),
    (_TRIM_THRESHOLD, _KEPT_BYTES),
  )
  return all([mallopt(*setting) for setting in settings])


def _only_cpu():
  platforms = os.environ.get('JAX_PLATFORMS')
  if platforms:
    return platforms == 'cpu'
  # Plugins of accelerators: a namespace package, and that of TPUs.
  return not any(map(importlib.util.find_spec, ('jax_plugins', 'libtpu')))
