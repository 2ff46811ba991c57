"""GANs that compile in seconds, and states of them, for the tests.

`tiny_gan` has networks of two layers, on images of 2x2 pixels; all that a
step does shows on them. `conv_gan` has the real networks, as small as they
get.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from sagan_jax.cluster import sharding
from sagan_jax.gan import build, losses
from sagan_jax.gan import state as state_lib
from sagan_jax.models import discriminator, generator, layers, norm

NUM_CLASSES = 3
LATENT_DIM = 4
TINY_SIZE = 2  # H = W of the tiny networks' images, pixels.


class TinyGenerator(nn.Module):
  """A dense layer and a conditional batch norm."""

  bn_group_size: int | None = None
  bn_decay: float = 0.9
  spectral_gradient: str | None = 'constant'

  @nn.compact
  def __call__(self, z, label, *, train):
    x = layers.SNDense(
      TINY_SIZE * TINY_SIZE * 3, gradient=self.spectral_gradient, name='dense'
    )(z)
    x = x.reshape(-1, TINY_SIZE, TINY_SIZE, 3)
    x = norm.BatchNorm(
      NUM_CLASSES, self.bn_group_size, self.bn_decay, name='norm'
    )(x, label, train=train)
    return jnp.tanh(x)


class TinyDiscriminator(nn.Module):
  """A dense layer, and a projection of its rectified output."""

  spectral_gradient: str = 'constant'

  @nn.compact
  def __call__(self, x, label):
    x = x.reshape(-1, TINY_SIZE * TINY_SIZE * 3)
    h = jax.nn.relu(layers.SNDense(6, name='hidden')(x))
    by_class = layers.SNEmbed(NUM_CLASSES, 6, name='embedding')(label)
    return layers.SNDense(1, name='dense')(h)[:, 0] + jnp.sum(by_class * h, -1)


def _adam(learning_rate):
  return optax.adam(learning_rate, b1=0.0, b2=0.999)


def tiny_gan(**fields):
  """A `Gan` of the tiny networks; `fields` are some of its own."""
  defaults = {
    'generator': TinyGenerator(),
    'discriminator': TinyDiscriminator(),
    'g_tx': _adam(1e-2),
    'd_tx': _adam(4e-2),
    'loss': losses.HINGE,
    'num_classes': NUM_CLASSES,
    'latent_dim': LATENT_DIM,
    'ema_decay': 0.9,
    'unroll': True,
  }
  return state_lib.Gan(**defaults | fields)


def conv_gan(bn_group_size=None, **fields):
  """A `Gan` of the 32-pixel networks with ch 4 and attention at 16.

  The learning rates are in the state of its optimisers, so that runs with
  different ones share a compiled step; see `fresh_state`.

  Args:
    bn_group_size: of the generator.
    **fields: of the `Gan`; or `dtype`, `resample` of both networks.
  """
  settings = {'image_size': 32, 'num_classes': 10, 'ch': 4, 'attention': (16,)}
  settings |= {k: fields.pop(k) for k in ('dtype', 'resample') if k in fields}
  adam = optax.inject_hyperparams(optax.adam, hyperparam_dtype=jnp.float32)
  return tiny_gan(
    **{
      'generator': generator.Generator(**settings, bn_group_size=bn_group_size),
      'discriminator': discriminator.Discriminator(**settings),
      'g_tx': adam(learning_rate=0.0, b1=0.0, b2=0.999),
      'd_tx': adam(learning_rate=0.0, b1=0.0, b2=0.999),
      'num_classes': 10,
      'latent_dim': 16,
      **fields,
    }
  )


@functools.cache
def conv_step(num_devices=1, batch_size=16, **fields):
  """Compiles the step of a `conv_gan`, as a run does but cheaply.

  Returns:
    (the `Gan`, its mesh, the compiled step).
  """
  mesh = sharding.make_mesh(num_devices)
  gan = conv_gan(batch_sharding=sharding.split_batch(mesh), **fields)
  state = fresh_state(gan, 32, mesh=mesh)
  return gan, mesh, build.compile_step(gan, mesh, state, batch_size, 32)


def run_conv_step(compiled, state, batches):
  """Steps through batches; returns the state and lists of metrics."""
  _, mesh, step = compiled
  split = sharding.split_batch(mesh, axis=1)
  history = []
  for batch in batches:
    state, metrics = step(state, sharding.put_batch(batch, split))
    history.append(metrics)
  history = jax.device_get(history)
  return state, {k: np.array([m[k] for m in history]) for k in history[0]}


def fresh_state(
  gan, image_size, seed=0, gate=0.0, learning_rates=None, mesh=None
):
  """A state like `init_state`'s, drawn by NumPy: nothing is compiled.

  Args:
    gan: a `Gan`.
    image_size: H = W of its images.
    seed: of parameters and vectors.
    gate: of the extra blocks.
    learning_rates: of generator and discriminator, if they are `conv_gan`'s.
    mesh: to be replicated on; None for the default device.

  Returns:
    A `GanState`.
  """
  rng = np.random.default_rng(seed)
  shapes = jax.eval_shape(lambda: state_lib.init_state(gan, image_size, 0))

  def draw(path, leaf):
    name, shape = path[-1].key, leaf.shape
    if name in ('kernel', 'embedding'):
      field = np.prod(shape[:-2], dtype=int)
      limit = np.sqrt(6 / (field * (shape[-2] + shape[-1])))
      value = rng.uniform(-limit, limit, shape)
    elif name == 'u':
      value = rng.standard_normal(shape)
    else:
      constants = {'gate': gate, 'gamma': 1, 'var': 1, 'sigma': 1}
      value = np.full(shape, constants.get(name, 0))
    return jnp.asarray(value, leaf.dtype)

  def net_state(net, tx):
    params, stats = jax.tree_util.tree_map_with_path(
      draw, (net.params, net.stats)
    )
    return state_lib.NetState(params, stats, tx.init(params))

  g = net_state(shapes.generator, gan.g_tx)
  d = net_state(shapes.discriminator, gan.d_tx)
  if learning_rates:
    for net, rate in zip((g, d), learning_rates, strict=True):
      net.opt_state.hyperparams['learning_rate'] = jnp.float32(rate)
  state = state_lib.GanState(
    step=jnp.zeros((), jnp.int32),
    rng=jax.random.key(seed),
    generator=g,
    discriminator=d,
    ema_params=jax.tree.map(jnp.copy, g.params),
    ema_batch_stats=jax.tree.map(jnp.copy, g.stats['batch_stats']),
  )
  if mesh is None:
    return state
  return jax.device_put(state, sharding.replicated(mesh))


def random_batch(gan, batch_size, image_size, seed=0):
  """Images of noise, NumPy, as `train_step` takes them."""
  rng = np.random.default_rng(seed)
  shape = (gan.n_dis, batch_size)
  images = rng.integers(0, 256, (*shape, image_size, image_size, 3))
  return {
    'image': images.astype(np.uint8),
    'label': rng.integers(gan.num_classes, size=shape).astype(np.int32),
  }
