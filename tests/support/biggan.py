"""Configs and random checkpoints of both sides, for tests of the exchange."""

import numpy as np

from sagan_jax.gan import state as state_lib
from sagan_jax.weights import biggan
from tests.oracle import biggan as oracle
from tests.support import tiny


def config(**changes):
  """A small config whose networks BigGAN-PyTorch has too."""
  defaults = {
    'image_size': 32,
    'num_classes': 5,
    'latent_dim': 12,
    'generator__ch': 4,
    'generator__attention': (16,),
    'discriminator__ch': 4,
    'discriminator__attention': (),
  }
  return tiny.config(**defaults | changes)


def shapes(c):
  """The names and shapes of a checkpoint: {'G', 'G_ema', 'D': {name: tuple}}."""
  d_attention = c.discriminator.attention
  if c.image_size == 32 and d_attention:
    d_attention = (16,)  # That is after all four blocks.
  d_ch = c.discriminator.ch // (2 if c.image_size == 32 else 1)
  g = oracle.generator_shapes(
    c.image_size,
    c.generator.ch,
    c.num_classes,
    c.latent_dim,
    c.generator.attention,
  )
  d = oracle.discriminator_shapes(
    c.image_size, d_ch, c.num_classes, d_attention
  )
  return {'G': g, 'G_ema': g, 'D': d}


def checkpoint(c, seed=0):
  """Random arrays of `shapes`; attention that ours has not adds nothing."""
  rng = np.random.default_rng(seed)
  dicts = {
    file: oracle.random_arrays(names, rng) for file, names in shapes(c).items()
  }
  widths, num_down, _ = oracle.DISCRIMINATORS[c.image_size]
  for i in range(len(widths)):
    gate = f'blocks.{i}.1.gamma'
    ours = i < num_down and (
      c.image_size // 2 ** (i + 1) in c.discriminator.attention
    )
    if gate in dicts['D'] and not ours:
      dicts['D'][gate] = np.zeros((), np.float32)
  return dicts


def state(pieces, step=7):
  """A `GanState` of what `biggan.from_state_dicts` returned."""
  g, d = (
    state_lib.NetState(**pieces[network], opt_state=())
    for network in ('generator', 'discriminator')
  )
  return state_lib.GanState(
    step=np.int32(step),
    rng=None,
    generator=g,
    discriminator=d,
    ema_params=pieces['ema_params'],
    ema_batch_stats=pieces['ema_batch_stats'],
  )


def random_state(c, seed=0):
  """A `GanState` of random arrays."""
  return state(biggan.from_state_dicts(c, checkpoint(c, seed)))
