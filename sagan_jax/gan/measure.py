"""Measures the training step of a config, its input, and a matrix product.

Rates are images of a batch per second: a step counts its batch once, however
many discriminator updates it makes.
"""

import functools
import itertools
import platform
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from sagan_jax.cluster import sharding
from sagan_jax.data import prefetch
from sagan_jax.gan import build, flops, state


def compiled(c, mesh):
  """Compiles the training step of a config.

  Args:
    c: a `Config` whose `num_classes` is known.
    mesh: to run on.

  Returns:
    (function of (state, batch), function from a seed to a state, a batch of
    random images).
  """
  gan = build.build_gan(c, mesh)
  init = jax.jit(
    functools.partial(state.init_state, gan, c.image_size),
    out_shardings=sharding.replicated(mesh),
  )
  step = build.compile_step(
    gan, mesh, jax.eval_shape(init, c.seed), c.batch_size, c.image_size
  )
  return step, init, _put(mesh)(_random_batch(c))


def _put(mesh):
  return functools.partial(
    sharding.put_batch, sharding=sharding.split_batch(mesh, axis=1)
  )


def measure_step(c, mesh, *, steps, warmup, source=None, profile=None):
  """Times the training step of a config.

  Args:
    c: a `Config` whose `num_classes` is known.
    mesh: to run on.
    steps: how many are timed.
    warmup: steps before them, at least 1.
    source: a data source to feed a second run from; None for synthetic only.
    profile: directory for a trace of three more steps, or None.

  Returns:
    {name: number} seconds, rates, GFLOP and MiB. What this device or call does
    not measure is None.
  """
  began = time.perf_counter()
  step, init, synthetic = compiled(c, mesh)
  compile_secs = time.perf_counter() - began
  current, secs = time_steps(
    step, init(c.seed), itertools.repeat(synthetic), steps, warmup
  )
  fed = None
  if source is not None:
    batches = build.host_batches(source, c, 0)
    with prefetch.Prefetcher(batches, _put(mesh), depth=c.prefetch) as ready:
      current, fed = time_steps(step, current, ready, steps, warmup)
  if profile:
    with jax.profiler.trace(profile):
      current, _ = time_steps(step, current, itertools.repeat(synthetic), 2, 1)

  gflop = flops.step_flops(build.build_gan(c, mesh)) / 1e9
  counted = (step.cost_analysis() or {}).get('flops')
  if counted is not None:
    counted *= mesh.size / c.batch_size / 1e9
  return {
    'compile_secs': compile_secs,
    'step_secs': secs,
    'images_per_sec': c.batch_size / secs,
    'fed_images_per_sec': c.batch_size / fed if fed else None,
    'gflop_per_image': gflop,
    'compiler_gflop_per_image': counted,
    'step_mib': build.step_bytes(step) / 2**20,
    'peak_mib': _peak_mib(mesh),
    'finite': bool(state.all_finite(current)),
  }


def matmul_flops(mesh, dtype):
  """Operations per second of a large matrix product, over all devices.

  Args:
    mesh: its devices work on independent products.
    dtype: of the factors.

  Returns:
    FLOP/s, from the fastest of some calls.
  """
  size = 1024 if mesh.devices.flat[0].platform == 'cpu' else 8192
  repeats = 8
  whole = sharding.split_batch(mesh)
  x = jax.device_put(
    jax.random.normal(jax.random.key(0), (mesh.size, size, size), dtype), whole
  )

  @functools.partial(jax.jit, out_shardings=whole)
  def chain(x):
    y = x
    for _ in range(repeats):  # Scaled, so that the numbers do not overflow.
      y = jnp.einsum('nij,njk->nik', y, x) * size**-0.5
    return y

  return 2 * size**3 * repeats * mesh.size / _least_secs(chain, x)


def copy_bytes(mesh):
  """Bytes per second that copying a large array reads and writes.

  Args:
    mesh: its devices copy at the same time.

  Returns:
    Bytes per second over all devices, from the fastest of some calls.
  """
  size = 2**24 if mesh.devices.flat[0].platform == 'cpu' else 2**30
  x = jax.device_put(
    np.zeros((mesh.size, size // 4), np.float32), sharding.split_batch(mesh)
  )
  # Not a mere copy, which the compiler could leave out.
  secs = _least_secs(jax.jit(lambda x: x + 1.0), x)
  return 2 * size * mesh.size / secs


def _least_secs(function, *args):
  jax.block_until_ready(function(*args))
  secs = []
  for _ in range(5):
    began = time.perf_counter()
    jax.block_until_ready(function(*args))
    secs.append(time.perf_counter() - began)
  return min(secs)


def measure_input(source, c, *, seconds=5.0):
  """Images per second that a source delivers to this process.

  Args:
    source: a `data.Source`.
    c: a `Config`.
    seconds: about how long to measure, after the first batch.

  Returns:
    Images of the global batch per second.
  """
  batches = build.host_batches(source, c, 0)
  next(batches)
  began, count = time.perf_counter(), 0
  while time.perf_counter() - began < seconds:
    next(batches)
    count += 1
  return count * c.batch_size * c.n_dis / (time.perf_counter() - began)


def machine(mesh):
  """What figures were measured on, as a dict for JSON."""
  device = mesh.devices.flat[0]
  return {
    'devices': mesh.size,
    'device_kind': device.device_kind,
    'platform': device.platform,
    'jax': jax.__version__,
    'python': platform.python_version(),
  }


def time_steps(step, current, batches, steps, warmup):
  """Runs steps, one in flight ahead.

  Args:
    step: compiled.
    current: a `GanState`, which the first step donates.
    batches: iterator of batches on the devices.
    steps: how many are timed.
    warmup: steps before them, at least 1.

  Returns:
    (the state, median seconds per step).
  """
  ends, previous = [], None
  for batch in itertools.islice(batches, warmup + steps + 1):
    current, metrics = step(current, batch)
    if previous is not None:
      jax.block_until_ready(previous)
      ends.append(time.perf_counter())
    previous = metrics
  jax.block_until_ready(current)
  return current, statistics.median(np.diff(ends[warmup - 1 :]))


def _random_batch(c):
  rng = np.random.default_rng(c.seed)
  rows = c.batch_size // jax.process_count()
  size = c.image_size
  return {
    'image': rng.integers(
      0, 256, (c.n_dis, rows, size, size, 3), dtype=np.uint8
    ),
    'label': rng.integers(0, c.num_classes, (c.n_dis, rows), dtype=np.int32),
  }


def _peak_mib(mesh):
  """The device's own peak so far, where it keeps count."""
  stats = mesh.devices.flat[0].memory_stats() or {}
  peak = stats.get('peak_bytes_in_use')
  return None if peak is None else peak / 2**20
