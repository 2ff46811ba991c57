"""One training step of a GAN, as a pure function of state and batch.

Conventions, decided here once:

* A step is `n_dis` updates of the discriminator, then one of the generator,
  then the average of the generator's parameters and running moments. The
  generator sees the discriminator just updated. (The released SAGAN goes
  generator first; the sequence of updates is the same but for the first
  half-step.)
* Every update draws its own latents and labels from (rng, step, update), at
  the shape of the global batch: they do not depend on the mesh.
* Spectral norm: a network's vectors `u` move once per update of that network,
  by one power iteration, whose sigma all of its calls in that update divide by.
  Every other call normalises from the stored `u` and stores nothing.
* Batch norm: the generator always normalises by the moments of its batch, and
  its running moments move in its own update only.
* Real and fake go through the discriminator in one call: no image there
  depends on another.
* Every device takes its own images; gradients, metrics and running moments are
  means over the devices, once per update (`gradients.mean_gradients`).
* With M microbatches a batch is cut into M parts that pass in turn; gradients,
  metrics and new statistics are means over the parts. Batch norm then
  normalises within a part, the running moments move once by the mean, and the
  vectors `u` move once.
* With `skip_nonfinite` an update whose loss or gradients are not finite changes
  nothing of its network, nor of the average; the step counts all the same.
"""

import functools

import jax
import jax.numpy as jnp
import optax

from sagan_jax.gan import gradients, nonfinite
from sagan_jax.gan import state as state_lib
from sagan_jax.models import spectral


def train_step(gan, state, batch):
  """Updates both networks once (the discriminator `n_dis` times).

  Args:
    gan: a `Gan`; static.
    state: a `GanState`; to be donated.
    batch: {'image': uint8 [n_dis, B, H, W, 3], 'label': int32 [n_dis, B]}.

  Returns:
    (new state, {metric name: float32 []}) with the metrics of the last
    discriminator update; with `skip_nonfinite`, also how many updates of each
    network were left out.
  """
  rng = jax.random.fold_in(state.rng, state.step)
  g, d, d_metrics = state.generator, state.discriminator, []

  for i in range(gan.n_dis):
    real = jax.tree.map(lambda x, i=i: x[i], batch)
    key = jax.random.fold_in(rng, i)
    d, metrics = update_discriminator(gan, d, g, real, key)
    d_metrics.append(metrics)

  key = jax.random.fold_in(rng, gan.n_dis)
  g, g_metrics = update_generator(gan, g, d, key, batch['label'].shape[1])

  decay = jnp.where(state.step < gan.ema_start_step, 0.0, gan.ema_decay)
  average = jax.named_scope('optimizer')(
    functools.partial(
      optax.incremental_update,
      step_size=1 - nonfinite.decay(decay, g_metrics),
    )
  )
  return state_lib.GanState(
    step=state.step + 1,
    rng=state.rng,
    generator=g,
    discriminator=d,
    ema_params=average(g.params, state.ema_params),
    ema_batch_stats=average(g.stats['batch_stats'], state.ema_batch_stats),
  ), {
    **nonfinite.of_the_last(d_metrics),
    **g_metrics,
    **monitor(g, 'g'),
    **monitor(d, 'd'),
  }


def update_discriminator(gan, d, g, real, key):
  """Descends the discriminator's loss on a real batch and fresh fakes."""

  def loss_fn(weights, nets, part):
    g, d = nets
    fake, _ = generate(gan, g, part['z'], part['label'])
    real_image = part['real']['image'].astype(jnp.float32) / 127.5 - 1
    logits = gan.discriminator.apply(
      d.variables(*weights),
      jnp.concatenate([real_image, jax.lax.stop_gradient(fake)]),
      jnp.concatenate([part['real']['label'], part['label']]),
    )
    real_logit, fake_logit = jnp.split(logits, 2)
    loss = gan.loss.discriminator(real_logit, fake_logit)
    metrics = {
      'd_loss': loss,
      'd_real_logit': jnp.mean(real_logit),
      'd_fake_logit': jnp.mean(fake_logit),
      'd_real_accuracy': jnp.mean(real_logit > 0),
      'd_fake_accuracy': jnp.mean(fake_logit < 0),
    }
    return loss, ({}, metrics)

  z, label = draw_inputs(gan, key, real['label'].shape[0])
  if gan.horizontal_flip:
    real = {**real, 'image': _flip_half(key, real['image'])}
  parts = {'real': real, 'z': z, 'label': label}
  return _update(gan, gan.discriminator, gan.d_tx, d, loss_fn, (g, d), parts)


def update_generator(gan, g, d, key, batch_size):
  """Descends the generator's loss on fresh fakes."""

  def loss_fn(weights, nets, part):
    g, d = nets
    fake, stats = generate(gan, g, part['z'], part['label'], *weights)
    logit = gan.discriminator.apply(d.variables(), fake, part['label'])
    loss = gan.loss.generator(logit)
    return loss, (stats, {'g_loss': loss})

  z, label = draw_inputs(gan, key, batch_size)
  parts = {'z': z, 'label': label}
  return _update(gan, gan.generator, gan.g_tx, g, loss_fn, (g, d), parts)


def draw_inputs(gan, key, batch_size):
  """Draws z ~ N(0, I), float32 [B, latent_dim], and uniform labels, int32 [B]."""
  z_key, label_key = jax.random.split(key)
  z = jax.random.normal(z_key, (batch_size, gan.latent_dim))
  label = jax.random.randint(label_key, (batch_size,), 0, gan.num_classes)
  return z, label


def _flip_half(key, image):
  """Mirrors each of [B, H, W, C] with probability 1/2."""
  # `draw_inputs` splits this key; a folded one is independent of both halves.
  mirrored = jax.random.bernoulli(
    jax.random.fold_in(key, 2), 0.5, image.shape[:1]
  )
  return jnp.where(mirrored[:, None, None, None], image[:, :, ::-1], image)


def generate(gan, g, z, label, params=None, sigma=None):
  """Images [B, H, W, 3] and {'batch_stats': what running moments become}.

  Args:
    gan: a `Gan`.
    g: the `NetState` of its generator.
    z: float32 [B, latent_dim].
    label: int32 [B].
    params: as of `NetState.variables`.
    sigma: the same.
  """
  return gan.generator.apply(
    g.variables(params, sigma), z, label, train=True, mutable=['batch_stats']
  )


def monitor(net, prefix):
  """Gates of the extra blocks and the largest singular value of a network."""
  metrics = {}
  sigmas = []
  for path, leaf in jax.tree_util.tree_leaves_with_path(net.params):
    if path[-1].key == 'gate':
      metrics[f'{prefix}_gate_{path[-2].key}'] = leaf
  for path, leaf in jax.tree_util.tree_leaves_with_path(net.stats['spectral']):
    if path[-1].key == 'sigma':
      sigmas.append(leaf)
  metrics[f'{prefix}_sigma_max'] = jnp.max(jnp.stack(sigmas))
  return metrics


def _update(gan, network, tx, net, loss_fn, nets, batch):
  """One optimiser step of a network on the mean gradient over its batch."""
  sigma, by_weights, vectors = jax.vjp(
    functools.partial(
      spectral.iterate,
      spectral=net.stats['spectral'],
      gradient=network.spectral_gradient,
    ),
    net.params,
    has_aux=True,
  )
  (grads, by_sigma), stats, metrics = gradients.mean_gradients(
    gan, loss_fn, (net.params, sigma), nets, batch
  )
  with jax.named_scope('optimizer'):
    grads = jax.tree.map(jnp.add, grads, *by_weights(by_sigma))
    updates, opt_state = tx.update(grads, net.opt_state, net.params)
    params = optax.apply_updates(net.params, updates)
  new = state_lib.NetState(params, {**stats, 'spectral': vectors}, opt_state)
  if gan.skip_nonfinite:
    return nonfinite.guarded(net, new, metrics)
  return new, metrics
