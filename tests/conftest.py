"""What all tests share; runs before jax chooses its devices."""

import os
import pathlib
import tempfile

import jax
import pytest

from tests.support import compilation

# No test reads or leaves anything in the user's own cache.
_CACHE = tempfile.TemporaryDirectory(prefix='sagan-jax-test-')
os.environ['SAGAN_JAX_CACHE'] = _CACHE.name

# Meshes of up to eight devices, on any machine.
jax.config.update('jax_platforms', 'cpu')
jax.config.update('jax_num_cpu_devices', 8)
jax.config.update('jax_numpy_rank_promotion', 'raise')

# Also before the processes of pytest-xdist start, which share what they compile.
compilation.make_cheap()

ROOT = pathlib.Path(__file__).resolve().parents[1]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
  """One more than there are cores: some tests wait for processes and clocks."""
  return (os.cpu_count() or 1) + 1


def pytest_ignore_collect(collection_path, config):
  """Imports only files with such tests for `-m processes`: saves seconds."""
  if config.option.markexpr == 'processes' and collection_path.suffix == '.py':
    return b'mark.processes' not in collection_path.read_bytes() or None
  return None


def pytest_collection_modifyitems(items):
  """Starts with the slow files, so that all processes end together."""
  slow = {x.path for x in items if x.get_closest_marker('slow')}
  items.sort(key=lambda item: item.path not in slow)  # Stable.


@pytest.fixture(scope='session')
def shared_data():
  """The directory of real images and weights that some tests compare with."""
  default = ROOT.parent / 'shared' / 'data'
  path = pathlib.Path(os.environ.get('SAGAN_JAX_TEST_DATA', default))
  if not path.is_dir():
    pytest.skip(f'no real data at {path}; set SAGAN_JAX_TEST_DATA')
  return path
