"""What a benchmark measures in one process, beside the step of a config.

Every function takes a `Config` whose `num_classes` is known, a mesh, the steps to
measure and those before them, and returns a dict for JSON.
"""

import collections
import functools
import itertools
import pathlib
import tempfile
import time

import jax
import numpy as np

from sagan_jax.cluster import sharding
from sagan_jax.evaluation import extractors, features, generated
from sagan_jax.gan import build, measure, sampling
from sagan_jax.gan import state as state_lib

_EVALUATION_SECS = 5.0
_TOP = 10  # Kernels that are named.


def machine(c, mesh, steps, warmup):
  """What figures are measured on."""
  del c, steps, warmup
  return measure.machine(mesh)


def ceilings(c, mesh, steps, warmup):
  """The fastest matrix products and copy here: what steps are held against."""
  del c, steps, warmup
  found = {
    f'{dtype}_tflops': measure.matmul_flops(mesh, dtype) / 1e12
    for dtype in ('bfloat16', 'float32')
  }
  return found | {'copy_gb_per_sec': measure.copy_bytes(mesh) / 1e9}


def evaluation(c, mesh, steps, warmup):
  """Images per second of the generator and the extractor together."""
  del steps, warmup
  gan = build.build_gan(c, mesh)
  init = jax.jit(
    functools.partial(state_lib.init_state, gan, c.image_size),
    out_shardings=sharding.replicated(mesh),
  )
  local = sharding.local_mesh(mesh)
  variables = sharding.localize(
    init(c.seed).generator_variables(c.eval.weights[0]), local
  )
  extractor = extractors.make_extractor(c)
  made = generated.GeneratedFeatures(
    features.FeatureExtraction(
      extractor, local, sharding.local_share(mesh, c.eval.batch_size)
    ),
    sampling.on_mesh(gan, mesh, c.eval.batch_size),
  )

  def secs(batches):
    labels = np.arange(batches * c.eval.batch_size) % c.num_classes
    began = time.perf_counter()
    made.collect(
      *variables,
      labels,
      (0, len(labels)),
      key=jax.random.key(0),
      truncation=None,
      batch_moments=False,
      say=None,
    )
    return time.perf_counter() - began

  compile_secs = secs(1)
  batches = max(1, round(_EVALUATION_SECS / secs(1)))
  rate = batches * c.eval.batch_size / secs(batches)
  return {
    'extractor': extractor.name,
    'batch_size': c.eval.batch_size,
    'compile_secs': compile_secs,
    'images_per_sec': rate,
    'secs_for_50000': 50_000 / rate,
  }


def determinism(c, mesh, steps, warmup):
  """Whether the same seed gives the same bits after the same steps, twice."""
  del warmup
  step_fn, init, batch = measure.compiled(c, mesh)

  def final():
    state = init(c.seed)
    for _ in range(steps):
      state, _ = step_fn(state, batch)
    return jax.tree.leaves(jax.device_get(state.generator.params))

  pairs = list(zip(final(), final(), strict=True))
  far = max(float(np.max(np.abs(a - b))) for a, b in pairs)
  return {
    'steps': steps,
    'same_bits': all(np.array_equal(a, b) for a, b in pairs),
    'largest_difference': far,
  }


def kernels(c, mesh, steps, warmup):
  """The kernels that take most of a step's time."""
  del steps
  step_fn, init, batch = measure.compiled(c, mesh)
  state, _ = measure.time_steps(
    step_fn, init(c.seed), itertools.repeat(batch), 1, warmup
  )
  with tempfile.TemporaryDirectory() as directory:
    with jax.profiler.trace(directory):
      measure.time_steps(step_fn, state, itertools.repeat(batch), 2, 1)
    (trace,) = pathlib.Path(directory).rglob('*.xplane.pb')
    data = jax.profiler.ProfileData.from_file(str(trace))
    return {'kernels': _most_expensive(data)}


def _most_expensive(data):
  """[[name, share of the time of all], ...] of a trace, the longest first."""
  planes = list(data.planes)
  on_device = [p for p in planes if p.name.startswith('/device:')]
  nanoseconds = collections.Counter()
  for plane in on_device or planes:
    for line in plane.lines:
      # A device has lines of its modules and steps too, above those of kernels.
      if on_device and not line.name.startswith(('Stream', 'XLA Ops')):
        continue
      if not on_device and 'XLA' not in line.name:
        continue
      for event in line.events:
        if '::' not in event.name:  # Of the runtime, around the kernels.
          nanoseconds[event.name] += event.duration_ns
  total = sum(nanoseconds.values())
  return [[name, ns / total] for name, ns in nanoseconds.most_common(_TOP)]


def step(c, mesh, steps, warmup):
  """The step with a batch that lies on the devices."""
  return measure.measure_step(c, mesh, steps=steps, warmup=warmup)


PARTS = {
  'step': step,
  'machine': machine,
  'ceilings': ceilings,
  'evaluation': evaluation,
  'determinism': determinism,
  'kernels': kernels,
}
