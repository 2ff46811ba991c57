"""Adam with and without a mean gradient to remember."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sagan_jax.gan import optimizers

SETTINGS = {'learning_rate': 1e-3, 'b2': 0.9, 'eps': 1e-8}


@pytest.mark.parametrize('b1', [0.0, 0.5])
def test_updates_and_states_are_those_of_optax(b1):
  ours, theirs = (
    make(b1=b1, **SETTINGS) for make in (optimizers.adam, optax.adam)
  )
  rng = np.random.default_rng(0)
  params = {'w': jnp.ones((3, 4)), 'b': jnp.zeros(4)}
  states = ours.init(params), theirs.init(params)
  for _ in range(3):
    grads = jax.tree.map(
      lambda x: rng.standard_normal(x.shape).astype(np.float32), params
    )
    found = ours.update(grads, states[0], params)
    expected = theirs.update(grads, states[1], params)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    states = found[1], expected[1]


@pytest.mark.parametrize(('b1', 'is_read'), [(0.0, False), (0.5, True)])
def test_the_mean_gradient_is_read_only_where_it_counts(b1, is_read):
  tx = optimizers.adam(b1=b1, **SETTINGS)
  state = tx.init(jnp.ones(3))
  state = (state[0]._replace(mu=jnp.full(3, jnp.nan)), *state[1:])
  updates, _ = tx.update(jnp.ones(3), state)
  assert np.isnan(updates).all() == is_read
