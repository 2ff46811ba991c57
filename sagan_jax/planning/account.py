"""The account of one compiled step: what the compiler says, and no opinion.

Runs in a process of its own, `python -m sagan_jax.planning.account`, whose
environment decides which compiler there is: it reads a request from stdin and
writes the account to the file that it is given.
"""

import json
import re
import sys
import time

from sagan_jax import errors

# How libtpu says that a program does not fit.
_TOO_LARGE = 'RESOURCE_EXHAUSTED'
_USED = (
  re.compile(r'Used ([\d.]+)([KMGT]?) of ([\d.]+)([KMGT]?) hbm'),
  re.compile(
    r'\(([\d.]+)([KMGT]?)\) exceeds available HBM \(([\d.]+)([KMGT]?)\)'
  ),
)
_LOCKED = re.compile('libtpu.*(lockfile|already in use)|TPU is already in use')
_UNITS = {'': 1, 'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}


def make(c, topology) -> dict:
  """Compiles the training step of a config and reads the program.

  Args:
    c: a `Config` whose `num_classes` is known.
    topology: a `topologies.Topology`.

  Returns:
    What JSON can hold: 'fits', 'flops_per_image' by formula, 'state_bytes';
    where it fits, 'memory' in bytes per device, 'compiler_flops' per device,
    'collectives', 'compile_secs', and of a TPU 'cycles', 'origins', 'hbm_bytes' and 'padding'; where it does
    not, 'needed_bytes' and 'available_bytes', None if the compiler does not say.
  """
  import jax
  import numpy as np

  from sagan_jax.cluster import sharding
  from sagan_jax.gan import build, flops

  mesh = jax.sharding.Mesh(np.array(topology.devices()), (sharding.DATA_AXIS,))
  gan = build.build_gan(c, mesh)
  state = build.state_shapes(gan, mesh, c.image_size)
  lowered = build.lower_step(gan, mesh, state, c.batch_size, c.image_size)
  known = {
    'flops_per_image': flops.step_flops(gan),
    'state_bytes': sum(
      x.size * x.dtype.itemsize for x in jax.tree.leaves(state)
    ),
  }
  began = time.perf_counter()
  try:
    compiled = lowered.compile()
  except jax.errors.JaxRuntimeError as e:
    if _TOO_LARGE not in str(e):
      raise
    return _too_large(str(e)) | known
  secs = time.perf_counter() - began
  return {
    'fits': True,
    **known,
    'memory': memory(compiled, topology.chip is not None),
    'compiler_flops': (compiled.cost_analysis() or {}).get('flops'),
    'compile_secs': secs,
    **program(compiled.as_text() or '', topology.chip is not None),
  }


def memory(compiled, is_tpu: bool) -> dict:
  """Bytes per device that a compiled function takes."""
  found = compiled.memory_analysis()
  # The compiler for CPUs reports no peak: all that there ever is.
  peak = (
    found.argument_size_in_bytes
    + found.output_size_in_bytes
    + found.temp_size_in_bytes
    - found.alias_size_in_bytes
  )
  return {
    'arguments': found.argument_size_in_bytes,
    'outputs': found.output_size_in_bytes,
    'temporaries': found.temp_size_in_bytes,
    'aliased': found.alias_size_in_bytes,
    'peak': found.peak_memory_in_bytes if is_tpu else peak,
    'code': found.generated_code_size_in_bytes,
  }


def program(text: str, is_tpu: bool) -> dict:
  """What the text of a compiled program says, as in `make`."""
  from sagan_jax.planning import hlo, origins, traffic

  parsed = hlo.parse(text)
  found = {'collectives': traffic.collectives(parsed)}
  if not is_tpu:
    return found
  parts = origins.cycles(parsed)
  return {
    **found,
    'cycles': sum(parts.values()),
    'origins': parts,
    'hbm_bytes': traffic.hbm_bytes(parsed),
    'padding': traffic.padding(parsed),
  }


def _too_large(message):
  found = [match for match in (x.search(message) for x in _USED) if match]
  needed, available = None, None
  if found:
    needed, available = (
      int(float(number) * _UNITS[unit])
      for number, unit in (found[0].group(1, 2), found[0].group(3, 4))
    )
  return {
    'fits': False,
    'needed_bytes': needed,
    'available_bytes': available,
  }


def main(path):
  """Reads {'config': ..., 'topology': name} from stdin, writes to a file."""
  import jax

  from sagan_jax.config import schema
  from sagan_jax.planning import topologies

  request = json.load(sys.stdin)
  try:
    answer = make(
      schema.read(request['config']), topologies.find(request['topology'])
    )
  except errors.UserError as e:
    answer = {'refused': str(e)}
  except jax.errors.JaxRuntimeError as e:
    if not _LOCKED.search(str(e)):
      raise
    answer = {'refused': 'another process is using libtpu; wait for its end'}
  with open(path, 'w') as file:
    json.dump(answer, file)


if __name__ == '__main__':
  main(sys.argv[1])
