"""Shapes of the SAGAN parameters and spectral vectors, for the oracle.

Derived from the layer lists of the released code (self-attention-gan
generator.py, discriminator.py) and, for 32 pixels, the ResNets of Miyato et
al. (arXiv:1802.05957), never from the package under test. A tree of shapes
is a nested dict whose leaves are tuples; see oracle.py for the names.
"""

import numpy as np

START_SIZE = 4  # the generator's dense layer feeds a 4 x 4 map

# Widths in units of ch; generator block i takes entry i - 1 to entry i.
GENERATOR_WIDTHS = {
  32: (4, 4, 4, 4),
  64: (16, 8, 4, 2, 1),
  128: (16, 16, 8, 4, 2, 1),
  256: (16, 16, 8, 8, 4, 2, 1),
}

# Per block: (output width in units of ch, whether it halves the image).
DISCRIMINATOR_BLOCKS = {
  32: ((2, True), (2, True), (2, False), (2, False)),
  64: ((1, True), (2, True), (4, True), (8, True), (16, False)),
  128: ((1, True), (2, True), (4, True), (8, True), (16, True), (16, False)),
  256: (
    *((1, True), (2, True), (4, True), (8, True)),
    *((8, True), (16, True), (16, False)),
  ),
}


def _conv(size, inputs, outputs):
  return {'kernel': (size, size, inputs, outputs), 'bias': (outputs,)}


def _norm(num_classes, channels):
  shape = (channels,) if num_classes == 1 else (num_classes, channels)
  return {'gamma': shape, 'beta': shape}


def _gated_blocks(size, channels, attention, residual, formula):
  """The attention and residual blocks after a map of this size."""
  narrow = channels // 8
  value = {'code': channels // 2, 'paper': narrow}[formula]
  blocks = {}
  if size in attention:
    blocks[f'attention_{size}'] = {
      'query': {'kernel': (1, 1, channels, narrow)},
      'key': {'kernel': (1, 1, channels, narrow)},
      'value': {'kernel': (1, 1, channels, value)},
      'out': {'kernel': (1, 1, value, channels)},
      'gate': (),
    }
  if size in residual:
    blocks[f'residual_{size}'] = {
      'conv1': _conv(3, channels, narrow),
      'conv2': _conv(3, narrow, channels),
      'gate': (),
    }
  return blocks


def generator_shapes(
  *,
  image_size,
  ch,
  num_classes,
  z_dim=128,
  attention=(),
  residual=(),
  formula='code',
):
  """The generator's parameter shapes, a nested dict of tuples."""
  widths = [ch * width for width in GENERATOR_WIDTHS[image_size]]
  dense = START_SIZE * START_SIZE * widths[0]
  shapes = {'dense': {'kernel': (z_dim, dense), 'bias': (dense,)}}
  size = START_SIZE
  for index, (inputs, outputs) in enumerate(
    zip(widths[:-1], widths[1:], strict=True), start=1
  ):
    shapes[f'block{index}'] = {
      'norm1': _norm(num_classes, inputs),
      'conv1': _conv(3, inputs, outputs),
      'norm2': _norm(num_classes, outputs),
      'conv2': _conv(3, outputs, outputs),
      'skip': _conv(1, inputs, outputs),
    }
    size *= 2
    shapes |= _gated_blocks(size, outputs, attention, residual, formula)
  shapes['norm'] = _norm(1, widths[-1])
  shapes['conv_out'] = _conv(3, widths[-1], 3)
  return shapes


def discriminator_shapes(
  *,
  image_size,
  ch,
  num_classes,
  attention=(),
  residual=(),
  formula='code',
):
  """The discriminator's parameter shapes, a nested dict of tuples."""
  shapes = {}
  size, inputs = image_size, 3
  for index, (width, downsample) in enumerate(
    DISCRIMINATOR_BLOCKS[image_size], start=1
  ):
    outputs = ch * width
    block = {
      'conv1': _conv(3, inputs, outputs),
      'conv2': _conv(3, outputs, outputs),
    }
    if downsample or inputs != outputs:
      block['skip'] = _conv(1, inputs, outputs)
    shapes[f'block{index}'] = block
    if downsample:
      size //= 2
      shapes |= _gated_blocks(size, outputs, attention, residual, formula)
    inputs = outputs
  shapes['dense'] = {'kernel': (inputs, 1), 'bias': (1,)}
  if num_classes > 1:
    shapes['embedding'] = {'embedding': (num_classes, inputs)}
  return shapes


def count(shapes):
  """The number of scalars in a tree of shapes."""
  if isinstance(shapes, tuple):
    return int(np.prod(shapes, dtype=np.int64))
  return sum(count(branch) for branch in shapes.values())


def random_params(shapes, rng):
  """Standard-normal values for a tree of shapes; rng is a NumPy Generator.

  Every leaf is non-zero, gates and biases too, so that nothing drops out of
  a comparison.
  """
  if isinstance(shapes, tuple):
    return rng.standard_normal(shapes)
  return {name: random_params(branch, rng) for name, branch in shapes.items()}


def random_spectral(shapes, rng):
  """Spectral state for a tree of parameter shapes: normal u, sigma 1."""
  if 'kernel' in shapes:
    return {'u': rng.standard_normal(shapes['kernel'][-1]), 'sigma': 1.0}
  if 'embedding' in shapes and isinstance(shapes['embedding'], tuple):
    return {'u': rng.standard_normal(shapes['embedding'][0]), 'sigma': 1.0}
  branches = {
    name: random_spectral(branch, rng)
    for name, branch in shapes.items()
    if isinstance(branch, dict)
  }
  return {name: branch for name, branch in branches.items() if branch}
