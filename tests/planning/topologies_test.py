"""Tests of hardware by name."""

import pytest

from sagan_jax import errors
from sagan_jax.planning import topologies


@pytest.mark.parametrize(
  'name, full_name, num_devices, kind',
  [
    ('v5e:4x4', 'v5e:4x4', 16, 'TPU v5e'),
    ('v5litepod-16', 'v5e:4x4', 16, 'TPU v5e'),
    ('v5litepod-1', 'v5e:1x1', 1, 'TPU v5e'),
    ('v6e-8', 'v6e:2x4', 8, 'TPU v6e'),
    ('v5p-8', 'v5p:2x2x1', 4, 'TPU v5p'),  # The name counts cores.
    ('v4:2x2x4', 'v4:2x2x4', 16, 'TPU v4'),
  ],
)
def test_names_of_slices(name, full_name, num_devices, kind):
  found = topologies.find(name)
  assert (found.name, found.num_devices) == (full_name, num_devices)
  assert found.chip.kind == kind


def test_virtual_devices():
  found = topologies.find('cpu:3')
  assert (found.name, found.num_devices, found.chip) == ('cpu:3', 3, None)
  assert len(found.devices()) == 3


@pytest.mark.parametrize(
  'name, message',
  [
    ('v9:4x4', 'v9:4x4 is not known.* v4, v5e, v5p, v6e'),
    ('nonsense', 'nonsense is not known'),
    ('v5litepod-17', '--topology=v5litepod-17 is not known'),
    ('v5e:4x4x4', 'v5e is NxN chips'),
    ('v5p:4x4', 'v5p is NxNxN chips'),
    ('v5e:3x4', 'a host has 2x2 chips'),
    ('v5e:0x4', 'v5e is NxN chips'),
    ('cpu:0', 'cpu:N has N from 1 to'),
    ('cpu:many', 'cpu:N has N from 1 to'),
    ('cpu', 'cpu is not known'),
    ('', 'is not known'),
  ],
)
def test_unknown_names_are_refused(name, message):
  with pytest.raises(errors.UserError, match=message):
    topologies.find(name)


def test_clocks_are_those_of_the_chips():
  clocks = {x: round(c.clock_hz / 1e9, 2) for x, c in topologies.CHIPS.items()}
  assert clocks == {'v4': 1.05, 'v5e': 1.5, 'v5p': 1.75, 'v6e': 1.75}
