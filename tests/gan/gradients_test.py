"""Gradients of a batch that devices and microbatches share."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax.cluster import sharding
from sagan_jax.gan import gradients
from sagan_jax.gan import step as step_lib
from sagan_jax.models import moments
from tests.support import programs, small

BATCH_SIZE = 16


def _gan(num_devices, **fields):
  mesh = sharding.make_mesh(num_devices)
  return small.tiny_gan(batch_sharding=sharding.split_batch(mesh), **fields)


def _loss(params, nets, part):
  """A mean over examples whose gradient by `w` is theirs, scaled."""
  loss = jnp.mean(part['x'] @ params['w']) * nets['scale']
  moments = {'mean': part['x'].mean(0)}
  return loss, ({'batch_stats': moments, 'spectral': nets}, {'loss': loss})


@pytest.mark.parametrize('num_microbatches', [1, 2])
@pytest.mark.parametrize('num_devices', [1, 2, 8])
@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_the_mean_is_that_of_the_batch(dtype, num_devices, num_microbatches):
  gan = _gan(
    num_devices, gradient_dtype=dtype, num_microbatches=num_microbatches
  )
  rng = np.random.default_rng(0)
  x = rng.standard_normal((BATCH_SIZE, 5)).astype(np.float32)
  params, nets = {'w': jnp.ones(5)}, {'scale': jnp.float32(3)}
  grads, stats, metrics = jax.jit(
    functools.partial(gradients.mean_gradients, gan, _loss)
  )(params, nets, {'x': x})

  mean = x.mean(0)
  np.testing.assert_allclose(stats['batch_stats']['mean'], mean, atol=1e-6)
  assert stats['spectral']['scale'] == 3
  np.testing.assert_allclose(metrics['loss'], 3 * mean.sum(), rtol=1e-5)
  assert grads['w'].dtype == jnp.float32
  np.testing.assert_allclose(
    grads['w'], 3 * mean, atol=0.02 if dtype == jnp.bfloat16 else 1e-6
  )
  # What one device has is not rounded; what is sent is.
  exact = np.allclose(grads['w'], 3 * mean, atol=1e-6, rtol=0)
  assert exact == (num_devices == 1 or dtype == jnp.float32)


@functools.cache
def _step(**fields):
  """The jaxpr of a tiny GAN's step on 8 devices, and its state."""
  gan = _gan(8, **fields)
  state = jax.eval_shape(lambda: small.fresh_state(gan, small.TINY_SIZE))
  batch = small.random_batch(gan, BATCH_SIZE, small.TINY_SIZE)
  step = functools.partial(step_lib.train_step, gan)
  return jax.make_jaxpr(step)(state, batch).jaxpr, state


@pytest.mark.parametrize('num_microbatches', [1, 2])
def test_a_gradient_is_sent_once_as_large_as_its_parameter(num_microbatches):
  jaxpr, state = _step(
    gradient_dtype=jnp.bfloat16, num_microbatches=num_microbatches
  )
  nets = state.generator.params, state.discriminator.params
  assert {
    size: times
    for (dtype, size), times in programs.sums(jaxpr).items()
    if dtype == 'bfloat16'
  } == collections.Counter(leaf.size for leaf in jax.tree.leaves(nets))


def test_microbatches_send_only_the_moments_that_they_need():
  jaxpr, _ = _step(num_microbatches=2)
  loops = [
    programs.sums(equation.params['jaxpr'].jaxpr)
    for equation in programs.equations(jaxpr)
    if equation.primitive.name == 'scan'
  ]
  # In updating D, images are generated; in updating G, gradients pass too.
  assert [loop.total() for loop in loops] == [1, 2]
  channels = 3
  assert {size for loop in loops for _, size in loop} == {
    moments.NUM_SUMMANDS * channels,
    2 * channels,
  }
