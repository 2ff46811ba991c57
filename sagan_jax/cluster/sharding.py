"""The mesh, and where every array lives on it. Meshes are built here only."""

import jax
import jax.numpy as jnp
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


def on_every_device(fn, mesh):
  """Makes each device run a function on its own rows of a batch.

  Args:
    fn: of (share, *args): a tree of arrays [B / devices, ...] and trees of
      replicated arrays. It returns what is equal on all devices, and closes
      over no arrays.
    mesh: of the devices.

  Returns:
    A function of (batch, *args), [B, ...], to be called under `jit`.
  """

  def call(batch, *args):
    return jax.shard_map(
      fn,
      mesh=mesh,
      in_specs=(PartitionSpec(DATA_AXIS), *[PartitionSpec()] * len(args)),
      out_specs=PartitionSpec(),
      # Checked, `jax.grad` would sum over the devices wherever a weight meets
      # images: what is sent, when and in which dtype is for fn to say.
      check_vma=False,
    )(batch, *args)

  return call


def on_each_alone(fn, mesh, is_split):
  """Makes each device run a function on rows that are no share of a batch.

  Args:
    fn: of trees of arrays; what it returns is stacked.
    mesh: of the devices.
    is_split: for each argument of fn, whether devices get its rows in turn;
      else all get it whole.

  Returns:
    A function of the arguments of all devices, to be called under `jit`.
  """
  axis = 'alone'  # Of which `num_shares` knows nothing.
  return jax.shard_map(
    fn,
    mesh=jax.sharding.Mesh(mesh.devices, (axis,)),
    in_specs=tuple(PartitionSpec(*[axis] * x) for x in is_split),
    out_specs=PartitionSpec(axis),
    check_vma=False,
  )


def num_shares():
  """Of how many shares of a batch code sees one; 1 without `on_every_device`."""
  if DATA_AXIS in jax.sharding.get_abstract_mesh().manual_axes:
    return jax.lax.axis_size(DATA_AXIS)
  return 1


def mean_over_shares(tree, dtype=None):
  """Averages over all devices, within `on_every_device`.

  Args:
    tree: of arrays.
    dtype: of what is sent and added up; None for that of the arrays.

  Returns:
    The same tree, equal on all devices, in the dtypes of its arrays.
  """

  def mean(x):
    total = _sum(x.astype(dtype or x.dtype))
    return total.astype(x.dtype) / num_shares()

  return jax.tree.map(mean, tree)


def sum_over_neighbors(x, num):
  """Adds up over each `num` devices in a row, within `on_every_device`.

  Args:
    x: an array.
    num: divides the number of devices; 1 leaves x as it is.

  Returns:
    An array, equal on `num` devices.
  """
  if num == 1:
    return x
  return _sum(x, np.arange(num_shares()).reshape(-1, num).tolist())


def _sum(x, groups=None):
  """Adds up over all devices, or over each of groups of their indices.

  Between processes on CPUs in the order of the devices, as XLA does within a
  process, so that the bits do not depend on the number of processes. There
  jax has gloo, which begins at another device for each part of an array.
  """
  if jax.process_count() == 1 or jax.default_backend() != 'cpu':
    return jax.lax.psum(x, DATA_AXIS, axis_index_groups=groups)
  parts = jax.lax.all_gather(x, DATA_AXIS, axis_index_groups=groups)
  # In a loop, which XLA does not fuse with what follows: for a single number it
  # would contract other multiplications and additions than after a message.
  # From -0, the zero that changes no number; and in float32, as XLA does.
  dtype = jnp.promote_types(x.dtype, jnp.float32)
  total, _ = jax.lax.scan(
    lambda total, part: (total + part, None),
    jnp.full(x.shape, -0.0, dtype),
    parts,
  )
  return total.astype(x.dtype)


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
