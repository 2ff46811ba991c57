"""The step, on networks of two layers: the algorithm, by hand and by parts."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sagan_jax.gan import losses
from sagan_jax.gan import step as step_lib
from tests.support import small
from tests.support import step_by_hand as by_hand

pytestmark = pytest.mark.slow

BATCH_SIZE = 8


# For values: Adam would turn the rounding of a zero gradient into an update.
SGD = {'g_tx': optax.sgd(0.1), 'd_tx': optax.sgd(0.2)}
FROZEN = {'g_tx': optax.sgd(0.0), 'd_tx': optax.sgd(0.0)}
LINEAR = losses.Loss(
  lambda real, fake: jnp.mean(fake) - jnp.mean(real),
  lambda fake: -jnp.mean(fake),
)


@functools.cache
def _compiled(gan):
  """A compiled step; equal `Gan`s share one."""
  return jax.jit(functools.partial(step_lib.train_step, gan))


@functools.cache
def _gan(n_dis=1, num_microbatches=1, optimizers='adam', **fields):
  optimizers = {'adam': {}, 'sgd': SGD, 'frozen': FROZEN}[optimizers]
  return small.tiny_gan(
    n_dis=n_dis, num_microbatches=num_microbatches, **optimizers, **fields
  )


@functools.cache
def _stepped(step=0, **fields):
  """A GAN, a state and a batch, and what a step makes of them."""
  gan = _gan(**fields)
  state = small.fresh_state(gan, small.TINY_SIZE)
  state = dataclasses.replace(state, step=jnp.int32(step))
  batch = small.random_batch(gan, BATCH_SIZE, small.TINY_SIZE)
  return gan, state, batch, *_compiled(gan)(state, batch)


def _assert_close(tree, expected, **tolerance):
  tolerance = tolerance or {'rtol': 1e-5, 'atol': 1e-6}
  assert jax.tree.structure(tree) == jax.tree.structure(expected)
  paths = jax.tree_util.tree_leaves_with_path(tree)
  for (path, one), other in zip(paths, jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(
      one, other, err_msg=jax.tree_util.keystr(path), **tolerance
    )


def _distance(tree, other):
  return max(
    np.abs(x - y).max()
    for x, y in zip(*map(jax.tree.leaves, (tree, other)), strict=True)
  )


# With another step number, the inputs are others.
@pytest.mark.parametrize(('n_dis', 'step'), [(1, 0), (2, 5)])
def test_a_step_is_the_algorithm_of_the_paper(n_dis, step):
  gan, state, batch, new, metrics = _stepped(
    step, n_dis=n_dis, optimizers='sgd'
  )
  expected = jax.jit(functools.partial(by_hand.hinge_step, gan))(state, batch)
  for net, name in (new.discriminator, 'd'), (new.generator, 'g'):
    _assert_close((net.params, net.stats['spectral']), expected[name])
  _assert_close((metrics['d_loss'], metrics['g_loss']), expected['losses'])
  assert _distance(new.generator.params, state.generator.params) > 1e-3
  assert new.step == step + 1
  np.testing.assert_array_equal(
    jax.random.key_data(new.rng), jax.random.key_data(state.rng)
  )


@pytest.mark.parametrize('num_microbatches', [1, 2])
def test_vectors_move_once_an_update(num_microbatches):
  _, state, _, new, _ = _stepped(
    n_dis=2, num_microbatches=num_microbatches, optimizers='frozen'
  )
  for old, found, times in (
    (state.generator, new.generator, 1),
    (state.discriminator, new.discriminator, 2),
  ):
    stats = old.stats
    for _ in range(times):
      stats = {'spectral': by_hand.moved(old.params, stats)}
    _assert_close(found.stats['spectral'], stats['spectral'])
    further = by_hand.moved(old.params, stats)
    assert _distance(found.stats['spectral'], further) > 1e-3


def test_vectors_are_those_of_the_weights_before_the_update():
  _, state, _, new, _ = _stepped()
  for old, found in (
    (state.generator, new.generator),
    (state.discriminator, new.discriminator),
  ):
    _assert_close(found.stats['spectral'], by_hand.moved(old.params, old.stats))


def test_running_moments_move_once_a_step_by_the_generators_own_batch():
  gan, state, _, new, _ = _stepped(
    n_dis=2, num_microbatches=1, optimizers='frozen'
  )
  key = jax.random.fold_in(jax.random.fold_in(state.rng, 0), 2)
  z, _ = step_lib.draw_inputs(gan, key, BATCH_SIZE)
  g = state.generator
  kernel = by_hand.weight(g.params, g.stats, 'dense')
  x = (z @ kernel + g.params['dense']['bias'][None]).reshape(-1, 3)
  keep = gan.generator.bn_decay
  # The two batches of fakes for the discriminator leave no trace.
  _assert_close(
    new.generator.stats['batch_stats']['norm'],
    {'mean': (1 - keep) * x.mean(0), 'var': keep + (1 - keep) * x.var(0)},
  )


def test_draws_differ_between_updates_and_steps_and_repeat_with_the_seed():
  gan = _gan()
  rng = jax.random.key(0)
  draws = []
  for step in (0, 1):
    for update in (0, 1):
      key = jax.random.fold_in(jax.random.fold_in(rng, step), update)
      draws.append(step_lib.draw_inputs(gan, key, 64))
  again = step_lib.draw_inputs(gan, key, 64)
  for one, other in zip(draws[-1], again, strict=True):
    np.testing.assert_array_equal(one, other)
  for i, (z, label) in enumerate(draws):
    for other_z, other_label in draws[:i]:
      assert np.abs(z - other_z).max() > 0.1
      assert np.any(label != other_label)


def test_draws_are_normal_latents_and_uniform_labels():
  gan = _gan()
  z, label = step_lib.draw_inputs(gan, jax.random.key(0), 30_000)
  assert z.dtype == jnp.float32 and label.dtype == jnp.int32
  assert z.shape == (30_000, small.LATENT_DIM)
  # Five standard errors.
  np.testing.assert_allclose(z.mean(), 0, atol=5 / np.sqrt(120_000))
  np.testing.assert_allclose(z.var(), 1, atol=5 * np.sqrt(2 / 120_000))
  shares = np.bincount(label) / 30_000
  np.testing.assert_allclose(
    shares, np.full(3, 1 / 3), atol=5 * np.sqrt(2 / 9 / 30_000)
  )


def test_every_update_of_the_discriminator_has_its_own_real_batch():
  gan, state, batch, new, _ = _stepped(5, n_dis=2, optimizers='sgd')
  for part in range(2):
    image = batch['image'].copy()
    image[part] = 255 - image[part]
    other, _ = _compiled(gan)(state, {**batch, 'image': image})
    moved = _distance(other.discriminator.params, new.discriminator.params)
    assert moved > 1e-3


def test_the_average_of_the_generators_parameters():
  _, state, _, new, _ = _stepped()
  ema = jax.tree.map(
    lambda old, new: 0.9 * old + 0.1 * new,
    state.ema_params,
    new.generator.params,
  )
  _assert_close(new.ema_params, ema, rtol=1e-6, atol=1e-7)


def test_the_running_moments_are_averaged_as_the_parameters_are():
  _, state, _, new, _ = _stepped()
  moments = new.generator.stats['batch_stats']
  ema = jax.tree.map(
    lambda old, new: 0.9 * old + 0.1 * new, state.ema_batch_stats, moments
  )
  _assert_close(new.ema_batch_stats, ema, rtol=1e-6, atol=1e-7)
  params, stats = new.generator_variables('ema')
  assert params is new.ema_params
  assert stats['batch_stats'] is new.ema_batch_stats
  assert stats['spectral'] is new.generator.stats['spectral']
  params, stats = new.generator_variables('raw')
  assert params is new.generator.params and stats is new.generator.stats


def test_half_of_the_real_images_are_mirrored():
  image = np.arange(1000 * 2 * 3 * 3, dtype=np.float32).reshape(-1, 2, 3, 3)
  found = np.asarray(step_lib._flip_half(jax.random.key(0), image))
  mirrored = (found == image[:, :, ::-1]).all((1, 2, 3))
  kept = (found == image).all((1, 2, 3))
  assert (mirrored ^ kept).all()
  assert abs(mirrored.mean() - 0.5) < 5 * 0.5 / np.sqrt(1000)


def _late_average():
  """A linear GAN whose average starts late; tests share its program."""
  return _gan(ema_decay=0.9, ema_start_step=2, loss=LINEAR)


def test_only_what_the_discriminator_sees_is_mirrored():
  """Symmetric real images make the same step with and without flips."""
  gan = _late_average()
  flipped = dataclasses.replace(gan, horizontal_flip=True)
  state = small.fresh_state(gan, small.TINY_SIZE)
  batch = small.random_batch(gan, BATCH_SIZE, small.TINY_SIZE)
  plain, _ = _compiled(gan)(state, batch)
  other, _ = _compiled(flipped)(state, batch)
  assert _distance(plain.discriminator.params, other.discriminator.params) > 0
  image = np.maximum(batch['image'], batch['image'][..., ::-1, :])
  batch = {**batch, 'image': image}
  plain, _ = _compiled(gan)(state, batch)
  other, _ = _compiled(flipped)(state, batch)
  _assert_close(plain.discriminator.params, other.discriminator.params)


def test_the_average_starts_as_a_copy_and_without_decay_stays_one():
  gan = _late_average()
  state = small.fresh_state(gan, small.TINY_SIZE)
  batch = small.random_batch(gan, BATCH_SIZE, small.TINY_SIZE)
  for finished in range(4):
    before = state.ema_params
    state, metrics = _compiled(gan)(state, batch)
    params = state.generator.params
    if finished < 2:
      _assert_close(state.ema_params, params, rtol=0, atol=0)
    else:
      ema = jax.tree.map(lambda e, p: 0.9 * e + 0.1 * p, before, params)
      _assert_close(state.ema_params, ema, rtol=1e-6, atol=1e-7)
      assert _distance(state.ema_params, params) > 1e-3
    # The loss is that of the `Gan`, on the logits of the last update.
    np.testing.assert_allclose(
      metrics['d_loss'],
      metrics['d_fake_logit'] - metrics['d_real_logit'],
      rtol=1e-5,
    )


def _split(tree, num):
  """The microbatches: every num-th example."""
  return [jax.tree.map(lambda x, i=i: x[i::num], tree) for i in range(num)]


@pytest.mark.parametrize(
  ('network', 'unroll'), [('discriminator', True), ('generator', False)]
)
def test_microbatches_give_the_mean_over_their_parts(network, unroll):
  # SGD, so that the mean of the updates is the update of the mean.
  whole = _gan(optimizers='sgd')
  state = small.fresh_state(whole, small.TINY_SIZE)
  batch = small.random_batch(whole, BATCH_SIZE, small.TINY_SIZE)
  real = jax.tree.map(lambda x: x[0], batch)
  key = jax.random.key(3)
  inputs = step_lib.draw_inputs(whole, key, BATCH_SIZE)

  def update(gan, real):
    g, d = state.generator, state.discriminator
    if network == 'discriminator':
      return step_lib.update_discriminator(gan, d, g, real, key)
    return step_lib.update_generator(gan, g, d, key, len(real['label']))

  def part(i, update):
    with pytest.MonkeyPatch.context() as patch:
      patch.setattr(step_lib, 'draw_inputs', lambda *_: _split(inputs, 2)[i])
      return update(whole, _split(real, 2)[i])

  split = dataclasses.replace(whole, num_microbatches=2, unroll=unroll)
  found = jax.jit(functools.partial(update, split))(real)
  one, other = jax.jit(lambda: [part(i, update) for i in range(2)])()
  _assert_close(found, jax.tree.map(lambda x, y: (x + y) / 2, one, other))
  assert _distance(one, other) > 1e-2  # The parts do differ.


def test_two_equal_microbatches_are_one_batch():
  gan = _gan(optimizers='sgd')
  state = small.fresh_state(gan, small.TINY_SIZE)
  inputs = step_lib.draw_inputs(gan, jax.random.key(0), BATCH_SIZE)

  def run(repeats):
    with pytest.MonkeyPatch.context() as patch:
      # Every second of the repeated examples is the batch itself.
      patch.setattr(
        step_lib,
        'draw_inputs',
        lambda *_: jax.tree.map(lambda x: x.repeat(repeats, 0), inputs),
      )
      split = dataclasses.replace(gan, num_microbatches=repeats)
      return jax.jit(
        lambda: step_lib.update_generator(
          split, state.generator, state.discriminator, None, None
        )
      )()

  _assert_close(run(2), run(1))


def test_metrics():
  gan, state, batch, new, metrics = _stepped()
  key = jax.random.fold_in(jax.random.fold_in(state.rng, 0), 0)
  z, label = step_lib.draw_inputs(gan, key, BATCH_SIZE)
  d, g = state.discriminator, state.generator
  real = by_hand.discriminator(
    d.params,
    d.stats,
    batch['image'][0].astype(np.float32) / 127.5 - 1,
    batch['label'][0],
  )
  fake = by_hand.discriminator(
    d.params, d.stats, by_hand.generator(g.params, g.stats, z, label), label
  )
  expected = {
    'd_loss': losses.HINGE.discriminator(real, fake),
    'd_real_logit': real.mean(),
    'd_fake_logit': fake.mean(),
    'd_real_accuracy': np.mean(real > 0),
    'd_fake_accuracy': np.mean(fake < 0),
    'g_loss': metrics['g_loss'],  # Compared in the first test.
    'g_sigma_max': _sigma_max(new.generator),
    'd_sigma_max': _sigma_max(new.discriminator),
  }
  _assert_close(metrics, {k: expected[k] for k in metrics})
  assert metrics.keys() == expected.keys()
  assert all(x.shape == () for x in metrics.values())


def _sigma_max(net):
  return max(layer['sigma'] for layer in net.stats['spectral'].values())


def test_the_gates_are_monitored_by_the_names_of_their_blocks():
  gan = small.conv_gan()
  state = small.fresh_state(gan, 32, gate=0.25)
  metrics = step_lib.monitor(state.generator, 'g')
  assert metrics == {'g_gate_attention_16': 0.25, 'g_sigma_max': 1}
