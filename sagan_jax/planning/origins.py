"""What the instructions of a compiled step are for.

The scopes that code was written in (`jax.named_scope`, names of Flax modules)
stay with what the compiler makes of it. A fusion has one origin, though the
compiler may have joined work of several: that of its convolution if it has one,
else that of the largest part. What a convolution carries along, such as the
sums that batch norm needs, is counted with it.
"""

import collections
import re

from sagan_jax.planning import hlo

CONVOLUTIONS = 'convolutions'  # And dense layers, with their copies.
ATTENTION = 'attention'
ALL_REDUCES = 'all_reduces'
ACTIVATIONS = 'activations_and_skips'
OTHER = 'losses_and_other'

# {name of a scope: origin}; the innermost counts.
_SCOPES = {
  r'resampling': 'resampling',
  r'spectral_norm': 'spectral_norm',
  r'(norm\d*)(\._moments)?|batch_norm': 'batch_norm',
  r'optimizer': 'optimizer_and_average',
  r'weights': 'weights',  # Sums of taps, casts.
  r'bias': 'biases',
  r'conv_general_dilated|dot_general': CONVOLUTIONS,
  r'(attention|residual)_\d+': ATTENTION,
}
_NETWORK = re.compile(r'(Generator|Discriminator)\b')
# Within attention these stay what they are: they are work on weights.
_OF_WEIGHTS = ('spectral_norm', 'weights')
_PRODUCTS = ('convolution', 'dot')
# What a copy without a name is traced back through.
_PASSED_ON = (
  'bitcast',
  'copy',
  'copy-done',
  'copy-start',
  'get-tuple-element',
  'reshape',
  'transpose',
)


def of_scopes(op_name: str) -> str | None:
  """The origin that the scopes of an operation tell, if they do."""
  found = [
    origin
    for name in re.split(r'[/()]', op_name)
    for pattern, origin in _SCOPES.items()
    if re.fullmatch(pattern, name)
  ]
  if not found:
    return None
  weights = [x for x in found if x in _OF_WEIGHTS]
  if weights:  # Products of power iterations too.
    return weights[-1]
  return ATTENTION if ATTENTION in found else found[-1]


def cycles(program: hlo.Program) -> dict[str, int]:
  """Sums the compiler's estimate by origin, in falling order.

  Args:
    program: of a TPU.

  Returns:
    {origin: cycles}; their sum is that of all instructions.
  """
  totals = collections.Counter()
  for computation, instruction, times in program.executed():
    if instruction.cycles:
      origin = _of(program, computation, instruction)
      totals[origin] += times * instruction.cycles
  return dict(totals.most_common())


def _of(program, computation, instruction):
  origin = _direct(program, instruction)
  if origin is None and not instruction.op_name:
    origin = _of_producer(program, computation, instruction)
  if origin is None and _NETWORK.search(instruction.op_name):
    origin = ACTIVATIONS
  return origin or OTHER


def _direct(program, instruction):
  """The origin by the scopes of an instruction and of what is inside."""
  if instruction.opcode.startswith('all-reduce'):
    return ALL_REDUCES
  parts = program.inside(instruction) or [instruction]
  products = {
    of_scopes(part.op_name) or CONVOLUTIONS
    for part in parts
    if part.opcode in _PRODUCTS
  }
  if products:
    return CONVOLUTIONS if CONVOLUTIONS in products else min(products)
  votes = collections.Counter()
  for part in [*parts, instruction]:
    origin = of_scopes(part.op_name)
    if origin:
      votes[origin] += sum(x.logical_bytes for x in part.results) or 1
  return votes.most_common(1)[0][0] if votes else None


def _of_producer(program, computation, instruction):
  """The origin of what a nameless copy copies, if that is not a parameter."""
  known = program.computations[computation]
  while instruction.operands and instruction.operands[0] in known:
    instruction = known[instruction.operands[0]]
    origin = _direct(program, instruction)
    if origin or instruction.opcode not in _PASSED_ON:
      return origin
  return None
