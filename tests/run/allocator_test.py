"""What the allocator keeps, seen in the page faults of a program."""

import ctypes
import importlib.util
import subprocess
import sys

import pytest

from sagan_jax.run import allocator

# Its temporaries are blocks of 36 MiB, 9216 pages; glibc learns by itself to keep
# blocks of up to 32.
_FAULTS_PER_CALL = """
import resource, sys

from sagan_jax.run import allocator

if sys.argv[1] == 'keep':
  assert allocator.keep_freed_memory()
import jax
import jax.numpy as jnp

@jax.jit
def program(x):
  y = jax.lax.optimization_barrier(x * 2)
  return jax.lax.optimization_barrier(y.T + 1).sum()

x = jnp.ones((3072, 3072))
faults = []
for _ in range(40):
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  program(x).block_until_ready()
  faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(sorted(faults[-15:])[7])  # The median, once the heap has grown.
"""


def _has_glibc():
  return hasattr(ctypes.CDLL(None), 'gnu_get_libc_version')


@pytest.mark.slow
@pytest.mark.skipif(not _has_glibc(), reason='the C library is not glibc')
def test_a_program_finds_the_memory_of_its_last_call(monkeypatch):
  monkeypatch.setenv('JAX_PLATFORMS', 'cpu')

  def faults(what):
    return int(
      subprocess.run(
        [sys.executable, '-c', _FAULTS_PER_CALL, what],
        check=True,
        capture_output=True,
        text=True,
      ).stdout
    )

  assert faults('keep') < 1000
  # If this fails, glibc or XLA have learnt it, and the module can go.
  assert faults('plain') > 9000


@pytest.mark.parametrize('platforms', ['tpu', 'cuda,cpu'])
def test_hosts_of_accelerators_are_left_alone(monkeypatch, platforms):
  monkeypatch.setenv('JAX_PLATFORMS', platforms)
  monkeypatch.setattr(ctypes, 'CDLL', None)  # Not to be called.
  assert not allocator.keep_freed_memory()


def test_so_are_those_where_jax_finds_a_plugin(monkeypatch):
  monkeypatch.delenv('JAX_PLATFORMS', raising=False)
  monkeypatch.setattr(ctypes, 'CDLL', None)
  monkeypatch.setattr(
    importlib.util, 'find_spec', lambda name: name == 'libtpu' or None
  )
  assert not allocator.keep_freed_memory()


def test_another_c_library_is_left_alone(monkeypatch):
  monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
  monkeypatch.setattr(ctypes, 'CDLL', lambda _: object())
  assert not allocator.keep_freed_memory()
