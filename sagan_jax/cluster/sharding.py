"""The mesh, and where every array lives on it. Meshes are built here only."""

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec

from sagan_jax import errors
from sagan_jax.cluster import agree

DATA_AXIS = 'data'


def make_mesh(num_devices=None):
  """A one-axis mesh over all devices of all processes, or the first few.

  Args:
    num_devices: how many; None for all. With several processes only all.

  Returns:
    A `jax.sharding.Mesh` with the axis 'data'.

  Raises:
    UserError: if there are not so many devices.
  """
  devices = jax.devices()
  if num_devices is None:
    num_devices = len(devices)
  if not 1 <= num_devices <= len(devices):
    raise errors.UserError(
      f'{num_devices} devices were asked for, this run has {len(devices)} '
      f'({devices[0].platform}); set --config.num_devices'
    )
  if jax.process_count() > 1 and num_devices != len(devices):
    raise errors.UserError(
      f'{jax.process_count()} processes must use all {len(devices)} devices, '
      f'not {num_devices}; unset --config.num_devices'
    )
  # A plain Mesh has Auto axes: the compiler derives the shardings in between.
  return jax.sharding.Mesh(np.array(devices[:num_devices]), (DATA_AXIS,))


def local_mesh(mesh):
  """The part of a mesh that this process holds; all of it with one process."""
  mine = [
    d for d in mesh.devices.flat if d.process_index == jax.process_index()
  ]
  return jax.sharding.Mesh(np.array(mine), (DATA_AXIS,))


def localize(tree, mesh):
  """Replicated arrays of a global mesh, as arrays of this process's part.

  Args:
    tree: of arrays that are whole on every device.
    mesh: what `local_mesh` returned.

  Returns:
    The same tree; with one process the same arrays.
  """
  if jax.process_count() == 1:
    return tree
  return jax.device_put(
    jax.tree.map(lambda x: x.addressable_data(0), tree), replicated(mesh)
  )


def gather_rows(rows):
  """Concatenates the NumPy rows of all processes, in their order.

  Bytes travel, so that float64 arrives as it is. All processes must call this.

  Args:
    rows: NumPy [n, ...]; n may differ from process to process.

  Returns:
    NumPy [sum of n, ...].

  Raises:
    Stopped: on all processes, if they were asked to stop.
  """
  if jax.process_count() == 1:
    return rows
  agree.enter()
  counts = multihost_utils.process_allgather(np.array([len(rows)])).reshape(-1)
  padded = np.zeros((counts.max(), *rows.shape[1:]), rows.dtype)
  padded[: len(rows)] = rows
  parts = multihost_utils.process_allgather(padded.reshape(-1).view(np.uint8))
  parts = parts.reshape(len(counts), -1).view(rows.dtype)
  parts = parts.reshape(len(counts), *padded.shape)
  return np.concatenate([p[:n] for p, n in zip(parts, counts, strict=True)])


def replicated(mesh):
  """The same whole array on every device: parameters and their statistics."""
  return NamedSharding(mesh, PartitionSpec())


def split_batch(mesh, axis=0):
  """An array whose axis `axis` is the batch, cut along the mesh."""
  return NamedSharding(mesh, PartitionSpec(*[None] * axis, DATA_AXIS))


def local_share(mesh, batch_size):
  """How much of a batch the devices of one process hold, filled up to divide.

  Work on shares of this size gives the same bits for any number of processes on
  the same devices, since each device then works on the same shapes.

  Args:
    mesh: of all processes.
    batch_size: over all of its devices.

  Returns:
    The rows of one process, as many for each of its devices as the device with
    the most of them has.
  """
  return -(-batch_size // mesh.size) * local_mesh(mesh).size


def put_batch(batch, sharding):
  """Makes global arrays of the rows that this process holds.

  Args:
    batch: a tree of NumPy arrays, this process's part along the batch axis.
    sharding: of the global arrays.

  Returns:
    The same tree of `jax.Array`s; the copy to the devices is asynchronous.
  """
  return jax.tree.map(
    lambda x: jax.make_array_from_process_local_data(sharding, x), batch
  )
