"""Rematerialised blocks: the same numbers from less memory."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax.cluster import sharding
from tests.support import programs, small

pytestmark = pytest.mark.slow

BATCH_SIZE = 8
RESOLUTIONS = {'generator': (8, 16, 32), 'discriminator': (8, 16)}


def _case(name, dtype=jnp.float32, **settings):
  """(params, inputs) -> (loss, new statistics) of a network, and arguments."""
  gan = small.conv_gan(dtype=dtype)
  state = getattr(small.fresh_state(gan, 32, gate=0.5), name)
  net = getattr(gan, name).clone(**settings)
  rng = np.random.default_rng(0)
  label = rng.integers(10, size=BATCH_SIZE).astype(np.int32)
  if name == 'generator':
    x, kwargs = rng.standard_normal((BATCH_SIZE, 16)), {'train': True}
  else:
    x, kwargs = rng.uniform(-1, 1, (BATCH_SIZE, 32, 32, 3)), {}

  def loss_fn(params, inputs):
    y, new = net.apply(
      state.variables(params), *inputs, **kwargs, mutable=list(state.stats)
    )
    return jnp.mean(jnp.sin(y)), new

  return loss_fn, state.params, (x.astype(np.float32), label)


def _kept(name, **settings):
  """The maps that the backward pass is given: {dtype: bytes}."""
  loss_fn, params, inputs = _case(name, **settings)
  # The function that `jax.vjp` returns is a tree of what it keeps.
  backward = jax.eval_shape(
    lambda params: jax.vjp(lambda p: loss_fn(p, inputs)[0], params)[1], params
  )
  kept = collections.Counter()
  for leaf in jax.tree.leaves(backward):
    if leaf.shape[:1] == (BATCH_SIZE,) and leaf.ndim > 2:
      kept[str(leaf.dtype)] += leaf.size * leaf.dtype.itemsize
  return kept


@pytest.mark.slow
@pytest.mark.parametrize('name', RESOLUTIONS)
def test_loss_gradient_and_statistics_stay(name):
  results = []
  for remat in ((), RESOLUTIONS[name]):
    loss_fn, params, inputs = _case(name, remat=remat)
    results.append(
      jax.jit(jax.value_and_grad(loss_fn, has_aux=True))(params, inputs)
    )
  paths = jax.tree_util.tree_leaves_with_path(results[0])
  for (path, one), other in zip(
    paths, jax.tree.leaves(results[1]), strict=True
  ):
    np.testing.assert_allclose(
      other, one, rtol=1e-5, atol=1e-6, err_msg=jax.tree_util.keystr(path)
    )


@pytest.mark.parametrize('name', RESOLUTIONS)
def test_every_resolution_saves_memory(name):
  resolutions = RESOLUTIONS[name]
  kept = [
    sum(_kept(name, remat=resolutions[i:]).values())
    for i in range(len(resolutions), -1, -1)
  ]
  assert kept == sorted(kept, reverse=True)
  assert len(set(kept)) == len(kept)
  assert kept[-1] < 0.65 * kept[0]


@pytest.mark.parametrize('name', RESOLUTIONS)
def test_maps_are_kept_in_the_dtype_of_activations(name):
  # Attention keeps a float32 map, and what its gate multiplies.
  kept = _kept(name, dtype=jnp.bfloat16, attention=())
  # Only of the images, for their tanh and the loss.
  images = 4 * BATCH_SIZE * 32 * 32 * 3
  assert kept['float32'] <= (3 * images if name == 'generator' else 0)
  assert kept['bfloat16'] > 2 * images


def test_devices_do_not_exchange_moments_again():
  sums = []
  for remat in ((), RESOLUTIONS['generator']):
    loss_fn, params, inputs = _case('generator', remat=remat)
    program = sharding.on_every_device(
      lambda share, params, loss_fn=loss_fn: sharding.mean_over_shares(
        jax.grad(loss_fn, has_aux=True)(params, share)[0]
      ),
      sharding.make_mesh(),
    )
    sums.append(programs.sums(jax.make_jaxpr(program)(inputs, params).jaxpr))
  assert sums[0] == sums[1]
  # Of seven layers, forward and backward.
  assert sums[0].total() == 2 * 7 + len(jax.tree.leaves(params))
