"""Bytes of a compiled step: to and from memory, in padding, between devices."""

import collections
import re

from sagan_jax.planning import hlo

# These name memory or wait for it; they move nothing.
_FREE = {
  'after-all',
  'bitcast',
  'call',
  'conditional',
  'constant',
  'copy-done',
  'get-tuple-element',
  'parameter',
  'partition-id',
  'tuple',
  'while',
}
_SLICES = ('slice', 'dynamic-slice', 'gather')
_BIG = 2**20  # Bytes from which an array's padding is worth a line.
COLLECTIVES = (
  'all-gather',
  'all-reduce',
  'all-to-all',
  'collective-permute',
  'reduce-scatter',
)


def hbm_bytes(program: hlo.Program) -> int:
  """Bytes that instructions read from main memory and write to it.

  What stays on the chip is not counted, and of what a fusion slices only the
  slices; padding is. An estimate: the compiler reports no such number.

  Args:
    program: of a TPU.
  """
  total = 0
  for computation, instruction, times in program.executed():
    if instruction.opcode in _FREE or instruction.opcode.endswith('-done'):
      continue
    known = program.computations[computation]
    total += times * (
      _written(instruction)
      + sum(
        _read(program, instruction, position, known[name])
        for position, name in enumerate(instruction.operands)
        if name in known
      )
    )
  return total


def _in_hbm(arrays):
  return sum(x.physical_bytes for x in arrays if not x.space)


def _moved(instruction):
  """What a copy in the background makes; None of other instructions."""
  place = {'copy-start': 0, 'slice-start': 1}.get(instruction.opcode)
  return None if place is None else instruction.results[place]


def _written(instruction):
  moved = _moved(instruction)
  return _in_hbm(instruction.results if moved is None else [moved])


def _read(program, instruction, position, operand):
  """Bytes that an instruction reads of an operand, which another has made."""
  moved = _moved(instruction)
  whole = _in_hbm(operand.results)
  if not whole:
    return 0
  if moved is not None:
    return moved.physical_bytes
  if instruction.opcode in _SLICES and not position:
    return sum(x.physical_bytes for x in instruction.results)
  if instruction.opcode != 'fusion':
    return whole
  inner = program.computations[instruction.calls['calls'][0]].values()
  name = next(x.name for x in inner if x.parameter == position)
  users = [x for x in inner if name in x.operands]
  if all(x.opcode in _SLICES and x.operands[0] == name for x in users):
    return sum(x.results[0].physical_bytes for x in users)
  return whole


def padding(program: hlo.Program) -> dict:
  """What the tiles of layouts add to large results.

  Args:
    program: of a TPU.

  Returns:
    {'logical_bytes', 'physical_bytes'} of all results of a mebibyte and more
    (each is counted once, wherever it lies), and 'worst', a list of {'array',
    'count', 'logical_bytes', 'physical_bytes'} of each, the most wasteful first.
  """
  counts = collections.Counter(
    array
    for _, instruction, _ in program.executed()
    if instruction.opcode not in _FREE
    and not instruction.opcode.endswith(('-done', '-start'))
    for array in instruction.results
    if array.physical_bytes >= _BIG
  )
  groups = collections.defaultdict(lambda: [0, 0, 0])
  for array, count in counts.items():
    group = groups[str(array)]
    group[0] += count
    group[1] += count * array.logical_bytes
    group[2] += count * array.physical_bytes
  worst = sorted(groups.items(), key=lambda x: x[1][1] - x[1][2])
  return {
    'logical_bytes': sum(x[1] for x in groups.values()),
    'physical_bytes': sum(x[2] for x in groups.values()),
    'worst': [
      {
        'array': name,
        'count': count,
        'logical_bytes': logical,
        'physical_bytes': physical,
      }
      for name, (count, logical, physical) in worst[:5]
      if physical > logical
    ],
  }


def collectives(program: hlo.Program) -> list[dict]:
  """Messages between devices.

  Args:
    program: of any platform.

  Returns:
    A list of {'kind', 'dtype', 'count', 'bytes', 'asynchronous'}, the largest
    first. A message of several dtypes has the first one's; bytes are those of
    its results, on a device. An asynchronous one carries 'covered_cycles', the
    sum of estimates of what runs meanwhile.
  """
  found = collections.defaultdict(lambda: [0, 0, 0])
  open_since = {}
  clock = 0
  for _, instruction, times in program.executed():
    clock += times * instruction.cycles
    if instruction.opcode.endswith('-done') and instruction.operands:
      key, began = open_since.pop(instruction.operands[0], (None, 0))
      if key:
        found[key][2] += clock - began
    kind = re.sub('-start$', '', instruction.opcode)
    if kind not in COLLECTIVES:
      continue
    asynchronous = instruction.opcode.endswith('-start')
    arrays = instruction.results
    if asynchronous and kind != 'all-reduce':
      arrays = arrays[len(arrays) // 2 :]  # Operands come first.
    key = kind, arrays[0].dtype, asynchronous
    found[key][0] += times
    found[key][1] += times * sum(x.logical_bytes for x in arrays)
    if asynchronous:
      open_since[instruction.name] = key, clock
  rows = [
    {
      'kind': kind,
      'dtype': dtype,
      'count': count,
      'bytes': size,
      'asynchronous': asynchronous,
      'covered_cycles': covered,
    }
    for (kind, dtype, asynchronous), (count, size, covered) in found.items()
  ]
  return sorted(rows, key=lambda row: -row['bytes'])
