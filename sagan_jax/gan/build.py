"""What a config stands for: the networks, the compiled step, its batches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from sagan_jax import models
from sagan_jax.cluster import sharding
from sagan_jax.data import retry
from sagan_jax.gan import losses, optimizers
from sagan_jax.gan import state as state_lib
from sagan_jax.gan import step as step_lib
from sagan_jax.models import resample


def build_gan(c, mesh):
  """Makes the `Gan` of a `Config` whose `num_classes` is known."""
  architecture = models.NETWORKS[c.architecture]
  shared = {
    'image_size': c.image_size,
    'num_classes': c.num_classes,
    'attention_formula': c.attention_formula,
    'resample': resample.choose(c.resample, mesh.devices.flat[0].platform),
    'spectral_gradient': c.spectral_gradient,
    'initializer': c.initializer,
    'dtype': jnp.dtype(c.dtype),
  }
  return state_lib.Gan(
    generator=architecture.generator(**shared, **vars(c.generator)),
    discriminator=architecture.discriminator(**shared, **vars(c.discriminator)),
    g_tx=optimizers.adam(**vars(c.optim.generator)),
    d_tx=optimizers.adam(**vars(c.optim.discriminator)),
    loss=losses.LOSSES[c.loss],
    num_classes=c.num_classes,
    latent_dim=c.latent_dim,
    n_dis=c.n_dis,
    num_microbatches=c.num_microbatches,
    horizontal_flip=c.horizontal_flip,
    ema_decay=c.ema.decay,
    ema_start_step=c.ema.start_step,
    skip_nonfinite=c.on_nonfinite == 'skip',
    batch_sharding=sharding.split_batch(mesh),
    gradient_dtype=jnp.dtype(c.gradient_dtype or c.dtype),
    unroll=mesh.devices.flat[0].platform == 'cpu',
  )


def state_shapes(gan, mesh, image_size):
  """The `GanState` of a `Gan` as ShapeDtypeStructs, replicated on the mesh."""
  whole = sharding.replicated(mesh)
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole),
    jax.eval_shape(functools.partial(state_lib.init_state, gan, image_size), 0),
  )


def compile_step(gan, mesh, state, batch_size, image_size):
  """Compiles what `lower_step` returns: a function of (state, batch)."""
  return lower_step(gan, mesh, state, batch_size, image_size).compile()


def lower_step(gan, mesh, state, batch_size, image_size):
  """Lowers `train_step` ahead of time; the state is donated.

  Args:
    gan: a `Gan`.
    mesh: that it runs on.
    state: a `GanState`, or its shapes.
    batch_size: images per update, over all devices.
    image_size: H = W.

  Returns:
    A `jax.stages.Lowered`.
  """
  whole = sharding.replicated(mesh)
  batch = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(
      (gan.n_dis, batch_size, *x.shape),
      x.dtype,
      sharding=sharding.split_batch(mesh, axis=1),
    ),
    {
      'image': jax.ShapeDtypeStruct((image_size, image_size, 3), jnp.uint8),
      'label': jax.ShapeDtypeStruct((), jnp.int32),
    },
  )
  step = jax.jit(
    functools.partial(step_lib.train_step, gan),
    donate_argnums=0,
    keep_unused=True,  # What is only written is to be overwritten in place.
    out_shardings=(whole, whole),
  )
  return step.lower(state, batch)


def step_bytes(step_fn):
  """Bytes per device that a compiled step needs, with its state and batch."""
  memory = step_fn.memory_analysis()
  return (
    memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    + memory.temp_size_in_bytes
    - memory.alias_size_in_bytes
  )


def host_batches(source, c, start_step, say=print):
  """Yields the batches of steps start_step, ... as this process holds them.

  Args:
    source: a `data.Source`.
    c: a `Config`.
    start_step: finished steps.
    say: told when the source fails for a moment.

  Returns:
    An iterator of {'image': uint8 [n_dis, b, H, W, 3], 'label': int32
    [n_dis, b]}, b being this process's part of the batch.
  """

  def make(start):
    return source.batches(
      seed=c.seed,
      batch_size=c.batch_size,
      start=start,
      process_index=jax.process_index(),
      process_count=jax.process_count(),
    )

  batches = retry.retrying(make, source.name, start_step * c.n_dis, say)
  while True:
    group = [next(batches) for _ in range(c.n_dis)]
    yield jax.tree.map(lambda *x: np.stack(x), *group)
