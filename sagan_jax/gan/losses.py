"""Adversarial losses on logits; each a pair for discriminator and generator.

All take float32 logits [B] and return a float32 scalar, a mean over B.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Loss(NamedTuple):
  """What each network minimises."""

  discriminator: Callable[[jax.Array, jax.Array], jax.Array]  # (real, fake)
  generator: Callable[[jax.Array], jax.Array]  # (fake)


HINGE = Loss(  # Zhang et al., section 3.
  lambda real, fake: (
    jnp.mean(jax.nn.relu(1 - real)) + jnp.mean(jax.nn.relu(1 + fake))
  ),
  lambda fake: -jnp.mean(fake),
)

LOGISTIC = Loss(  # Non-saturating (arXiv:1406.2661, section 3).
  lambda real, fake: (
    jnp.mean(jax.nn.softplus(-real)) + jnp.mean(jax.nn.softplus(fake))
  ),
  lambda fake: jnp.mean(jax.nn.softplus(-fake)),
)

LEAST_SQUARES = Loss(  # arXiv:1611.04076, equation 9: targets 1, 0 and 1.
  lambda real, fake: (
    0.5 * jnp.mean(jnp.square(real - 1)) + 0.5 * jnp.mean(jnp.square(fake))
  ),
  lambda fake: 0.5 * jnp.mean(jnp.square(fake - 1)),
)

LOSSES = {
  'hinge': HINGE,
  'logistic': LOGISTIC,
  'least_squares': LEAST_SQUARES,
}
