"""What programs do, read from their jaxprs and their compiled text."""

import collections
import math
import re

import jax

_KINDS = 'all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter'
_BYTES = {'f32': 4, 's32': 4, 'u32': 4, 'bf16': 2, 'pred': 1}


def equations(jaxpr):
  """Yields every equation of a jaxpr, inner ones too."""
  for equation in jaxpr.eqns:
    yield equation
    for value in jax.tree.leaves(
      list(equation.params.values()),
      is_leaf=lambda x: hasattr(x, 'eqns') or hasattr(x, 'jaxpr'),
    ):
      inner = getattr(value, 'jaxpr', value)
      if hasattr(inner, 'eqns'):
        yield from equations(inner)


def sums(jaxpr):
  """What devices add up, also in loops: {(dtype, number of items): how often}."""
  return collections.Counter(
    (str(x.aval.dtype), x.aval.size)
    for equation in equations(jaxpr)
    if equation.primitive.name == 'psum'
    for x in equation.invars
  )


def collectives(text):
  """The kinds of collective operations in a compiled program."""
  return {kind for _, kind in _collectives(text)}


def collective_bytes(text):
  """The bytes that the collective operations of a compiled program return."""
  arrays = re.findall(
    r'(\w+)\[([\d,]*)\]', ' '.join(result for result, _ in _collectives(text))
  )
  return sum(
    _BYTES[dtype] * math.prod(int(n) for n in shape.split(',') if n)
    for dtype, shape in arrays
  )


def _collectives(text):
  return re.findall(rf'= (\S.*?) ({_KINDS})(?:-start)?\(', text)
