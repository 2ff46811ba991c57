"""The optimiser of both networks."""

import jax
import jax.numpy as jnp
import optax


def adam(*, b1, **settings):
  """Adam, which does not read the mean gradient where it forgets it at once.

  With b1 = 0, as the paper has it, that is one of six reads and writes of
  arrays of the size of the network. The state is that of `optax.adam`.

  Args:
    b1: decay of the mean gradient.
    **settings: of `optax.adam`.

  Returns:
    An `optax.GradientTransformation`.
  """
  tx = optax.adam(b1=b1, **settings)
  if b1:
    return tx

  def update(updates, state, params=None):
    forgotten = jax.tree.map(jnp.zeros_like, state[0].mu)
    state = (state[0]._replace(mu=forgotten), *state[1:])
    return tx.update(updates, state, params)

  return optax.GradientTransformation(tx.init, update)
