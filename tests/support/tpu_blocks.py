"""Compiles parts of the networks for one v5e chip, as a program of its own.

  python -m tests.support.tpu_blocks NAME...

prints {name: the compiler's cycles} of a forward and backward pass over 16
images in bfloat16, as JSON in the last line.
"""

import functools
import json
import sys

import jax
import jax.numpy as jnp

from sagan_jax.models import (
  attention,
  discriminator,
  generator,
  layers,
  norm,
  resample,
)
from sagan_jax.planning import account, topologies

IMAGES = 16
FORM = resample.choose('auto', 'tpu')
conv = functools.partial(layers.SNConv)
conv_up = functools.partial(
  layers.SNConv, convolve=functools.partial(resample.upsample_conv, form=FORM)
)
conv_down = functools.partial(
  layers.SNConv, convolve=functools.partial(resample.conv_downsample, form=FORM)
)


def _module(module, size, channels, **arguments):
  """A Flax module on maps: gradients of its parameters and of the maps."""
  x = jax.ShapeDtypeStruct((IMAGES, size, size, channels), jnp.bfloat16)
  variables = jax.eval_shape(
    lambda x: module.init(jax.random.key(0), x, **arguments), x
  )
  params = variables.pop('params')

  def apply(params, x, stats):
    y, _ = module.apply(
      {'params': params, **stats}, x, **arguments, mutable=['batch_stats']
    )
    return y

  return apply, params, x, variables


def _resampled(function, size, inputs, outputs, kernel_size):
  """A convolution that resamples: gradients of its kernel and of the maps."""
  x = jax.ShapeDtypeStruct((IMAGES, size, size, inputs), jnp.bfloat16)
  shape = (kernel_size, kernel_size, inputs, outputs)
  kernel = jax.ShapeDtypeStruct(shape, jnp.float32)
  return lambda kernel, x, _: function(x, kernel, form=FORM), kernel, x, {}


class _NormRelu(norm.BatchNorm):
  def __call__(self, x):
    return jax.nn.relu(super().__call__(x, train=True))


BLOCKS = {
  'up block': lambda: _module(
    generator.UpBlock(128, conv=conv, conv_up=conv_up, norm=norm.BatchNorm),
    32,
    256,
    label=None,
    train=True,
  ),
  'up 3x3': lambda: _resampled(resample.upsample_conv, 4, 1024, 1024, 3),
  'up skip': lambda: _resampled(resample.upsample_conv, 64, 128, 64, 1),
  'down block': lambda: _module(
    discriminator.DownBlock(128, down=True, conv=conv, conv_down=conv_down),
    64,
    64,
  ),
  'down skip': lambda: _resampled(resample.conv_downsample, 64, 64, 128, 1),
  'norm': lambda: _module(_NormRelu(), 128, 64),
  'attention': lambda: _module(attention.SelfAttention(conv=conv), 32, 256),
}


def cycles(name):
  """The compiler's cycles of one of `BLOCKS`."""
  function, params, x, stats = BLOCKS[name]()

  def both(params, x, stats, y_gradient):
    y, backward = jax.vjp(lambda p, x: function(p, x, stats), params, x)
    return y, backward(y_gradient)

  y = jax.eval_shape(function, params, x, stats)
  device = topologies.find('v5e:1x1').devices()[0]
  arguments = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(
      x.shape, x.dtype, sharding=jax.sharding.SingleDeviceSharding(device)
    ),
    (params, x, stats, y),
  )
  text = jax.jit(both).lower(*arguments).compile().as_text()
  return account.program(text, True)['cycles']


if __name__ == '__main__':
  print(json.dumps({name: cycles(name) for name in sys.argv[1:] or BLOCKS}))
