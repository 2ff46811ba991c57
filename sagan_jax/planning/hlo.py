"""Reads the text of a compiled program: instructions, layouts, estimates.

The text is optimised HLO, as `jax.stages.Compiled.as_text` gives it. Of a TPU's
program it carries the compiler's estimate of cycles for every instruction, and
layouts with tiles and memory spaces; of a CPU's it has neither.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

_BITS = {'pred': 8, 'token': 0, 'opaque': 0}  # Others end in their width.
_ARRAY = re.compile(r'([a-z]\w*)\[([\d,<=]*)\](?:\{([\d,]*)(?::([^{}]*))?\})?')
_LINE = re.compile(r'\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ?([a-z][\w\-]*)\((.*)$')
_COMPUTATION = re.compile(r'(ENTRY )?%?([\w.\-]+) \(.*\{$')
_NAMES = re.compile(r'%([\w.\-]+)')
_OP_NAME = re.compile(r'op_name="([^"]*)"')
_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_CALLED = re.compile(
  r'\b(calls|to_apply|body|condition|branch_computations)='
  r'(\{[^}]*\}|%?[\w.\-]+)'
)


@dataclasses.dataclass(frozen=True)
class Array:
  """One array as it lies in memory."""

  dtype: str
  dims: tuple[int, ...]
  order: tuple[int, ...]  # Axes from the one that varies fastest.
  tile: tuple[int, ...]  # Of the last of them; () where there is none.
  space: int  # 0 is the device's main memory, HBM.

  @property
  def logical_bytes(self) -> int:
    """Bytes of its elements."""
    return math.prod(self.dims) * _bits(self.dtype) // 8

  @property
  def physical_bytes(self) -> int:
    """Bytes with the padding of its layout's tiles."""
    dims = [self.dims[axis] for axis in self.order]
    for i, size in enumerate(reversed(self.tile[-len(dims) :] if dims else ())):
      dims[i] = -(-dims[i] // size) * size
    return math.prod(dims) * _bits(self.dtype) // 8

  def __str__(self):
    return f'{self.dtype}[{",".join(map(str, self.dims))}]'


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One line of a program."""

  name: str
  opcode: str
  results: tuple[Array, ...]  # The leaves, of a tuple.
  operands: tuple[str, ...]
  op_name: str  # The scopes that it was written in; '' where none is known.
  cycles: int  # The compiler's estimate; 0 where it has none.
  calls: dict[str, tuple[str, ...]]  # {'calls', 'body', ...: computations}
  trips: int  # Of a loop; 1 where it is not known.
  parameter: int | None  # Which of its computation's it is, if it is one.


@dataclasses.dataclass(frozen=True)
class Program:
  """The computations of a compiled program."""

  entry: str
  computations: dict[str, dict[str, Instruction]]  # In the scheduled order.

  def executed(self) -> Iterator[tuple[str, Instruction, int]]:
    """Yields (computation, instruction, times) of all that runs by itself.

    What is inside a fusion, or reduces, is part of the instruction that calls
    it. Every branch of a conditional counts once.
    """
    yield from self._executed(self.entry, 1)

  def _executed(self, computation, times):
    for instruction in self.computations[computation].values():
      yield computation, instruction, times
      for kind, names in instruction.calls.items():
        inner = {
          'body': times * instruction.trips,
          'branch_computations': times,
          'calls': times if instruction.opcode == 'async-start' else 0,
          'to_apply': times if instruction.opcode == 'call' else 0,
        }.get(kind, 0)
        for name in names if inner else ():
          yield from self._executed(name, inner)

  def inside(self, instruction: Instruction) -> list[Instruction]:
    """The instructions that a fusion consists of; none for another."""
    found = []
    if instruction.opcode == 'fusion':
      for name in instruction.calls.get('calls', ()):
        for inner in self.computations[name].values():
          found += [inner, *self.inside(inner)]
    return found


def parse(text: str) -> Program:
  """Reads a program."""
  computations, entry, current = {}, '', {}
  for line in text.splitlines():
    if line[:1] not in (' ', '}', ''):
      match = _COMPUTATION.match(line)
      if match:
        current = computations.setdefault(match[2], {})
        entry = match[2] if match[1] else entry
      continue
    match = _LINE.match(line)
    if match:
      current[match[1]] = _instruction(match)
  return Program(entry, computations)


def _instruction(match):
  name, shape, opcode, tail = match.groups()
  operands, rest = _split_operands(tail)
  op_name, cycles, trips = (
    found.search(rest) for found in (_OP_NAME, _CYCLES, _TRIPS)
  )
  return Instruction(
    name=name,
    opcode=opcode,
    results=arrays(shape),
    operands=tuple(_NAMES.findall(operands)),
    op_name=op_name[1] if op_name else '',
    cycles=int(cycles[1]) if cycles else 0,
    calls={
      kind: tuple(x.strip(' %') for x in names.strip('{}').split(','))
      for kind, names in _CALLED.findall(rest.partition(' metadata=')[0])
    },
    trips=int(trips[1]) if trips else 1,
    parameter=int(operands) if opcode == 'parameter' else None,
  )


def _split_operands(tail):
  """Splits 'a, b), attributes' where the parenthesis closes."""
  depth = 1
  for match in re.finditer(r'[()]', tail):
    depth += 1 if match[0] == '(' else -1
    if not depth:
      return tail[: match.start()], tail[match.end() :]
  return tail, ''


def arrays(shape: str) -> tuple[Array, ...]:
  """The arrays of a shape's text, e.g. 'bf16[8,64]{1,0:T(8,128)(2,1)S(1)}'."""
  return tuple(_array(*match) for match in _ARRAY.findall(shape))


@functools.lru_cache(4096)
def _array(dtype, dims, order, layout):
  dims = tuple(int(x.strip('<=')) for x in dims.split(',') if x)
  tile = re.search(r'T\(([\d,]+)\)', layout)
  space = re.search(r'S\((\d+)\)', layout)
  return Array(
    dtype=dtype,
    dims=dims,
    order=tuple(int(x) for x in order.split(',') if x)
    or tuple(reversed(range(len(dims)))),
    tile=tuple(map(int, tile[1].split(','))) if tile else (),
    space=int(space[1]) if space else 0,
  )


def _bits(dtype):
  width = re.match(r'[a-z]+(\d+)', dtype)
  return _BITS[dtype] if dtype in _BITS else int(width[1]) if width else 0
