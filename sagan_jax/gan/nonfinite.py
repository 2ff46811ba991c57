"""Updates that are left out where a loss or a gradient is not finite."""

import jax
import jax.numpy as jnp

from sagan_jax.gan import state as state_lib

_SKIPPED = '_skipped'  # The metric's name, after that of the network.


def guarded(old, new, metrics):
  """Keeps a network as it is where its update would spoil it.

  Decided on the device, from what is summed over all devices already: the same
  on all processes.

  Args:
    old: the `NetState` before the update.
    new: the `NetState` after it.
    metrics: of the update, its loss among them, such as 'd_loss'.

  Returns:
    (`new`, or `old` if the loss, a moment of the optimiser or a new statistic
    is not finite; the metrics with, say, 'd_skipped', float32 []: 1 if so, else
    0).
  """
  (loss,) = (name for name in metrics if name.endswith('_loss'))
  # Adam's moments are not finite where a gradient, or its square, is not.
  finite = state_lib.all_finite((metrics[loss], new.opt_state, new.stats))
  # Not `where`: it is fused with the update, which then rounds otherwise.
  kept = jax.lax.cond(finite, lambda a, _: a, lambda _, b: b, new, old)
  skipped = loss.removesuffix('_loss') + _SKIPPED
  return kept, metrics | {skipped: 1 - finite.astype(jnp.float32)}


def of_the_last(updates):
  """The metrics of the last of several updates, and how many were left out.

  Args:
    updates: the metrics of each update, in turn.
  """
  return {
    name: sum(m[name] for m in updates) if name.endswith(_SKIPPED) else value
    for name, value in updates[-1].items()
  }


def decay(value, metrics):
  """The decay of an average of a network: 1 where its update was left out.

  Args:
    value: float32 [], the decay otherwise.
    metrics: of the one update.
  """
  for name in metrics:
    if name.endswith(_SKIPPED):
      return jnp.where(metrics[name] > 0, 1.0, value)
  return value
