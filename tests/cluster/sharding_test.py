"""Tests of sums over devices."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from sagan_jax.cluster import sharding

NUM_STEPS = 60
SHAPES = {'number': (), 'bias': (1,), 'kernel': (37,)}
OPTIMIZER = optax.adam(1e-3, b1=0.0, b2=0.9)


def _on_devices(fn, num_devices):
  return jax.shard_map(
    fn,
    mesh=sharding.make_mesh(num_devices),
    in_specs=PartitionSpec(sharding.DATA_AXIS),
    out_specs=PartitionSpec(),
    check_vma=False,
  )


def _compiled(fn, *arguments, num_processes):
  """What one of so many processes compiles, with the devices of this one."""
  lowered = jax.jit(fn).lower
  with mock.patch.object(jax, 'process_count', lambda: num_processes):
    return lowered(*arguments).compile()


def _trained(num_devices, dtype, num_processes):
  """Parameters and second moments after each step, by random gradients.

  What Adam computes is what XLA fuses with a mean where it can.
  """
  rng = np.random.default_rng(0)

  def draw(*num):
    return {
      name: rng.normal(size=(*num, *shape)).astype(np.float32)
      for name, shape in SHAPES.items()
    }

  def mean(tree):
    alone = jax.tree.map(lambda x: x[0], tree)
    return sharding.mean_over_shares(alone, dtype)

  mean_over_devices = _on_devices(mean, num_devices)

  def step(params, state, grads):
    grads = mean_over_devices(grads)
    update, state = OPTIMIZER.update(grads, state, params)
    return optax.apply_updates(params, update), state

  params, found = draw(), []
  state = OPTIMIZER.init(params)
  arguments = params, state, draw(num_devices)
  compiled = _compiled(step, *arguments, num_processes=num_processes)
  for _ in range(NUM_STEPS):
    params, state = jax.device_get(compiled(params, state, draw(num_devices)))
    found.append((params, optax.tree_utils.tree_get(state, 'nu')))
  return found


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize('num_devices', [2, 4])
def test_bits_do_not_depend_on_the_number_of_processes(num_devices, dtype):
  one, two = (_trained(num_devices, dtype, n) for n in (1, 2))
  jax.tree.map(np.testing.assert_array_equal, two, one)


def test_a_sum_of_negative_zeros_is_one():
  x = jnp.full(2, -0.0)
  add = _on_devices(lambda x: sharding.sum_over_neighbors(x, 2), 2)
  total = _compiled(add, x, num_processes=2)(x)
  assert np.signbit(total).all()
