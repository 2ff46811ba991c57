"""Hardware that a step can be planned for, by name, and what it is capable of.

Peak rates, memory and bandwidth are those of
https://cloud.google.com/tpu/docs/system-architecture-tpu-vm, per chip.
"""

import dataclasses
import math
import re

from sagan_jax import errors
from sagan_jax.cluster.launchers import tpu_types

_LANES = 128
_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
  """What a device is capable of.

  Attributes:
    kind: as people call it.
    peak_flops: bfloat16, per second.
    hbm_bytes: of main memory, what libtpu leaves to programs.
    hbm_bytes_per_sec: to and from it.
    flops_per_cycle: of all matrix units; the clock follows.
    link_bytes_per_sec: that an all-reduce within a slice moves: half of the
      published rate of all links, derated. A guess, not a measurement.
    libtpu_options: of `get_topology_desc`.
  """

  kind: str
  peak_flops: float
  hbm_bytes: float
  hbm_bytes_per_sec: float
  flops_per_cycle: int
  link_bytes_per_sec: float
  libtpu_options: dict = dataclasses.field(default_factory=dict)

  @property
  def clock_hz(self) -> float:
    """Inferred; large products then reach 70 to 90 % of the peak."""
    return self.peak_flops / self.flops_per_cycle


_MEGACORE = {'chip_config_name': 'megacore'}  # Two cores are one device.
_MXU = 2 * _LANES**2  # FLOP per cycle of a matrix unit; v6e's are 256 wide.
CHIPS = {
  'v4': Chip(
    'TPU v4', 275e12, 30.75 * _GIB, 1.2e12, 8 * _MXU, 130e9, _MEGACORE
  ),
  'v5e': Chip('TPU v5e', 197e12, 15.75 * _GIB, 0.819e12, 4 * _MXU, 90e9),
  'v5p': Chip(
    'TPU v5p', 459e12, 95.74 * _GIB, 2.765e12, 8 * _MXU, 280e9, _MEGACORE
  ),
  'v6e': Chip('TPU v6e', 918e12, 31.25 * _GIB, 1.64e12, 16 * _MXU, 190e9),
}
_MAX_CPUS = 512


@dataclasses.dataclass(frozen=True)
class Topology:
  """Devices that are connected.

  Attributes:
    name: 'v5e:4x4', or 'cpu:8'.
    num_devices: chips; as many devices, as JAX counts them.
    chip: what each is; None for CPUs, of which nothing is known.
  """

  name: str
  num_devices: int
  chip: Chip | None

  def devices(self):
    """Devices to compile for; this process needs libtpu, or the CPUs."""
    import jax
    from jax.experimental import topologies

    if self.chip is None:
      return jax.devices('cpu')[: self.num_devices]
    options = dict(self.chip.libtpu_options)
    if self.num_devices == 1:  # Else a host has four chips.
      options['chips_per_host_bounds'] = (1, 1, 1)
    return topologies.get_topology_desc(
      platform='tpu', topology_name=self.name, **options
    ).devices


def find(name: str) -> Topology:
  """Finds a topology.

  Args:
    name: GENERATION:SIZE, e.g. 'v5e:4x4' or 'v5p:2x2x4'; what clouds call it,
      e.g. 'v5litepod-16'; or 'cpu:N' for N virtual devices.

  Raises:
    UserError: if there is none.
  """
  generation, colon, size = name.partition(':')
  if generation == 'cpu' and colon:
    if not size.isdecimal() or not 1 <= int(size) <= _MAX_CPUS:
      raise errors.UserError(
        f'--topology={name}: cpu:N has N from 1 to {_MAX_CPUS} devices'
      )
    return Topology(f'cpu:{int(size)}', int(size), None)
  if not colon and '-' in name:
    generation = name.partition('-')[0].replace('v5litepod', 'v5e')
    size = tpu_types.find(name, '--topology').topology
  chip = CHIPS.get(generation)
  if chip is None:
    raise errors.UserError(
      f'--topology={name} is not known; it is GENERATION:SIZE, e.g. v5e:4x4, '
      f'of one of {", ".join(CHIPS)}, or what clouds call it, e.g. '
      'v5litepod-16, or cpu:N'
    )
  axes = 2 if generation in ('v5e', 'v6e') else 3
  if not re.fullmatch('x'.join([r'[1-9]\d{0,2}'] * axes), size):
    raise errors.UserError(
      f'--topology={name}: {generation} is {"x".join("NNN"[:axes])} chips, e.g. '
      f'{generation}:{"4x4" if axes == 2 else "2x2x4"}'
    )
  sides = [int(x) for x in size.split('x')]
  # A host has 2x2 chips, or a slice is one chip.
  if math.prod(sides) > 1 and any(side % 2 for side in sides[:2]):
    raise errors.UserError(
      f'--topology={name}: a host has 2x2 chips, so both of the first numbers '
      'must be even, or all be 1'
    )
  return Topology(f'{generation}:{size}', math.prod(sides), chip)
