"""Gradients of a mean over a batch that devices and microbatches share."""

import jax
import jax.numpy as jnp

from sagan_jax.cluster import sharding


def mean_gradients(gan, loss_fn, params, nets, batch):
  """Differentiates a loss by the parameters of a network.

  Every device takes its own images through the networks, one microbatch after
  another, and only then shares its gradients with the others: one message per
  parameter, in `gan.gradient_dtype`.

  Args:
    gan: a `Gan`.
    loss_fn: (params, nets, part of the batch) -> (loss, (stats, metrics)); the
      loss, the running moments and the metrics are means over the part.
    params: a tree of float32; gradients of scalars are sent in float32.
    nets: a tree of arrays that all examples meet.
    batch: a tree of arrays [B, ...].

  Returns:
    (gradients, stats, metrics), float32: means over the batch.
  """

  def on_share(params, nets, share):
    def on_part(part):
      grad_fn = jax.value_and_grad(loss_fn, has_aux=True)
      (_, (stats, metrics)), grads = grad_fn(params, nets, part)
      return grads, stats, metrics

    return _mean_over_microbatches(gan, on_part, share)

  def on_device(share, params, nets):
    grads, *others = on_share(params, nets, share)
    grads = jax.tree.map(
      lambda x: sharding.mean_over_shares(
        x, gan.gradient_dtype if x.ndim else None
      ),
      grads,
    )
    return grads, *sharding.mean_over_shares(others)

  mesh = gan.batch_sharding and gan.batch_sharding.mesh
  if mesh is None or mesh.size == 1:
    return on_share(params, nets, batch)
  return sharding.on_every_device(on_device, mesh)(batch, params, nets)


def _mean_over_microbatches(gan, fn, batch):
  """Mean of fn over the microbatches of a batch of arrays [B, ...]."""
  num = gan.num_microbatches
  if num == 1:
    return fn(batch)

  # Every num-th example: the parts are the same however many devices there are.
  parts = jax.tree.map(
    lambda x: jnp.moveaxis(x.reshape(-1, num, *x.shape[1:]), 1, 0), batch
  )
  first = jax.tree.map(lambda x: x[0], parts)
  zeros = jax.tree.map(
    lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(fn, first)
  )

  def add(carry, part):
    count, mean = carry
    count += 1
    mean = jax.tree.map(lambda m, x: m + (x - m) / count, mean, fn(part))
    return (count, mean), None

  (_, mean), _ = jax.lax.scan(
    add, (jnp.zeros(()), zeros), parts, unroll=num if gan.unroll else 1
  )
  return mean
