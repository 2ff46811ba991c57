"""The initial state, its digest, and what a network's state applies."""

import dataclasses
import functools
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax.gan import state as state_lib
from tests.support import small


@functools.cache
def _init(seed=0):
  return state_lib.init_state(small.tiny_gan(), small.TINY_SIZE, seed)


def _assert_equal(tree, expected):
  assert jax.tree.structure(tree) == jax.tree.structure(expected)
  jax.tree.map(np.testing.assert_array_equal, tree, expected)


def test_a_fresh_state():
  gan, state = small.tiny_gan(), _init()
  assert state.step == 0 and state.step.dtype == jnp.int32
  for net, tx in (
    (state.generator, gan.g_tx),
    (state.discriminator, gan.d_tx),
  ):
    _assert_equal(net.opt_state, tx.init(net.params))
    assert all(layer['sigma'] == 1 for layer in net.stats['spectral'].values())
  norm = state.generator.stats['batch_stats']['norm']
  _assert_equal(norm, {'mean': np.zeros(3), 'var': np.ones(3)})
  assert list(state.discriminator.stats) == ['spectral']
  _assert_equal(state.ema_params, state.generator.params)
  _assert_equal(state.ema_batch_stats, state.generator.stats['batch_stats'])


def test_fresh_fields_come_from_the_others():
  state = _init()
  bare = dataclasses.replace(state, **dict.fromkeys(state_lib.FRESH))
  again = state_lib.with_fresh(bare, state_lib.FRESH)
  assert state_lib.digest(again) == state_lib.digest(state)
  assert state_lib.with_fresh(bare, []) is bare
  fields = {field.name for field in dataclasses.fields(state)}
  assert state_lib.FRESH.keys() < fields


def test_no_buffer_is_in_the_state_twice():
  # Or else it could not be donated.
  leaves = [x for x in jax.tree.leaves(_init()) if x.ndim]
  pointers = [x.unsafe_buffer_pointer() for x in leaves if x.dtype == 'float32']
  assert len(set(pointers)) == len(pointers)


def test_all_that_is_learnt_is_float32():
  state = _init()
  for tree in (
    state.ema_params,
    state.ema_batch_stats,
    *(
      part
      for net in (state.generator, state.discriminator)
      for part in (net.params, net.stats)
    ),
  ):
    assert {x.dtype for x in jax.tree.leaves(tree)} == {jnp.dtype('float32')}


def test_the_seed_decides_everything():
  one, again, other = _init(0), _init.__wrapped__(0), _init(1)
  assert state_lib.digest(one) == state_lib.digest(again)
  for name in ('generator', 'discriminator'):
    nets = [getattr(state, name) for state in (one, other)]
    kernels = [net.params['dense']['kernel'] for net in nets]
    vectors = [net.stats['spectral']['dense']['u'] for net in nets]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-2
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-2
  keys = [jax.random.key_data(state.rng) for state in (one, other)]
  assert np.any(keys[0] != keys[1])


def test_a_compiled_state_is_that_of_an_uncompiled_one():
  gan = small.tiny_gan()
  init = jax.jit(functools.partial(state_lib.init_state, gan, small.TINY_SIZE))
  state = init(0)
  for one, other in zip(*map(jax.tree.leaves, (state, _init())), strict=True):
    if jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
      one, other = jax.random.key_data(one), jax.random.key_data(other)
    # Fused or not, a uniform number is scaled with another rounding.
    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


def test_variables_are_the_networks_own_unless_told():
  net = _init().generator
  own = net.variables()
  assert own.keys() == {'params', 'spectral', 'batch_stats'}
  assert own['params'] is net.params
  params = {'dense': 1}
  assert net.variables(params) == {**net.stats, 'params': params}


def test_number_of_parameters():
  # 4 x 12 + 12, and two tables of 3 x 3.
  assert state_lib.num_params(_init().generator.params) == 60 + 18


CHANGES = {
  'value': lambda s: dataclasses.replace(s, step=s.step + 1),
  'key': lambda s: dataclasses.replace(s, rng=jax.random.key(99)),
  'dtype': lambda s: dataclasses.replace(s, step=s.step.astype(jnp.uint32)),
  'shape': lambda s: dataclasses.replace(s, step=s.step[None]),
  'path': lambda s: dataclasses.replace(s, ema_params={'a': s.ema_params}),
  'last bit': lambda s: dataclasses.replace(
    s,
    ema_params=jax.tree.map(lambda x: jnp.nextafter(x, 9.0), s.ema_params),
  ),
}


@pytest.mark.parametrize('change', CHANGES)
def test_the_digest_sees(change):
  state = _init()
  assert state_lib.digest(CHANGES[change](state)) != state_lib.digest(state)


def test_the_digest_is_of_what_it_says():
  expected = hashlib.sha256(
    b"['x'] int32 (2,)" + bytes([1, 0, 0, 0, 2, 0, 0, 0])
  )
  digest = state_lib.digest({'x': np.array([1, 2], np.int32)})
  assert digest == expected.hexdigest()
