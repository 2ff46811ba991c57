"""Measures a config on this machine: the step, its input, and both together.

  python -m sagan_jax.benchmark --config=experiments/imagenet.py

Runs on any backend and needs no TensorFlow unless the data set does. Rates are
images of a batch per second: a step counts its batch once, however many
discriminator updates it makes.
"""

import functools
import itertools
import json
import pathlib
import platform
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from ml_collections import config_flags

from sagan_jax import data
from sagan_jax.cluster import sharding
from sagan_jax.config import compatibility
from sagan_jax.config import schema as config_lib
from sagan_jax.data import prefetch
from sagan_jax.gan import build, flops, state

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'Config file, executed as Python.', lock_config=True
)
_FORMS = flags.DEFINE_list(
  'forms', None, 'Resampling forms; default: that of the config.'
)
_DTYPES = flags.DEFINE_list(
  'dtypes', None, 'Activation dtypes; default: that of the config.'
)
_BATCH_SIZES = flags.DEFINE_list(
  'batch_sizes', None, 'Images a batch; default: that of the config.'
)
_STEPS = flags.DEFINE_integer('steps', 50, 'Steps whose median is reported.', 1)
_WARMUP = flags.DEFINE_integer('warmup', 10, 'Steps before these.', 1)
_INPUT = flags.DEFINE_bool(
  'input', True, 'Measure the data set too, and the step fed from it.'
)
_JSON = flags.DEFINE_string('json', None, 'File to write the figures to.')
_PROFILE = flags.DEFINE_string(
  'profile', None, 'Directory for a trace of three steps of the last variant.'
)

COLUMNS = {
  'resample': '{}',
  'dtype': '{}',
  'batch_size': '{}',
  'compile_secs': '{:.0f}',
  'step_secs': '{:.4f}',
  'images_per_sec': '{:.2f}',
  'fed_images_per_sec': '{:.2f}',
  'gflop_per_image': '{:.1f}',
  'compiler_gflop_per_image': '{:.1f}',
  'effective_mfu': '{:.1%}',
  'step_mib': '{:.0f}',
}


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
    {name: number} with the keys of `COLUMNS` that it measures.
  """
  gan = build.build_gan(c, mesh)
  init = jax.jit(
    functools.partial(state.init_state, gan, c.image_size),
    out_shardings=sharding.replicated(mesh),
  )
  began = time.perf_counter()
  step = build.compile_step(
    gan, mesh, jax.eval_shape(init, c.seed), c.batch_size, c.image_size
  )
  compile_secs = time.perf_counter() - began

  put = functools.partial(
    sharding.put_batch, sharding=sharding.split_batch(mesh, axis=1)
  )
  synthetic = put(_random_batch(c))
  current, secs = _time_steps(
    step, init(c.seed), itertools.repeat(synthetic), steps, warmup
  )
  fed = None
  if source is not None:
    batches = build.host_batches(source, c, 0)
    with prefetch.Prefetcher(batches, put, depth=c.prefetch) as ready:
      current, fed = _time_steps(step, current, ready, steps, warmup)
  if profile:
    with jax.profiler.trace(profile):
      _time_steps(step, current, itertools.repeat(synthetic), 2, 1)

  gflop = flops.step_flops(gan) / 1e9
  compiled = step.cost_analysis()['flops'] * mesh.size / c.batch_size / 1e9
  return {
    'compile_secs': compile_secs,
    'step_secs': secs,
    'images_per_sec': c.batch_size / secs,
    'fed_images_per_sec': c.batch_size / fed if fed else None,
    'gflop_per_image': gflop,
    'compiler_gflop_per_image': compiled,
    'step_mib': build.step_bytes(step) / 2**20,
    'peak_mib': _peak_mib(mesh),
  }


def matmul_flops(mesh, dtype):
  """Operations a second of a large matrix product, over all devices.

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
    for _ in range(repeats):  # Scaled, lest the numbers overflow.
      y = jnp.einsum('nij,njk->nik', y, x) * size**-0.5
    return y

  jax.block_until_ready(chain(x))
  secs = []
  for _ in range(5):
    began = time.perf_counter()
    jax.block_until_ready(chain(x))
    secs.append(time.perf_counter() - began)
  return 2 * size**3 * repeats * mesh.size / min(secs)


def measure_input(source, c, *, seconds=5.0):
  """Images a second that a source delivers to this process.

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


def table(rows):
  """Formats rows of figures as a Markdown table."""
  lines = [
    '| ' + ' | '.join(COLUMNS) + ' |',
    '| ' + ' | '.join('---' for _ in COLUMNS) + ' |',
  ]
  for row in rows:
    cells = [
      '-' if row.get(name) is None else form.format(row[name])
      for name, form in COLUMNS.items()
    ]
    lines.append('| ' + ' | '.join(cells) + ' |')
  return '\n'.join(lines)


def _time_steps(step, current, batches, steps, warmup):
  """Runs steps, one in flight ahead; returns the state and median seconds."""
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


def _machine(mesh):
  device = mesh.devices.flat[0]
  return {
    'devices': mesh.size,
    'device_kind': device.device_kind,
    'platform': device.platform,
    'jax': jax.__version__,
    'python': platform.python_version(),
  }


def main(argv):
  """Prints the table; returns the exit code."""
  del argv
  c = config_lib.resolve(_CONFIG.value)
  mesh = sharding.make_mesh(c.num_devices)
  source, why_not = None, 'not asked for'
  if _INPUT.value:
    try:
      source = data.make_source(image_size=c.image_size, **vars(c.dataset))
    except ValueError as e:
      why_not = str(e)
  if c.num_classes is None:
    if source is None:
      raise app.UsageError(
        'num_classes follows the data set, which is not there '
        f'({why_not}); set --config.num_classes'
      )
    c = config_lib.replace(c, num_classes=source.num_classes)

  report = {'machine': _machine(mesh), 'rows': []}
  print(json.dumps(report['machine']), flush=True)
  if source is not None:
    report['input_images_per_sec'] = measure_input(source, c)
    print(
      f'{source.name}: {report["input_images_per_sec"]:.0f} images/s',
      flush=True,
    )
  else:
    print(f'input: not measured: {why_not}')

  variants = list(
    itertools.product(
      _FORMS.value or [c.resample],
      _DTYPES.value or [c.dtype],
      [int(b) for b in _BATCH_SIZES.value or [c.batch_size]],
    )
  )
  rates = {}
  for i, (form, dtype, batch_size) in enumerate(variants):
    v = config_lib.replace(c, resample=form, dtype=dtype, batch_size=batch_size)
    compatibility.check(v, mesh.size, jax.process_count())
    if dtype not in rates:
      rates[dtype] = matmul_flops(mesh, dtype)
      print(f'matmul {dtype}: {rates[dtype] / 1e12:.3f} TFLOP/s', flush=True)
    row = {'resample': form, 'dtype': dtype, 'batch_size': batch_size}
    row |= measure_step(
      v,
      mesh,
      steps=_STEPS.value,
      warmup=_WARMUP.value,
      source=source,
      profile=_PROFILE.value if i == len(variants) - 1 else None,
    )
    row['matmul_tflops'] = rates[dtype] / 1e12
    row['effective_mfu'] = (
      row['images_per_sec'] * row['gflop_per_image'] * 1e9 / rates[dtype]
    )
    report['rows'].append(row)
    print(table([row]), flush=True)
  if len(variants) > 1:
    print(table(report['rows']))
  if _JSON.value:
    pathlib.Path(_JSON.value).write_text(json.dumps(report, indent=2) + '\n')
  return 0


if __name__ == '__main__':
  flags.mark_flag_as_required('config')
  sys.exit(app.run(main))
