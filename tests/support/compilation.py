"""Programs that compile quickly, and once for all processes of a session."""

import atexit
import contextlib
import functools
import os
import shutil
import tempfile

import jax
from jax.experimental.compilation_cache import compilation_cache

# Set by the process that starts a session's other processes; see conftest.py.
CACHE_VARIABLE = 'SAGAN_JAX_TEST_CACHE'
# Also as environment variables, in capitals.
CHEAP = {
  'jax_disable_most_optimizations': True,
  'jax_persistent_cache_min_compile_time_secs': 0,
  'jax_persistent_cache_min_entry_size_bytes': -1,
}


@functools.cache
def cache_dir():
  """A directory that all processes of a session share, removed at its end."""
  if CACHE_VARIABLE in os.environ:
    return os.environ[CACHE_VARIABLE]
  directory = tempfile.mkdtemp(prefix='sagan_jax_test_')
  os.environ[CACHE_VARIABLE] = directory
  atexit.register(shutil.rmtree, directory, ignore_errors=True)
  return directory


@contextlib.contextmanager
def cheap_compilation():
  """Compiles twice as fast, and every program but once for all tests.

  For tests of what is computed, not of how fast.
  """
  changes = CHEAP | {'jax_compilation_cache_dir': cache_dir()}
  before = {name: jax.config.values[name] for name in changes}
  try:
    for name, value in changes.items():
      jax.config.update(name, value)
    compilation_cache.reset_cache()  # Whether to use one is decided once.
    yield
  finally:
    for name, value in before.items():
      jax.config.update(name, value)
    compilation_cache.reset_cache()
