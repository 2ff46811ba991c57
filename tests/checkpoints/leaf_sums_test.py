"""Tests of the checksums of arrays."""

import jax
import jax.numpy as jnp
import numpy as np

from sagan_jax.checkpoints import leaf_sums


def _tree(seed=0):
  rng = np.random.default_rng(seed)
  return {
    'kernel': jnp.asarray(rng.standard_normal((3, 5)), jnp.float32),
    'step': jnp.int32(7),
    'key': jax.random.key(3),
    'nothing': None,
  }


def test_known_values():
  # By hand: one word of 1 at place 0, both mixers of 0 being 1.
  assert leaf_sums.of({'x': jnp.array([1], jnp.int32)}) == {
    "['x']": '0000000100000001'
  }
  # The second word counts differently, and so does its place.
  assert leaf_sums.of({'x': jnp.array([0, 1], jnp.int32)}) == {
    "['x']": '688990c15d112db9'
  }


def test_devices_and_the_host_agree():
  tree = _tree()
  words = [tree['kernel'], jax.random.key_data(tree['key']), tree['step']]
  on_device = [
    f'{a:08x}{b:08x}' for a, b in np.asarray(leaf_sums._on_device(words))
  ]
  assert list(leaf_sums.of(tree).values()) == on_device


def test_every_bit_counts():
  kernel = _tree()['kernel']
  before = leaf_sums.of(kernel)
  seen = {before['']}
  for word in range(kernel.size):
    for bit in range(32):
      bits = np.asarray(kernel).view(np.uint32).copy()
      bits.reshape(-1)[word] ^= np.uint32(1 << bit)
      seen.add(leaf_sums.of(jnp.asarray(bits.view(np.float32)))[''])
  assert len(seen) == 1 + 32 * kernel.size


def test_order_counts():
  kernel = _tree()['kernel']
  sums = {leaf_sums.of(x)[''] for x in (kernel, kernel[::-1], kernel[:, ::-1])}
  assert len(sums) == 3


def test_negative_zero_and_nan_are_seen():
  zero, minus, nan = (jnp.float32(x) for x in (0.0, -0.0, np.nan))
  assert len({leaf_sums.of(x)[''] for x in (zero, minus, nan)}) == 3
