"""Compiles parts of the networks for one v5e chip, as a program of its own.

  python -m tests.support.tpu_blocks NAME...

prints {name: the compiler's cycles} of a forward and backward pass over 16
images in bfloat16, as JSON in the last line.
"""

import functools
import json
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp

from sagan_jax.models import (
  attention,
  discriminator,
  folding,
  generator,
  layers,
  norm,
  resample,
)
from sagan_jax.planning import account, topologies

IMAGES = 16
FORM = resample.choose('auto', 'tpu')
FOLD = folding.choose(64, FORM)  # Of maps of 64 channels, of two pixels each.
conv = layers.SNConv
conv_up = functools.partial(
  conv, convolve=functools.partial(resample.upsample_conv, form=FORM)
)
conv_down = functools.partial(
  conv, convolve=functools.partial(resample.conv_downsample, form=FORM)
)


class _PlainUp(nn.Module):
  """Without spectral norm, which costs as much as such a convolution."""

  features: int

  @nn.compact
  def __call__(self, x):
    shape = (3, 3, x.shape[-1], self.features)
    kernel = self.param('kernel', nn.initializers.zeros, shape)
    return resample.upsample_conv(x, kernel, form=FORM)


class _NormRelu(nn.Module):
  @nn.compact
  def __call__(self, x):
    return nn.relu(norm.BatchNorm(fold=FOLD)(x, train=True))


# {name: (module, H = W or (H, W) of its input, channels, further arguments)}
BLOCKS = {
  'up block': (
    generator.UpBlock(128, conv=conv, conv_up=conv_up, norm=norm.BatchNorm),
    32,
    256,
    {'label': None, 'train': True},
  ),
  'up 3x3': (_PlainUp(1024), 4, 1024, {}),
  'up skip': (conv_up(64, kernel_size=1, folds=(1, FOLD)), 64, 128, {}),
  'down block': (
    discriminator.DownBlock(128, down=True, conv=conv, conv_down=conv_down),
    64,
    64,
    {},
  ),
  'down skip': (conv_down(128, kernel_size=1), 64, 64, {}),
  'norm': (_NormRelu(), (128, 128 // FOLD), 64 * FOLD, {}),
  'attention': (attention.SelfAttention(conv=conv), 32, 256, {}),
}


def cycles(name):
  """The compiler's cycles of one of `BLOCKS`: gradients of weights and maps."""
  module, size, channels, arguments = BLOCKS[name]
  size = size if isinstance(size, tuple) else (size, size)
  x = jax.ShapeDtypeStruct((IMAGES, *size, channels), jnp.bfloat16)
  variables = jax.eval_shape(
    lambda x: module.init(jax.random.key(0), x, **arguments), x
  )
  stats = {k: v for k, v in variables.items() if k != 'params'}

  def forward(params, x, stats):
    y, _ = module.apply(
      {'params': params, **stats}, x, **arguments, mutable=['batch_stats']
    )
    return y

  def both(params, x, stats, y_gradient):
    y, backward = jax.vjp(lambda p, x: forward(p, x, stats), params, x)
    return y, backward(y_gradient)

  y = jax.eval_shape(forward, variables['params'], x, stats)
  device = topologies.find('v5e:1x1').devices()[0]
  shapes = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(
      x.shape, x.dtype, sharding=jax.sharding.SingleDeviceSharding(device)
    ),
    (variables['params'], x, stats, y),
  )
  text = jax.jit(both).lower(*shapes).compile().as_text()
  return account.program(text, is_tpu=True)['cycles']


if __name__ == '__main__':
  print(json.dumps({name: cycles(name) for name in sys.argv[1:] or BLOCKS}))
