"""The mesh, and where every array lives on it. Meshes are built here only."""

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

DATA_AXIS = 'data'


def make_mesh(num_devices=None):
  """A one-axis mesh over all devices of all processes, or the first few.

  Args:
    num_devices: how many; None for all. With several processes only all.

  Returns:
    A `jax.sharding.Mesh` with the axis 'data'.

  Raises:
    ValueError: if there are not so many devices.
  """
  devices = jax.devices()
  if num_devices is None:
    num_devices = len(devices)
  if not 1 <= num_devices <= len(devices):
    raise ValueError(
      f'{num_devices} devices were asked for, this run has {len(devices)} '
      f'({devices[0].platform}); set --config.num_devices'
    )
  if jax.process_count() > 1 and num_devices != len(devices):
    raise ValueError(
      f'{jax.process_count()} processes must use all {len(devices)} devices, '
      f'not {num_devices}; unset --config.num_devices'
    )
  # A plain Mesh has Auto axes: the compiler derives the shardings in between.
  return jax.sharding.Mesh(np.array(devices[:num_devices]), (DATA_AXIS,))


def replicated(mesh):
  """The same whole array on every device: parameters and their statistics."""
  return NamedSharding(mesh, PartitionSpec())


def split_batch(mesh, axis=0):
  """An array whose axis `axis` is the batch, cut along the mesh."""
  return NamedSharding(mesh, PartitionSpec(*[None] * axis, DATA_AXIS))


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
