"""States that are worth saving, and checkpointers of one directory."""

import contextlib
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from sagan_jax.checkpoints import checkpoint
from sagan_jax.cluster import sharding
from sagan_jax.gan import build
from sagan_jax.gan import state as state_lib
from tests.support import tiny


@functools.cache
def make_state(num_classes=10):
  """A state whose every leaf is different from its start, born on a mesh."""
  with tiny.small_networks():
    c = tiny.config(num_classes=num_classes)
    mesh = sharding.make_mesh(1)
    state = jax.jit(
      functools.partial(
        state_lib.init_state, build.build_gan(c, mesh), c.image_size
      ),
      out_shardings=sharding.replicated(mesh),
    )(c.seed)
  random = np.random.default_rng(0)

  def fill(x):
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) or x.dtype == jnp.int32:
      return x
    # All bits count: subnormal numbers, a negative zero, infinities.
    values = random.standard_normal(x.shape).astype(x.dtype).reshape(-1)
    special = np.array([-0.0, 1e-42, np.inf, np.float32(1) / 3], x.dtype)
    values[: special.size] = special[: values.size]
    return jax.device_put(values.reshape(x.shape), x.sharding)

  return at(jax.tree.map(fill, state), 7)


def at(state, step):
  """The same state at another step."""
  return dataclasses.replace(
    state, step=jax.device_put(jnp.int32(step), state.step.sharding)
  )


def shapes(state, mesh=None):
  """What `Checkpointer.restore` is asked for, on a mesh; None for one device."""
  whole = sharding.replicated(mesh or sharding.make_mesh(1))
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole), state
  )


@contextlib.contextmanager
def opener(directory):
  """Yields what opens checkpointers of a directory; closes them at the end."""
  opened = []

  def open_one(**options):
    options = {'keep_last': 2} | options
    opened.append(checkpoint.Checkpointer(directory, **options))
    return opened[-1]

  yield open_one
  for one in opened:
    one.close()


def saved(make, *states):
  """Opens a checkpointer with `make` and saves states, one after the other."""
  saver = make(keep_last=9)
  for state in states:
    saver.save(state)
    saver.wait()
  return saver
