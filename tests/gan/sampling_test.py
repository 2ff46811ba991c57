"""Sampling: images by index, standing statistics, grids."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax.cluster import sharding
from sagan_jax.gan import sampling
from sagan_jax.models import spectral
from tests.support import small

pytestmark = pytest.mark.slow

LABELS = np.arange(20) % 10


@functools.cache
def _images(num_devices, batch_size):
  """Twenty images of the convolutional generator, gates open."""
  mesh = sharding.make_mesh(num_devices)
  gan = small.conv_gan(batch_sharding=sharding.split_batch(mesh))
  g = small.fresh_state(gan, 32, gate=0.5, mesh=mesh).generator
  sampler = sampling.Sampler(gan, batch_size)
  return sampler.generate(g.params, g.stats, jax.random.key(5), LABELS)


@pytest.mark.parametrize(('num_devices', 'batch_size'), [(1, 8), (8, 16)])
def test_images_do_not_depend_on_batches_or_devices(num_devices, batch_size):
  expected = _images(1, 20)
  assert expected.shape == (20, 32, 32, 3) and expected.dtype == np.uint8
  found = _images(num_devices, batch_size)
  # Rounding may carry a value over the edge of a level, here and there.
  difference = np.abs(found.astype(int) - expected)
  assert difference.max() <= 1
  assert np.mean(difference > 0) < 1e-3
  assert expected.std((1, 2, 3)).min() > 5  # Images that are not blank,
  differences = np.abs(expected[1:].astype(int) - expected[:-1])
  assert differences.mean((1, 2, 3)).min() > 5  # and not all the same.


@functools.cache
def _tiny():
  """A sampler of four tiny images per batch, and a generator to sample."""
  gan = small.tiny_gan()
  g = small.fresh_state(gan, small.TINY_SIZE).generator
  return gan, g, sampling.Sampler(gan, 4)


KEY = jax.random.key(3)


def _generate(labels, key=KEY, **kwargs):
  _, g, sampler = _tiny()
  return sampler.generate(g.params, g.stats, key, labels, **kwargs)


def _by_hand(latents, labels, *, train):
  """The tiny generator's images of latents [n, 4] and labels."""
  gan, g, _ = _tiny()
  variables = {'params': g.params, **g.stats}
  mutable = ['batch_stats'] if train else False
  images = gan.generator.apply(
    variables, jnp.stack(latents), labels, train=train, mutable=mutable
  )
  return np.asarray(sampling.to_uint8(images[0] if train else images))


def _latent(index, truncation=None):
  key = jax.random.fold_in(KEY, index)
  shape = (small.LATENT_DIM,)
  if truncation is None:
    return jax.random.normal(key, shape)
  return jax.random.truncated_normal(key, -truncation, truncation, shape)


def _assert_levels_close(found, expected):
  assert found.shape == expected.shape
  assert np.abs(found.astype(int) - expected).max() <= 1


def test_an_image_is_made_from_its_index_its_label_and_the_key():
  labels = np.arange(10) % 3
  images = _generate(labels)
  np.testing.assert_array_equal(_generate(labels, start=3, stop=9), images[3:9])
  # The tables of all classes are equal in a fresh generator: shift one.
  _, g, sampler = _tiny()
  norm = g.params['norm']
  params = {**g.params, 'norm': {**norm, 'beta': norm['beta'].at[2].set(9.0)}}
  shifted = sampler.generate(params, g.stats, KEY, labels)
  changed = np.any(shifted != images, (1, 2, 3))
  np.testing.assert_array_equal(changed, labels == 2)
  other = _generate(labels, key=jax.random.key(4))
  assert np.any(other != images, (1, 2, 3)).all()


def test_batches_say_how_many_of_their_images_count():
  _, g, sampler = _tiny()
  labels = np.arange(10) % 3
  parts = list(sampler.batches(g.params, g.stats, KEY, labels, start=1))
  assert all(images.shape == (4, 2, 2, 3) for images, _ in parts)
  assert [len(part) for _, part in parts] == [4, 4, 1]
  np.testing.assert_array_equal(
    np.concatenate([part for _, part in parts]), labels[1:]
  )


@pytest.mark.parametrize('truncation', [None, 0.5])
def test_latents_are_normal_or_cut(truncation):
  labels = np.array([2, 0, 1])
  latents = [_latent(i, truncation) for i in range(3)]
  assert (np.abs(latents).max() <= 0.5) == (truncation is not None)
  _assert_levels_close(
    _generate(labels, truncation=truncation),
    _by_hand(latents, labels, train=False),
  )


def test_a_batch_may_be_normalised_by_its_own_moments():
  labels = np.array([2, 0, 1, 1, 2])
  found = _generate(labels, batch_moments=True)
  # The second batch is filled up with images 5 to 7, labels from the front.
  for indices, wanted in (range(4), found[:4]), (range(4, 8), found[4:]):
    latents = [_latent(i) for i in indices]
    images = _by_hand(latents, labels[np.array(indices) % 5], train=True)
    _assert_levels_close(wanted, images[: len(wanted)])
  running = _generate(labels)
  assert np.abs(found.astype(int) - running).max() > 5


@pytest.mark.parametrize('group_size', [None, 2])
def test_standing_stats_are_the_moments_of_all_batches_together(group_size):
  gan = small.tiny_gan(generator=small.TinyGenerator(bn_group_size=group_size))
  _, g, _ = _tiny()
  sampler = sampling.Sampler(gan, 4)
  key = jax.random.key(1)
  stats = sampler.standing_stats(g.params, g.stats, key, 5)
  # The latents of all batches, through the dense layer before the norm.
  z = [
    jax.random.normal(
      jax.random.split(jax.random.fold_in(key, i))[0], (4, small.LATENT_DIM)
    )
    for i in range(5)
  ]
  kernel, _, _ = spectral.normalize(
    g.params['dense']['kernel'], g.stats['spectral']['dense']['u']
  )
  x = np.asarray(jnp.concatenate(z) @ kernel, np.float64).reshape(-1, 3)
  found = stats['batch_stats']['norm']
  np.testing.assert_allclose(found['mean'], x.mean(0), atol=1e-6)
  np.testing.assert_allclose(found['var'], x.var(0), rtol=1e-5)
  assert stats['spectral'] is g.stats['spectral']
  # Independent of what they were before.
  other = {**g.stats, 'batch_stats': stats['batch_stats']}
  again = sampler.standing_stats(g.params, other, key, 5)
  jax.tree.map(np.testing.assert_array_equal, again, stats)


def test_standing_stats_do_not_depend_on_the_mesh():
  _, g, _ = _tiny()
  found = []
  for num_devices in (1, 8):
    mesh = sharding.make_mesh(num_devices)
    gan = small.tiny_gan(batch_sharding=sharding.split_batch(mesh))
    params, stats = jax.device_put(
      (g.params, g.stats), sharding.replicated(mesh)
    )
    sampler = sampling.Sampler(gan, 8)
    found.append(sampler.standing_stats(params, stats, jax.random.key(1), 2))
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), *found
  )


def test_levels():
  values = jnp.array([-1.0, -0.5, 0.0, 0.999, 1.0, 1.5])
  levels = sampling.to_uint8(values)
  assert levels.dtype == jnp.uint8
  # Truncated: 63.75, 127.5, 254.8725.
  np.testing.assert_array_equal(levels, [0, 63, 127, 254, 255, 255])
