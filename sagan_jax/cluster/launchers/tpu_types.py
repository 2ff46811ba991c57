"""TPU slices by name: topology, hosts, and what clouds call them.

Of https://cloud.google.com/tpu/docs and of GKE's page on planning TPUs. The
number in a name counts chips for v5e and v6e, and TensorCores, two to a chip,
for v4 and v5p.
"""

import dataclasses
import math

from sagan_jax import errors


@dataclasses.dataclass(frozen=True)
class Slice:
  """One TPU slice."""

  accelerator: str  # GKE's label of its nodes.
  topology: str  # E.g. '4x4', in chips.
  chips_per_host: int
  runtime_version: str  # Of a TPU VM's image.

  @property
  def num_hosts(self):
    """How many hosts, and so processes, it has."""
    return math.prod(map(int, self.topology.split('x'))) // self.chips_per_host


@dataclasses.dataclass(frozen=True)
class _Generation:
  accelerator: str
  runtime_version: str
  topologies: dict[int, str]  # {number in the name: topology}


_FLAT = {
  1: '1x1',
  4: '2x2',
  8: '2x4',
  16: '4x4',
  32: '4x8',
  64: '8x8',
  128: '8x16',
  256: '16x16',
}
_CUBES = {
  8: '2x2x1',
  16: '2x2x2',
  32: '2x2x4',
  64: '2x4x4',
  128: '4x4x4',
  256: '4x4x8',
  512: '4x8x8',
  1024: '8x8x8',
  2048: '8x8x16',
  4096: '8x16x16',
}
_GENERATIONS = {
  'v4': _Generation('tpu-v4-podslice', 'tpu-ubuntu2204-base', _CUBES),
  'v5litepod': _Generation(
    'tpu-v5-lite-podslice', 'v2-alpha-tpuv5-lite', _FLAT
  ),
  'v5p': _Generation('tpu-v5p-slice', 'v2-alpha-tpuv5', _CUBES),
  'v6e': _Generation('tpu-v6e-slice', 'v2-alpha-tpuv6e', _FLAT),
}
# Slices with one host; all larger ones have four chips per host.
_SINGLE_HOST = {'1x1': 1, '2x4': 8}


def find(name, flag='--tpu_type'):
  """Returns the slice of a name such as 'v5litepod-16', the value of a flag.

  Raises:
    UserError: if there is none.
  """
  generation, _, size = name.partition('-')
  found = _GENERATIONS.get(generation)
  if found is None:
    raise errors.UserError(
      f'{flag}={name} is not known; it is GENERATION-SIZE, e.g. '
      f'v5litepod-16, of one of {", ".join(_GENERATIONS)}'
    )
  topology = found.topologies.get(int(size)) if size.isdecimal() else None
  if topology is None:
    raise errors.UserError(
      f'{flag}={name} is not known; {generation} has the sizes '
      f'{", ".join(map(str, found.topologies))}'
    )
  return Slice(
    accelerator=found.accelerator,
    topology=topology,
    chips_per_host=_SINGLE_HOST.get(topology, 4),
    runtime_version=found.runtime_version,
  )
