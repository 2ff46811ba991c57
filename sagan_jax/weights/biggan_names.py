"""What BigGAN-PyTorch calls the arrays of a SAGAN, and how it lays them out.

From its layers.py and BigGAN.py at commit 9845943. Images there are NCHW,
kernels OIHW, the weights of linear layers [outputs, inputs]; `u0` and `sv0` are
the vector and the singular value of a layer's spectral normalisation.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sagan_jax import models

_ATTENTION = {'theta': 'query', 'phi': 'key', 'g': 'value', 'o': 'out'}
_STATISTICS = {'stored_mean': 'mean', 'stored_var': 'var'}


def _same(x):
  return x


class Entry(NamedTuple):
  """An array of a state dict and the leaf that it corresponds to."""

  name: str  # In the state dict.
  shape: tuple[int, ...]  # There.
  # Of the leaf, from the name of its collection; () where ours has none.
  path: tuple[str, ...]
  export: Callable[[np.ndarray], np.ndarray] = _same  # A leaf, to an array.
  load: Callable[[np.ndarray], np.ndarray] = _same  # The way back.


def generator(c):
  """The entries of the generator of a config, in the order of PyTorch."""
  network = models.NETWORKS[c.architecture].generator
  stem, *stages = network.stages(c.image_size, c.generator.ch)
  inputs = stem.channels
  entries = _stem(stem, c.latent_dim)
  for i, stage in enumerate(stages):
    theirs, ours = f'blocks.{i}.0', f'block{i + 1}'
    width = stage.channels
    entries += _block(theirs, ours, inputs, width, skip=True)
    for n, channels in (1, inputs), (2, width):
      shape = (c.num_classes, channels)
      entries += _statistics(f'{theirs}.bn{n}', (ours, f'norm{n}'), channels)
      entries += _class_tables(f'{theirs}.bn{n}', (ours, f'norm{n}'), shape)
    if stage.resolution in c.generator.attention:
      entries += _attention(i, stage)
    inputs = width
  entries += [
    Entry('output_layer.0.gain', (inputs,), ('params', 'norm', 'gamma')),
    Entry('output_layer.0.bias', (inputs,), ('params', 'norm', 'beta')),
  ]
  entries += _statistics('output_layer.0', ('norm',), inputs)
  entries += _conv('output_layer.2', ('conv_out',), 3, inputs, 3)
  return entries


def discriminator(c):
  """The entries of the discriminator of a config, in the order of PyTorch."""
  network = models.NETWORKS[c.architecture].discriminator
  inputs, entries = 3, []
  for i, stage in enumerate(network.stages(c.image_size, c.discriminator.ch)):
    width = stage.channels
    skip = stage.resampled or inputs != width
    entries += _block(f'blocks.{i}.0', f'block{i + 1}', inputs, width, skip)
    if stage.resampled and stage.resolution in c.discriminator.attention:
      entries += _attention(i, stage)
    elif _label(c.image_size, stage) in discriminator_attention(c):
      entries += _idle(_attention(i, stage))
    inputs = width
  entries += [
    Entry('linear.weight', (1, inputs), _param('dense', 'kernel'), _t, _t),
    Entry('linear.bias', (1,), _param('dense', 'bias')),
    *_power('linear', ('dense',), 1),
    Entry(
      'embed.weight',
      (c.num_classes, inputs),
      _param('embedding', 'embedding'),
    ),
    *_power('embed', ('embedding',), c.num_classes),
  ]
  return entries


def discriminator_attention(c):
  """The resolutions of --D_attn with which the one of a config is made."""
  network = models.NETWORKS[c.architecture].discriminator
  return {
    _label(c.image_size, stage)
    for stage in network.stages(c.image_size, c.discriminator.ch)
    if stage.resolution in c.discriminator.attention
  }


def _label(image_size, stage):
  """The resolution by which --D_attn means the map of a stage.

  Its table for 32 pixels calls all four maps 16.
  """
  return 16 if image_size == 32 else stage.resolution


def _idle(entries):
  """An attention block that adds nothing: a gate of zero, kernels of norm 1."""

  def constant(entry):
    value = np.zeros(entry.shape, np.float32)
    if entry.name.endswith('.weight'):
      value[0, 0] = 1
    elif entry.shape:
      value[:] = 1
    return value

  return [
    Entry(e.name, e.shape, (), lambda _, e=e: constant(e)) for e in entries
  ]


def _param(*path):
  return ('params', *path)


def _t(matrix):
  return matrix.T


def _power(name, path, outputs, reorder=_same, restore=_same):
  """The state of the power iteration of a layer."""
  return [
    Entry(
      f'{name}.u0',
      (1, outputs),
      ('spectral', *path, 'u'),
      lambda u: reorder(u)[None],
      lambda u: restore(u[0]),
    ),
    Entry(
      f'{name}.sv0',
      (1,),
      ('spectral', *path, 'sigma'),
      lambda sigma: sigma.reshape(1),
      lambda sigma: sigma.reshape(()),
    ),
  ]


def _conv(name, path, size, inputs, outputs, bias=True):
  weight = Entry(
    f'{name}.weight',
    (outputs, inputs, size, size),
    _param(*path, 'kernel'),
    lambda kernel: kernel.transpose(3, 2, 0, 1),
    lambda kernel: kernel.transpose(2, 3, 1, 0),
  )
  biases = [Entry(f'{name}.bias', (outputs,), _param(*path, 'bias'))]
  return [weight, *(biases if bias else ()), *_power(name, path, outputs)]


def _stem(stem, latent_dim):
  """The linear layer, whose outputs are a map of C, H, W there."""
  size, channels = stem.resolution, stem.channels
  outputs = size * size * channels

  def to_chw(x):  # [..., outputs]
    x = x.reshape(*x.shape[:-1], size, size, channels)
    return np.moveaxis(x, -1, -3).reshape(*x.shape[:-3], outputs)

  def to_hwc(x):
    x = x.reshape(*x.shape[:-1], channels, size, size)
    return np.moveaxis(x, -3, -1).reshape(*x.shape[:-3], outputs)

  return [
    Entry(
      'linear.weight',
      (outputs, latent_dim),
      _param('dense', 'kernel'),
      lambda kernel: to_chw(kernel).T,
      lambda weight: to_hwc(weight.T),
    ),
    Entry('linear.bias', (outputs,), _param('dense', 'bias'), to_chw, to_hwc),
    *_power('linear', ('dense',), outputs, to_chw, to_hwc),
  ]


def _block(theirs, ours, inputs, outputs, skip):
  """The convolutions of a residual block."""
  entries = _conv(f'{theirs}.conv1', (ours, 'conv1'), 3, inputs, outputs)
  entries += _conv(f'{theirs}.conv2', (ours, 'conv2'), 3, outputs, outputs)
  if skip:
    entries += _conv(f'{theirs}.conv_sc', (ours, 'skip'), 1, inputs, outputs)
  return entries


def _statistics(name, path, channels):
  return [
    Entry(f'{name}.{theirs}', (channels,), ('batch_stats', *path, ours))
    for theirs, ours in _STATISTICS.items()
  ]


def _class_tables(name, path, shape):
  """Of a conditional batch norm, which scales by 1 + gain there."""
  one = np.float32(1)
  return [
    Entry(
      f'{name}.gain.weight',
      shape,
      _param(*path, 'gamma'),
      lambda gamma: gamma - one,
      lambda gain: one + gain,
    ),
    Entry(f'{name}.bias.weight', shape, _param(*path, 'beta')),
  ]


def _attention(i, stage):
  """The attention of the map after block i, of formula 'code'."""
  ours, theirs = f'attention_{stage.resolution}', f'blocks.{i}.1'
  c = stage.channels
  widths = {
    'theta': (c, c // 8),
    'phi': (c, c // 8),
    'g': (c, c // 2),
    'o': (c // 2, c),
  }
  entries = [Entry(f'{theirs}.gamma', (), _param(ours, 'gate'))]
  for name, (inputs, outputs) in widths.items():
    path = (ours, _ATTENTION[name])
    entries += _conv(f'{theirs}.{name}', path, 1, inputs, outputs, bias=False)
  return entries
