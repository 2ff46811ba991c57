"""Runs small enough for tests.

`config` shrinks `experiments/quickstart.py`. Its real networks take some half
a minute to compile, so tests of the loop around them put `Generator` and
`Discriminator` of this file in their place; what only real networks can show
is tested on the runs of `real_run.py`.
"""

import contextlib
import functools
import io

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from PIL import Image

from sagan_jax import models
from sagan_jax.config import schema
from sagan_jax.drills import poison as poison_lib
from sagan_jax.models import discriminator, generator, layers, norm
from sagan_jax.pictures import curves_png
from sagan_jax.run import trainer as trainer_lib
from sagan_jax.run.run import Run

CHANGES = {
  'batch_size': 8,
  'num_steps': 6,
  'num_devices': 1,
  'generator.ch': 4,
  'discriminator.ch': 4,
  'dataset.num_examples': 64,
  'prefetch': 2,
  'log.every_steps': 1,
  'log.tensorboard': False,
  'sample.every_steps': 100,
  'sample.images_per_class': 2,
  'sample.max_classes': 3,
  'sample.standing_batches': 2,
  'checkpoint.every_steps': 100,
  'checkpoint.keep_last': 10,
  'eval.every_steps': None,
  'eval.batch_size': 8,
  'eval.num_fakes': 16,
  'eval.num_reals': 32,
  'eval.standing_batches': 2,
  'eval.max_time_share': 1.0,  # None is skipped.
}


def config(**changes):
  """The quickstart with `CHANGES` and others: __ stands for the dot."""
  return schema.replace(_quickstart(), CHANGES, **changes)


@functools.cache
def _quickstart():
  return schema.load('quickstart')


def overrides(**changes):
  """`CHANGES` and others as arguments of a command."""
  dotted = {k.replace('__', '.'): v for k, v in changes.items()}
  return [f'--config.{k}={v}' for k, v in (CHANGES | dotted).items()]


class Generator(generator.Generator):
  """One normalised layer; the fields and collections of the real one."""

  @nn.compact
  def __call__(self, z, label, *, train):
    """Returns images that are constant over squares."""
    x = self.normalized(layers.SNDense)(4 * 4 * 3, name='dense')(z)
    x = x.reshape(-1, 4, 4, 3)
    x = norm.BatchNorm(self.num_classes, decay=self.bn_decay, name='norm')(
      x, label, train=train
    )
    factor = self.image_size // 4
    return jnp.tanh(x.repeat(factor, 1).repeat(factor, 2))


class Discriminator(discriminator.Discriminator):
  """One normalised layer on the means over squares."""

  @nn.compact
  def __call__(self, x, label):
    """Returns logits [B]."""
    factor = self.image_size // 4
    x = x.reshape(-1, 4, factor, 4, factor, 3).mean((2, 4))
    x = x.reshape(-1, 4 * 4 * 3)
    by_class = layers.SNEmbed(self.num_classes, 48, name='embedding')(label)
    return layers.SNDense(1, name='dense')(x)[:, 0] + jnp.sum(by_class * x, -1)


PoisonedDiscriminator = poison_lib.poisonable(Discriminator)


@contextlib.contextmanager
def small_networks(discriminator=Discriminator):
  """Puts the networks of this file in place of the real ones, meanwhile.

  Runs of them do not draw their curves either, which takes as long as the rest.
  """
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(
      models.NETWORKS, 'sagan', models.Architecture(Generator, discriminator)
    )
    patch.setattr(curves_png, 'draw', _blank)
    yield


def _blank(steps, drawn):
  """A picture of one pixel."""
  assert drawn and len(steps) == 3
  content = io.BytesIO()
  Image.new('L', (1, 1)).save(content, 'png')
  return content.getvalue()


def opened(workdir, allow_changes=(), **changes):
  """The `Run` of `config(**changes)`, opened for training."""
  changes = {'eval__cache_dir': str(workdir / 'cache')} | changes
  return Run.for_training(workdir, config(**changes), allow_changes)


def trainer(workdir, allow_changes=(), **changes):
  """The trainer of a run of `config(**changes)`."""
  return trainer_lib.Trainer(opened(workdir, allow_changes, **changes))


def run(workdir, allow_changes=(), **changes):
  """Trains to the end; returns the final state."""
  return trainer(workdir, allow_changes, **changes).train()


def leaves(state):
  """All leaves of a state as NumPy arrays, keys as their data."""
  return [
    jax.device_get(
      jax.random.key_data(x)
      if jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
      else x
    )
    for x in jax.tree.leaves(state)
  ]
