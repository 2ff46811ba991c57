"""Programs that compile quickly, and once for all processes of a session."""

import atexit
import functools
import os
import shutil
import tempfile

import jax

# Set by the process that starts a session's other processes; see conftest.py.
CACHE_VARIABLE = 'SAGAN_JAX_TEST_CACHE'
# Also as environment variables, in capitals.
CHEAP = {
  'jax_disable_most_optimizations': True,
  'jax_persistent_cache_min_compile_time_secs': 0.05,
  'jax_persistent_cache_min_entry_size_bytes': -1,
}


# Half of the time of the compiler. Later versions end at a flag that they do
# not know.
_EMITTERS = (
  'xla_cpu_use_fusion_emitters' if jax.__version_info__ < (0, 11) else ''
)
# Options of `jax.jit` for a program whose bits are to be those that users get.
USUAL = {_EMITTERS: True} if _EMITTERS else {}


def usual_flags():
  """XLA_FLAGS of processes whose bits are to be those that users get."""
  flags = os.environ.get('XLA_FLAGS', '')
  if not _EMITTERS:
    return flags
  return flags.replace(f'{_EMITTERS}=false', f'{_EMITTERS}=true')


@functools.cache
def cache_dir():
  """A directory that all processes of a session share, removed at its end."""
  if CACHE_VARIABLE in os.environ:
    return os.environ[CACHE_VARIABLE]
  directory = tempfile.mkdtemp(prefix='sagan_jax_test_')
  os.environ[CACHE_VARIABLE] = directory
  atexit.register(shutil.rmtree, directory, ignore_errors=True)
  return directory


def make_cheap():
  """Lets this process, and those it starts, compile in a third of the time.

  Programs are also kept for the others of the session. To be called before jax
  chooses its devices. The tests are of what is computed, not of how fast.
  """
  for name, value in CHEAP.items():
    jax.config.update(name, value)
  jax.config.update('jax_compilation_cache_dir', cache_dir())
  if _EMITTERS:
    flags = os.environ.get('XLA_FLAGS', '')
    os.environ['XLA_FLAGS'] = f'{flags} --{_EMITTERS}=false'
