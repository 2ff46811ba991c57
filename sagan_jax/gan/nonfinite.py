"""Updates that are left out where a loss or a gradient is not finite."""

import jax
import jax.numpy as jnp

from sagan_jax.gan import state as state_lib

SKIPPED = 'skipped'


def guarded(old, new, metrics):
  """Keeps a network as it is where its update would spoil it.

  Decided on the device, from what is summed over all devices already: the same
  on all processes.

  Args:
    old: the `NetState` before the update.
    new: the `NetState` after it.
    metrics: of the update, its loss among them.

  Returns:
    (`new`, or `old` if the loss, a moment of the optimiser or a new statistic
    is not finite; the metrics with `SKIPPED`, float32 []: 1 if so, else 0).
  """
  loss = [v for k, v in metrics.items() if k.endswith('_loss')]
  # Adam's moments are not finite where a gradient, or its square, is not.
  finite = state_lib.all_finite((loss, new.opt_state, new.stats))
  # Not `where`: it is fused with the update, which then rounds otherwise.
  kept = jax.lax.cond(finite, lambda a, _: a, lambda _, b: b, new, old)
  return kept, metrics | {SKIPPED: 1 - finite.astype(jnp.float32)}
