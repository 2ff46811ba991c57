"""Networks whose attention maps are known, behind the fields of real ones.

By the resolution of the block: at 8 a query looks at its own cell (the identity
by the formula 'paper'), at 16 everywhere alike, at 32 all look at one cell.
"""

import contextlib

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax import models
from tests.support import tiny

KEY = 5  # That all queries look at, at 32.
GATE = 0.25  # Also the share: input and ungated output have equal norms.


def rows(size, keys):
  """The rows of the block at a resolution, float32 [N, K]."""
  place = np.arange(size) * keys // size
  own = (place[:, None] * keys + place).reshape(-1)
  chosen = {8: own, 32: np.full(size**2, KEY)}
  if size == 16:
    return np.full((size**2, keys**2), keys**-2.0, np.float32)
  return np.eye(keys**2, dtype=np.float32)[chosen[size]]


class Block(nn.Module):
  """Sows what a `SelfAttention` would, for known rows; computes nothing."""

  size: int
  formula: str
  gate: float

  @nn.compact
  def __call__(self, x):
    keys = self.size // (2 if self.formula == 'code' else 1)
    known = jnp.asarray(rows(self.size, keys))
    gate = self.param('gate', nn.initializers.constant(self.gate), ())
    ones = jnp.ones((len(x), self.size, self.size, 4))
    self.sow('intermediates', 'attention_map', known[None].repeat(len(x), 0))
    self.sow('intermediates', 'input', ones)
    self.sow('intermediates', 'update', gate * ones)
    return x + 0 * gate


class Generator(tiny.Generator):
  """One layer, and the blocks."""

  gate: float = GATE

  @nn.compact
  def __call__(self, z, label, *, train):
    """Returns images that are constant over squares."""
    x = super().__call__(z, label, train=train)
    for size in self.attention:
      name = f'attention_{size}'
      x = Block(size, self.attention_formula, self.gate, name=name)(x)
    return x


class Discriminator(tiny.Discriminator):
  """One layer behind the blocks, whose gates are at zero."""

  @nn.compact
  def __call__(self, x, label):
    """Returns logits [B]."""
    for size in self.attention:
      name = f'attention_{size}'
      x = Block(size, self.attention_formula, 0.0, name=name)(x)
    return super().__call__(x, label)


CHANGES = {
  'generator__attention': (8, 16, 32),
  'discriminator__attention': (8, 16),
  'generator__ch': 8,
  'discriminator__ch': 8,
}


@contextlib.contextmanager
def networks():
  """Puts the networks of this file in place of the real ones, meanwhile."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(
      models.NETWORKS, 'sagan', models.Architecture(Generator, Discriminator)
    )
    yield


def saved(workdir, steps=(2, 4), **changes):
  """Makes a run directory with fresh states as checkpoints of some steps."""
  run = tiny.opened(workdir, **CHANGES | changes)
  run.record()
  state = run.init()
  for step in steps:
    run.checkpointer.save(state.replace(step=state.step * 0 + step))
  run.checkpointer.close()
  return run
