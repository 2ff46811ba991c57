"""The state of training, and the static description of what is trained."""

import dataclasses
import hashlib
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from sagan_jax.gan import losses

PyTree = Any


@dataclasses.dataclass(frozen=True)
class Gan:
  """Everything about a GAN that is not an array; `jit` closes over it."""

  generator: nn.Module
  discriminator: nn.Module
  g_tx: optax.GradientTransformation
  d_tx: optax.GradientTransformation
  loss: losses.Loss
  num_classes: int
  latent_dim: int = 128
  n_dis: int = 1  # Discriminator updates per step, each on its own batch.
  num_microbatches: int = 1  # Parts that a batch is split into, in turn.
  horizontal_flip: bool = False  # Mirror half of the real images at random.
  ema_decay: float = 0.9999  # Of the generator's parameters, per step.
  ema_start_step: int = 0  # Until here the average is a copy.
  skip_nonfinite: bool = False  # Leave out updates that are not finite.
  # Of the batch axis, which devices share; None on one device.
  batch_sharding: jax.sharding.NamedSharding | None = None
  # Of gradients while they are summed over devices.
  gradient_dtype: jnp.dtype = jnp.float32
  # Unroll the loop over microbatches: convolutions inside a loop are some
  # fifty times slower on CPU (jax-ml/jax issue 12868).
  unroll: bool = False


@struct.dataclass
class NetState:
  """One network."""

  params: PyTree  # float32
  stats: PyTree  # {'spectral': ..., 'batch_stats': ...}; float32
  opt_state: optax.OptState

  def variables(self, params=None, sigma=None):
    """The argument of `Module.apply`.

    Args:
      params: in place of its own.
      sigma: by which to divide the weights, as `spectral.iterate` returns it;
        None computes it anew in every call.
    """
    variables = {
      'params': self.params if params is None else params,
      **self.stats,
    }
    return variables if sigma is None else variables | {'spectral': sigma}


@struct.dataclass
class GanState:
  """All that a run needs to go on, besides its config.

  To add a field, declare it here, last, and say in `FRESH` how it begins;
  `step.train_step` then moves it. A checkpoint that is older than the field
  still loads, with the field as `FRESH` makes it from the others.
  """

  step: jax.Array  # int32 [], finished steps
  rng: jax.Array  # key [], constant; every step folds in its number
  generator: NetState
  discriminator: NetState
  ema_params: PyTree  # of the generator
  ema_batch_stats: PyTree  # of the generator: its running moments, averaged

  def generator_variables(self, weights):
    """Parameters and statistics that belong together.

    Args:
      weights: 'raw' or 'ema'. The average has the moments that were averaged
        with it; the power iterations go on from the raw vectors, since the two
        sets of weights are close.

    Returns:
      (params, stats) of the generator.
    """
    g = self.generator
    if weights == 'raw':
      return g.params, g.stats
    return self.ema_params, {**g.stats, 'batch_stats': self.ema_batch_stats}

  def weights(self):
    """What `from_weights` takes: the state without what only training needs.

    Returns:
      {'generator': variables, 'discriminator': variables, 'ema': {'params':
      ..., 'batch_stats': ...}}, all float32.
    """
    return {
      'generator': self.generator.variables(),
      'discriminator': self.discriminator.variables(),
      'ema': {'params': self.ema_params, 'batch_stats': self.ema_batch_stats},
    }


# How fields begin that checkpoints may lack: functions of a state whose earlier
# fields are there. The results are copies: the state is donated, and no buffer
# may be donated twice.
FRESH = {
  'ema_batch_stats': lambda state: jax.tree.map(
    jnp.copy, state.generator.stats['batch_stats']
  ),
}


def with_fresh(state, names):
  """Sets fields of a `GanState` to what they begin with.

  Args:
    state: whose fields `names` are None.
    names: keys of `FRESH`.

  Returns:
    A `GanState`.
  """
  for name, make in FRESH.items():
    if name in names:
      state = state.replace(**{name: make(state)})
  return state


def init_state(gan, image_size, seed):
  """Draws a fresh state. Pure: jit it with shardings to be born on a mesh.

  Args:
    gan: a `Gan`.
    image_size: H = W of the images.
    seed: int32 [].

  Returns:
    A `GanState` at step 0.
  """
  g_key, d_key, rng = _keys(seed)
  label = jnp.zeros((1,), jnp.int32)
  latent = jnp.zeros((1, gan.latent_dim))
  image = jnp.zeros((1, image_size, image_size, 3))

  def net_state(variables, tx):
    params = variables.pop('params')
    return NetState(params, variables, tx.init(params))

  generator = net_state(
    gan.generator.init(g_key, latent, label, train=False), gan.g_tx
  )
  discriminator = net_state(
    gan.discriminator.init(d_key, image, label), gan.d_tx
  )
  state = GanState(
    step=jnp.zeros((), jnp.int32),
    rng=rng,
    generator=generator,
    discriminator=discriminator,
    ema_params=jax.tree.map(jnp.copy, generator.params),
    **dict.fromkeys(FRESH),
  )
  return with_fresh(state, FRESH)


def from_weights(gan, weights, seed, step):
  """Makes a state of given weights; the moments of the optimisers are zero.

  Args:
    gan: a `Gan`.
    weights: as `GanState.weights` returns them.
    seed: int32 []; latents and labels to come are those of a run with it.
    step: int32 [], finished steps.

  Returns:
    A `GanState`.
  """

  def net_state(variables, tx):
    params = variables['params']
    stats = {k: v for k, v in variables.items() if k != 'params'}
    return NetState(params, stats, tx.init(params))

  _, _, rng = _keys(seed)
  return GanState(
    step=jnp.asarray(step, jnp.int32),
    rng=rng,
    generator=net_state(weights['generator'], gan.g_tx),
    discriminator=net_state(weights['discriminator'], gan.d_tx),
    ema_params=weights['ema']['params'],
    ema_batch_stats=weights['ema']['batch_stats'],
  )


def _keys(seed):
  """Of the generator's weights, the discriminator's, and of all steps."""
  return jax.random.split(jax.random.key(seed), 3)


def num_params(params):
  """The number of trainable scalars in a tree."""
  return sum(x.size for x in jax.tree.leaves(params))


@jax.jit
def all_finite(tree):
  """Whether no float of a tree is NaN or infinite, bool []."""
  floats = [
    leaf
    for leaf in jax.tree.leaves(tree)
    if jnp.issubdtype(leaf.dtype, jnp.floating)
  ]
  return jnp.stack([jnp.isfinite(leaf).all() for leaf in floats]).all()


def digest(state):
  """SHA-256 over paths, dtypes, shapes and bytes of all leaves of a tree."""
  sha = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_leaves_with_path(state):
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      leaf = jax.random.key_data(leaf)
    leaf = np.asarray(leaf)
    sha.update(
      f'{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}'.encode()
    )
    sha.update(leaf.tobytes())
  return sha.hexdigest()
