"""The algorithm of the paper on the tiny networks, written out with arrays."""

import jax
import jax.numpy as jnp
import optax

from sagan_jax.gan import step as step_lib
from sagan_jax.models import spectral


def weight(net_params, net_stats, name, leaf='kernel'):
  """A normalised weight; a table counts classes as outputs."""
  kernel, u = net_params[name][leaf], net_stats['spectral'][name]['u']
  if leaf == 'embedding':
    return spectral.normalize(kernel.T, u)[0].T
  return spectral.normalize(kernel, u)[0]


def generator(params, stats, z, label):
  """Images, normalised by the moments of their batch."""
  x = z @ weight(params, stats, 'dense') + params['dense']['bias'][None]
  x = x.reshape(-1, 2, 2, 3)
  mean = x.mean((0, 1, 2), keepdims=True)
  var = jnp.square(x - mean).mean((0, 1, 2), keepdims=True)
  gamma, beta = (
    params['norm'][k][label][:, None, None] for k in ('gamma', 'beta')
  )
  return jnp.tanh((x - mean) / jnp.sqrt(var + 1e-5) * gamma + beta)


def discriminator(params, stats, x, label):
  """Logits [B]."""
  x = x.reshape(-1, 12)
  h = x @ weight(params, stats, 'hidden') + params['hidden']['bias'][None]
  h = jnp.maximum(h, 0)
  logit = h @ weight(params, stats, 'dense') + params['dense']['bias'][None]
  table = weight(params, stats, 'embedding', 'embedding')
  return logit[:, 0] + jnp.sum(table[label] * h, 1)


def moved(params, stats):
  """The vectors and sigmas after one iteration from the stored ones."""
  new = {}
  for name, layer in stats['spectral'].items():
    kernel = params[name].get('kernel')
    if kernel is None:
      kernel = params[name]['embedding'].T
    _, u, sigma = spectral.normalize(kernel, layer['u'])
    new[name] = {'u': u, 'sigma': sigma}
  return new


def hinge_step(gan, state, batch):
  """One step of the paper's algorithm: (params, vectors) of D, then of G."""
  g, d = state.generator, state.discriminator
  batch_size = batch['label'].shape[1]
  d_params, d_stats, d_opt = d.params, d.stats, d.opt_state
  rng = jax.random.fold_in(state.rng, state.step)
  for i in range(gan.n_dis):
    z, label = step_lib.draw_inputs(gan, jax.random.fold_in(rng, i), batch_size)
    real = jnp.asarray(batch['image'][i], jnp.float32) / 127.5 - 1
    fake = generator(g.params, g.stats, z, label)

    def d_loss(params, real=real, fake=fake, label=label, i=i, stats=d_stats):
      on_real = discriminator(params, stats, real, batch['label'][i])
      on_fake = discriminator(params, stats, fake, label)
      return jnp.mean(jnp.maximum(0, 1 - on_real)) + jnp.mean(
        jnp.maximum(0, 1 + on_fake)
      )

    d_value, grads = jax.value_and_grad(d_loss)(d_params)
    updates, d_opt = gan.d_tx.update(grads, d_opt)
    d_stats = {'spectral': moved(d_params, d_stats)}
    d_params = optax.apply_updates(d_params, updates)

  z, label = step_lib.draw_inputs(
    gan, jax.random.fold_in(rng, gan.n_dis), batch_size
  )

  def g_loss(params):
    fake = generator(params, g.stats, z, label)
    return -jnp.mean(discriminator(d_params, d_stats, fake, label))

  g_value, grads = jax.value_and_grad(g_loss)(g.params)
  updates, _ = gan.g_tx.update(grads, g.opt_state)
  g_params = optax.apply_updates(g.params, updates)
  return {
    'd': (d_params, d_stats['spectral']),
    'g': (g_params, moved(g.params, g.stats)),
    'losses': (d_value, g_value),
  }
