"""Weights to and from BigGAN-PyTorch against an oracle of its convention."""

import functools

import jax
import numpy as np
import pytest

from sagan_jax import errors
from sagan_jax.cluster import sharding
from sagan_jax.gan import build
from sagan_jax.gan import state as state_lib
from sagan_jax.weights import biggan
from tests.oracle import biggan as oracle
from tests.support import biggan as support

BATCH = 2


def _gan(c):
  return build.build_gan(c, sharding.make_mesh(1))


def _inputs(c):
  rng = np.random.default_rng(1)
  z = rng.standard_normal((BATCH, c.latent_dim)).astype(np.float32)
  y = rng.integers(c.num_classes, size=BATCH).astype(np.int32)
  x = np.tanh(rng.standard_normal((BATCH, 3, c.image_size, c.image_size)))
  return z, y, x.astype(np.float32)


def _compare(c, dicts):
  """Our networks, with what was read, against the oracle on the dicts."""
  gan, state = _gan(c), support.state(biggan.from_state_dicts(c, dicts))
  z, y, x = _inputs(c)
  generate = jax.jit(functools.partial(gan.generator.apply, train=False))
  discriminate = jax.jit(gan.discriminator.apply)
  for file, weights in ('G', 'raw'), ('G_ema', 'ema'):
    params, stats = state.generator_variables(weights)
    images = generate({'params': params, **stats}, z, y)
    expected = oracle.generator(dicts[file], z, y, eps=c.generator.bn_eps)
    assert expected.std() > 0.1
    np.testing.assert_allclose(
      images, expected.transpose(0, 2, 3, 1), atol=1e-5
    )
  logits = discriminate(
    state.discriminator.variables(), x.transpose(0, 2, 3, 1), y
  )
  expected = oracle.discriminator(dicts['D'], x, y)
  np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-4)


def _with_one_set_of_vectors(dicts):
  """As ours has it: see `biggan.ema_sigma_gap`."""
  ema = {
    name: dicts['G'][name] if name.endswith(('.u0', '.sv0')) else array
    for name, array in dicts['G_ema'].items()
  }
  return dicts | {'G_ema': ema}


def test_a_checkpoint_gives_the_images_and_logits_of_the_oracle():
  c = support.config(generator__bn_eps=1e-3)
  _compare(c, _with_one_set_of_vectors(support.checkpoint(c)))


@pytest.mark.slow
def test_the_networks_for_128_pixels_too():
  c = support.config(
    image_size=128,
    generator__attention=(64,),
    discriminator__ch=8,
    discriminator__attention=(64,),
  )
  _compare(c, _with_one_set_of_vectors(support.checkpoint(c)))


@pytest.mark.parametrize('d_attention', [(16,), (8,), (8, 16)])
def test_attention_that_ours_has_not_adds_nothing(d_attention):
  """32 pixels there have attention after all four blocks or none."""
  c = support.config(discriminator__attention=d_attention)
  dicts = support.checkpoint(c)
  assert biggan.guess_config(dicts)['discriminator.attention'] == d_attention
  state = support.state(biggan.from_state_dicts(c, dicts))
  written = biggan.to_state_dicts(c, state)['D']
  shapes = {name: array.shape for name, array in written.items()}
  assert shapes == support.shapes(c)['D']
  _, y, x = _inputs(c)
  np.testing.assert_allclose(
    oracle.discriminator(written, x, y),
    oracle.discriminator(dicts['D'], x, y),
    rtol=1e-12,
  )


def test_a_fresh_network_keeps_its_attention():
  """Its gates are zero, like those of blocks that only fill a place."""
  c = support.config(discriminator__attention=(16,))
  state = support.random_state(c)
  state.discriminator.params['attention_16']['gate'] = np.zeros(())
  dicts = biggan.to_state_dicts(c, state)
  assert biggan.guess_config(dicts)['discriminator.attention'] == (16,)


CASES = [
  {},
  {'generator__attention': ()},
  {'image_size': 128, 'discriminator__attention': (64,)},
  {'image_size': 128, 'generator__attention': (64, 8)},
  {'image_size': 256, 'num_classes': 2, 'discriminator__attention': (128, 32)},
]


@pytest.mark.parametrize('changes', CASES)
def test_a_round_trip_changes_no_bit(changes):
  """And the trees are those of our networks, the names those of theirs."""
  c = support.config(**{'discriminator__ch': 8} | changes)
  dicts = _with_one_set_of_vectors(support.checkpoint(c))
  pieces = biggan.from_state_dicts(c, dicts)
  shapes = jax.eval_shape(
    lambda: state_lib.init_state(_gan(c), c.image_size, 0)
  )
  for network in 'generator', 'discriminator':
    net = getattr(shapes, network)
    expected = {'params': net.params, 'stats': net.stats}
    _assert_shapes(pieces[network], expected)
  _assert_shapes(pieces['ema_params'], shapes.ema_params)
  _assert_shapes(pieces['ema_batch_stats'], shapes.ema_batch_stats)
  written = biggan.to_state_dicts(c, support.state(pieces))
  for file, names in support.shapes(c).items():
    assert list(written[file]) == list(names)
    for name, array in written[file].items():
      assert (array.shape, array.dtype) == (names[name], np.float32)
      if '.gain.' not in name:
        np.testing.assert_array_equal(array, dicts[file][name])
      else:  # 1 + gain rounds.
        np.testing.assert_allclose(array, dicts[file][name], atol=2e-7)
  again = biggan.from_state_dicts(c, written)
  jax.tree.map(np.testing.assert_array_equal, again, pieces)


def _assert_shapes(tree, expected):
  assert jax.tree.structure(tree) == jax.tree.structure(expected)
  for array, leaf in zip(
    jax.tree.leaves(tree), jax.tree.leaves(expected), strict=True
  ):
    assert (array.shape, array.dtype) == (leaf.shape, leaf.dtype)


def test_a_state_of_another_config_is_our_fault():
  state = support.random_state(support.config())
  with pytest.raises(ValueError, match=r'not \(5, 16\)') as caught:
    biggan.to_state_dicts(
      support.config(),
      state.replace(
        generator=support.random_state(support.config(num_classes=4)).generator
      ),
    )
  assert not isinstance(caught.value, errors.UserError)


def test_without_an_average_it_begins_as_a_copy():
  c = support.config()
  dicts = support.checkpoint(c)
  del dicts['G_ema']
  pieces = biggan.from_state_dicts(c, dicts)
  raw = pieces['generator']
  jax.tree.map(
    np.testing.assert_array_equal, pieces['ema_params'], raw['params']
  )
  jax.tree.map(
    np.testing.assert_array_equal,
    pieces['ema_batch_stats'],
    raw['stats']['batch_stats'],
  )


def test_the_average_can_be_the_exact_one():
  c = support.config()
  dicts = support.checkpoint(c)
  found = biggan.from_state_dicts(c, dicts, vectors='G_ema')
  alone = biggan.from_state_dicts(c, dicts | {'G': dicts['G_ema']})
  for name in 'ema_params', 'ema_batch_stats':
    jax.tree.map(np.testing.assert_array_equal, found[name], alone[name])
  jax.tree.map(
    np.testing.assert_array_equal,
    found['generator']['stats']['spectral'],
    alone['generator']['stats']['spectral'],
  )


@pytest.mark.parametrize(
  'moments, more',
  [
    ('running', {'num_batches_tracked': np.array(9)}),  # --cross_replica
    ('stored', {'accumulation_counter': np.zeros(1, np.float32)}),  # --mybn
  ],
)
def test_other_names_of_the_running_moments_are_known(moments, more):
  c = support.config()
  dicts = support.checkpoint(c)
  expected = biggan.from_state_dicts(c, dicts)
  for file in 'G', 'G_ema':
    for name in [name for name in dicts[file] if '.stored_' in name]:
      prefix, kind = name.split('.stored_')
      dicts[file][f'{prefix}.bn.{moments}_{kind}'] = dicts[file].pop(name)
      dicts[file] |= {f'{prefix}.bn.{k}': v for k, v in more.items()}
  found = biggan.from_state_dicts(c, dicts)
  jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_the_gap_of_averaged_vectors_is_that_of_their_sigmas():
  # The singular values 2 and 1; u is one of their vectors, or between them.
  weight = np.diag([2.0, 1.0])
  between = np.array([[1.0, 1.0]]) / np.sqrt(2)
  g = {'linear.u0': np.array([[0.0, 1.0]]), 'linear.weight': 0 * weight}
  ema = {'linear.u0': np.array([[1.0, 0.0]]), 'linear.weight': weight}
  assert biggan.ema_sigma_gap({'G': g, 'G_ema': ema}) == 0.5  # 1 for 2.
  g['linear.u0'] = between  # v is (2, 1) / sqrt(5), W v (4, 1) / sqrt(5).
  gap = biggan.ema_sigma_gap({'G': g, 'G_ema': ema})
  np.testing.assert_allclose(gap, 1 - np.sqrt(17 / 5) / 2)
