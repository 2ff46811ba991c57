"""Generators as StableHLO programs."""

import subprocess
import sys

import jax
import numpy as np
import pytest

from sagan_jax.gan import sampling
from sagan_jax.weights import stablehlo
from tests.support import commands, small

SNIPPET = """
import sys
import numpy as np
latents, labels = np.load('latents.npy'), np.load('labels.npy')
from jax import export
generator = export.deserialize(open('generator.stablehlo', 'rb').read())
images = generator.call(latents, labels)
np.save('images.npy', images)
assert 'sagan_jax' not in sys.modules
"""


@pytest.fixture(scope='module')
def made():
  """(a `Gan` of the real networks, parameters and statistics)."""
  gan = small.conv_gan()
  state = small.fresh_state(gan, 32, gate=0.7)
  return gan, *state.generator_variables('raw')


def _live(made, latents, labels):
  gan, params, stats = made
  return jax.jit(
    lambda variables, z, y: gan.generator.apply(variables, z, y, train=False)
  )({'params': params, **stats}, latents, labels)


def _inputs(n):
  keys = jax.random.split(jax.random.key(1), n)
  latents = jax.vmap(lambda k: jax.random.normal(k, (16,)))(keys)
  return np.asarray(latents), np.arange(n, dtype=np.int32) % 10


def test_the_batch_is_free_and_all_platforms_are_in_it(made):
  exported = jax.export.deserialize(stablehlo.program(*made))
  assert exported.platforms == ('cpu', 'cuda', 'rocm', 'tpu')
  assert exported.nr_devices == 1
  (image,) = exported.out_avals
  assert str(image.shape[0]) == 'n' and image.shape[1:] == (32, 32, 3)
  assert image.dtype == np.uint8


@pytest.mark.slow
def test_its_images_are_those_of_the_network_and_need_none_of_us(
  made, tmp_path
):
  latents, labels = _inputs(5)
  content = stablehlo.program(*made, images='float32')
  live = np.asarray(_live(made, latents, labels))
  again = jax.export.deserialize(content).call(latents, labels)
  # The same bits, as the compiler does not fold its weights by itself.
  np.testing.assert_array_equal(again, live)
  (tmp_path / 'generator.stablehlo').write_bytes(content)
  np.save(tmp_path / 'latents.npy', latents)
  np.save(tmp_path / 'labels.npy', labels)
  environment = commands.environment()
  del environment['PYTHONPATH']
  subprocess.run(
    [sys.executable, '-c', SNIPPET], cwd=tmp_path, env=environment, check=True
  )
  images = np.load(tmp_path / 'images.npy')
  assert images.dtype == np.float32 and images.shape == (5, 32, 32, 3)
  # In another process the work is cut into other parts.
  np.testing.assert_allclose(images, live, atol=1e-6)


@pytest.mark.parametrize('limit', [0.3, 1.0, 2.0])
def test_truncated_latents_are_those_that_the_sampler_draws(limit):
  keys = jax.random.split(jax.random.key(0), 1000)
  normal = jax.vmap(lambda k: jax.random.normal(k, (4,)))(keys)
  drawn = jax.vmap(lambda k: sampling._latent(k, 4, limit))(keys)
  cut = np.asarray(stablehlo._truncate(normal, limit))
  np.testing.assert_allclose(cut, drawn, atol=1e-5)
  assert abs(cut).max() <= limit
