"""Images in chunks: the same bytes for any number of images and devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax.cluster import sharding
from sagan_jax.gan import chunks, sampling
from sagan_jax.models import spectral
from tests.support import small

KEY = jax.random.key(3)


@functools.cache
def _conv(num_devices):
  """A sampler of the convolutional generator, its variables, its statistics."""
  mesh = sharding.make_mesh(num_devices)
  gan = small.conv_gan(bn_group_size=4)
  g = small.fresh_state(gan, 32, gate=0.5, mesh=mesh).generator
  # Tables of classes that differ, as after training.
  rng = np.random.default_rng(1)
  params = jax.tree_util.tree_map_with_path(
    lambda path, x: x + _noise(rng, x.shape) * (path[-1].key != 'kernel'),
    g.params,
  )
  sampler = chunks.ChunkSampler(gan, mesh)
  stats = sampler.standing_stats(params, g.stats, jax.random.key(0), 2)
  return sampler, params, stats


def _noise(rng, shape):
  return (0.3 * rng.standard_normal(shape)).astype(np.float32)


def _all(num_devices, count):
  sampler, params, stats = _conv(num_devices)
  z = sampler.latents(KEY, np.arange(count))
  made = list(sampler.images(params, stats, z, np.arange(count) % 10))
  assert all(finite for _, finite in made)
  return np.concatenate([images for images, _ in made])


@pytest.mark.slow
def test_images_are_the_same_bytes_for_any_count_and_devices():
  expected = _all(1, 150)
  assert expected.shape == (150, 32, 32, 3) and expected.dtype == np.uint8
  assert expected.std((1, 2, 3)).min() > 5  # Images that are not blank.
  for num_devices, count in (1, 1), (1, 37), (8, 150), (8, 20):
    found = _all(num_devices, count)
    np.testing.assert_array_equal(found, expected[:count])


@pytest.mark.slow
def test_standing_stats_are_the_same_bits_on_any_mesh():
  stats = [_conv(n)[2]['batch_stats'] for n in (1, 8)]
  jax.tree.map(np.testing.assert_array_equal, *stats)


@functools.cache
def _tiny(num_devices=1, bn_group_size=None):
  mesh = sharding.make_mesh(num_devices)
  gan = small.tiny_gan(
    generator=small.TinyGenerator(bn_group_size=bn_group_size)
  )
  g = small.fresh_state(gan, small.TINY_SIZE, mesh=mesh).generator
  return gan, g, chunks.ChunkSampler(gan, mesh)


@pytest.mark.parametrize('truncation', [None, 0.5])
def test_latents_are_those_of_the_scores(truncation):
  _, _, sampler = _tiny()
  index = np.array([5, 2**32 - 1, *range(600)], np.uint32)
  z = sampler.latents(KEY, index, truncation)
  assert z.dtype == np.float32 and z.shape == (602, small.LATENT_DIM)
  expected = sampling.latents(KEY, index, small.LATENT_DIM, truncation)
  np.testing.assert_allclose(z, expected, rtol=1e-6)
  np.testing.assert_array_equal(z[0], z[7])
  assert (np.abs(z).max() <= 0.5) == (truncation is not None)


def test_images_are_those_of_the_generator():
  gan, g, sampler = _tiny(num_devices=8)
  labels = np.arange(200) % 3
  z = sampler.latents(KEY, np.arange(200))
  made = [x for x, _ in sampler.images(g.params, g.stats, z, labels)]
  assert [len(x) for x in made] == [128, 72]
  images = gan.generator.apply(
    {'params': g.params, **g.stats}, z, labels, train=False
  )
  expected = np.asarray(sampling.to_uint8(images)).astype(int)
  assert np.abs(np.concatenate(made) - expected).max() <= 1


def test_a_batch_is_a_group_of_the_training():
  gan, g, sampler = _tiny(bn_group_size=6)
  labels = np.arange(10) % 3
  z = sampler.latents(KEY, np.arange(10))
  made = sampler.images(g.params, g.stats, z, labels, batch_moments=True)
  made = np.concatenate([x for x, _ in made])
  # The second group is filled up from the front.
  for index, count in (np.arange(6), 6), (np.array([6, 7, 8, 9, 0, 1]), 4):
    images, _ = gan.generator.apply(
      {'params': g.params, **g.stats},
      z[index],
      labels[index],
      train=True,
      mutable=['batch_stats'],
    )
    expected = np.asarray(sampling.to_uint8(images)).astype(int)[:count]
    assert np.abs(made[index[:count]] - expected).max() <= 1


def test_what_is_not_finite_is_told():
  _, g, sampler = _tiny()
  z = sampler.latents(KEY, np.arange(20))
  z[17] = np.nan
  made = sampler.images(g.params, g.stats, z, np.zeros(20, np.int32))
  assert [finite for _, finite in made] == [True, False]


def test_standing_stats_are_the_moments_of_all_chunks_together():
  _, g, sampler = _tiny(bn_group_size=2)
  key = jax.random.key(1)
  stats = sampler.standing_stats(g.params, g.stats, key, 3)
  # Through the dense layer before the norm.
  z = sampler.latents(jax.random.split(key)[0], np.arange(3 * 64))
  kernel, _, _ = spectral.normalize(
    g.params['dense']['kernel'], g.stats['spectral']['dense']['u']
  )
  x = np.asarray(jnp.asarray(z) @ kernel, np.float64).reshape(-1, 3)
  found = stats['batch_stats']['norm']
  np.testing.assert_allclose(found['mean'], x.mean(0), atol=1e-6)
  np.testing.assert_allclose(found['var'], x.var(0), rtol=1e-5)
  assert stats['spectral'] is g.stats['spectral']
