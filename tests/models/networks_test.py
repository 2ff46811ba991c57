"""The whole networks: parameters, shapes, and values against the oracle."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax import models
from sagan_jax.gan import state as state_lib
from sagan_jax.models import discriminator, generator
from tests.oracle import networks as oracle
from tests.oracle import shapes as oracle_shapes

pytestmark = pytest.mark.slow

# Settings of both networks and their numbers of parameters (G, D). The rows
# at 128 pixels with attention at 64, at 32 and at 64 pixels are what
# PyTorch-StudioGAN logs for its SAGANs; all follow from the layer list of
# self-attention-gan by arithmetic.
IMAGENET = {'image_size': 128, 'num_classes': 1000, 'ch': 64}
COUNTS = [
  (IMAGENET | {'attention': (32,)}, 42_078_852, 39_463_618),
  (IMAGENET | {'attention': (64,)}, 42_017_412, 39_448_258),
  (IMAGENET | {'attention': ()}, 41_996_931, 39_443_137),
  (IMAGENET | {'attention': (8,)}, 43_307_652, 39_770_818),
  (IMAGENET | {'attention': (16,)}, 42_324_612, 39_525_058),
  (
    IMAGENET | {'attention': (32,), 'num_classes': 10},
    32_321_412,
    38_449_858,
  ),
  (
    IMAGENET | {'attention': (32,), 'num_classes': 100},
    33_208_452,
    38_542_018,
  ),
  (
    IMAGENET | {'attention': (32,), 'num_classes': 200},
    34_194_052,
    38_644_418,
  ),
  (  # CIFAR-10.
    {'image_size': 32, 'num_classes': 10, 'ch': 64, 'attention': (16,)},
    4_386_308,
    1_075_586,
  ),
  (  # Tiny ImageNet.
    {'image_size': 64, 'num_classes': 200, 'ch': 64, 'attention': (32,)},
    13_387_396,
    19_752_642,
  ),
]


def _networks(**settings):
  return (
    generator.Generator(**settings),
    discriminator.Discriminator(**settings),
  )


def _shapes(settings, batch=2):
  """Shapes of the variables and the output of both; computes nothing."""
  g, d = _networks(**settings)
  size = settings['image_size']
  key = jax.random.key(0)
  label = jax.ShapeDtypeStruct((batch,), jnp.int32)
  z = jax.ShapeDtypeStruct((batch, 128), jnp.float32)
  image = jax.ShapeDtypeStruct((batch, size, size, 3), jnp.float32)
  init = functools.partial(g.init_with_output, train=False)
  return (
    jax.eval_shape(init, key, z, label),
    jax.eval_shape(d.init_with_output, key, image, label),
  )


@pytest.mark.parametrize(('settings', 'num_g', 'num_d'), COUNTS)
def test_numbers_of_parameters(settings, num_g, num_d):
  (_, g), (_, d) = _shapes(settings)
  assert state_lib.num_params(g['params']) == num_g
  assert state_lib.num_params(d['params']) == num_d


def test_numbers_of_tensors_and_normalised_weights():
  (_, g), (_, d) = _shapes(COUNTS[0][0])
  assert (len(jax.tree.leaves(g['params'])), _num_vectors(g)) == (61, 21)
  assert (len(jax.tree.leaves(d['params'])), _num_vectors(d)) == (42, 23)
  assert set(g) == {'params', 'spectral', 'batch_stats'}
  assert set(d) == {'params', 'spectral'}


def _num_vectors(variables):
  paths = jax.tree_util.tree_leaves_with_path(variables['spectral'])
  return sum(path[-1].key == 'u' for path, _ in paths)


@pytest.mark.parametrize('num_classes', [1, 3])
@pytest.mark.parametrize('image_size', generator.Generator.IMAGE_SIZES)
def test_shapes_and_names(image_size, num_classes):
  settings = {
    'image_size': image_size,
    'num_classes': num_classes,
    'ch': 8,
    'attention': (8, 16),
    'residual': (16,),
  }
  (images, g), (logits, d) = _shapes(settings)
  assert images.shape == (2, image_size, image_size, 3)
  assert logits.shape == (2,)
  for variables, make in (
    (g, oracle_shapes.generator_shapes),
    (d, oracle_shapes.discriminator_shapes),
  ):
    shapes = jax.tree.map(lambda x: x.shape, variables['params'])
    assert shapes == make(**settings)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))


@pytest.mark.parametrize('image_size', generator.Generator.IMAGE_SIZES)
def test_stages_are_the_maps_of_the_forward_pass(image_size):
  g, d = _networks(
    image_size=image_size, num_classes=3, ch=8, attention=(), residual=()
  )
  label = jax.ShapeDtypeStruct((2,), jnp.int32)
  z = jax.ShapeDtypeStruct((2, 128), jnp.float32)
  image = jax.ShapeDtypeStruct((2, image_size, image_size, 3), jnp.float32)
  for network, inputs in ((g, (z, label)), (d, (image, label))):
    kwargs = {'train': True} if network is g else {}

    def outputs(key, *inputs, network=network, kwargs=kwargs):
      _, found = network.init_with_output(
        key, *inputs, **kwargs, capture_intermediates=True
      )
      return found['intermediates']

    found = jax.eval_shape(outputs, jax.random.key(0), *inputs)
    maps = [
      found[f'block{i}']['__call__'][0].shape
      for i in range(1, sum(name.startswith('block') for name in found) + 1)
    ]
    stages = network.stages(image_size, 8)
    if network is g:  # The first is the reshaped output of the dense layer.
      (stem,), stages = stages[:1], stages[1:]
      dense = found['dense']['__call__'][0].shape
      assert dense == (2, stem.resolution**2 * stem.channels)
    assert maps == [(2, s.resolution, s.resolution, s.channels) for s in stages]


def test_the_registry_offers_the_sizes_that_both_networks_have():
  networks = models.NETWORKS['sagan']
  assert networks.image_sizes == (32, 64, 128, 256)

  class Smaller(discriminator.Discriminator):
    IMAGE_SIZES = (512, 64, 32)

  one = models.Architecture(generator.Generator, Smaller)
  assert one.image_sizes == (32, 64)


def test_an_unconditional_network_has_no_class_tables():
  settings = {'image_size': 32, 'num_classes': 1, 'ch': 8, 'attention': ()}
  (_, g), (_, d) = _shapes(settings)
  assert 'embedding' not in d['params']
  assert g['params']['block1']['norm1']['gamma'].shape == (32,)


# Settings of 32-pixel networks: both resampling forms, with and without
# classes and groups, both formulas, everywhere that a block can be.
CASES = {
  'plain': {
    'num_classes': 3,
    'resample': 'reference',
    'attention': (16,),
    'group': None,
  },
  'groups_and_residual': {
    'num_classes': 3,
    'resample': 'cheap',
    'attention': (8, 32),
    'residual': (16,),
    'group': 2,
  },
  'unconditional_paper': {
    'num_classes': 1,
    'resample': 'cheap',
    'attention': (16,),
    'attention_formula': 'paper',
    'residual': (8, 16),
    'group': None,
  },
}


def _case(name):
  """Returns settings of a case for the package and for the oracle."""
  settings = {'image_size': 32, 'ch': 8, **CASES[name]}
  group = settings.pop('group')
  blocks = {
    'attention': settings['attention'],
    'residual': settings.get('residual', ()),
    'formula': settings.get('attention_formula', 'code'),
  }
  return settings, blocks, group


def _random_trees(make_shapes, settings, blocks):
  rng = np.random.default_rng(0)
  shapes = make_shapes(
    image_size=32,
    ch=settings['ch'],
    num_classes=settings['num_classes'],
    **blocks,
  )
  return (
    oracle_shapes.random_params(shapes, rng),
    oracle_shapes.random_spectral(shapes, rng),
  )


def _inputs(num_classes):
  rng = np.random.default_rng(1)
  z = rng.standard_normal((4, 128))
  x = rng.uniform(-1, 1, (4, 32, 32, 3))
  return z, x, rng.integers(num_classes, size=4)


def _float32(tree):
  return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree)


def _run(apply, variables, x, label):
  """Applies a network with cheap compilation; only its values matter."""
  return jax.jit(apply)(_float32(variables), _float32(x), label)


def _assert_equal(new, spectral, maps):
  """Compares new vectors, sigmas and attention maps with the oracle's."""
  assert jax.tree.structure(new['spectral']) == jax.tree.structure(spectral)
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5),
    new['spectral'],
    spectral,
  )
  sown = new.get('intermediates', {})
  assert {int(name.split('_')[1]) for name in sown} == set(maps)
  for size, expected in maps.items():
    (found,) = sown[f'attention_{size}']['attention_map']
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize('name', CASES)
def test_the_generator_equals_the_oracle(name):
  settings, blocks, group = _case(name)
  params, spectral = _random_trees(
    oracle_shapes.generator_shapes, settings, blocks
  )
  z, _, y = _inputs(settings['num_classes'])
  images, state, maps = oracle.generator(
    params, spectral, z, y, image_size=32, group_size=group, **blocks
  )
  network = generator.Generator(**settings, bn_group_size=group)
  shapes = jax.eval_shape(
    functools.partial(network.init, train=False), jax.random.key(0), z, y
  )
  stats = jax.tree.map(lambda x: np.ones(x.shape), shapes['batch_stats'])
  found, new = _run(
    functools.partial(
      network.apply,
      train=True,
      mutable=['spectral', 'batch_stats', 'intermediates'],
    ),
    {'params': params, 'spectral': spectral, 'batch_stats': stats},
    z,
    y,
  )
  assert images.std() > 0.1  # Not saturated by tanh.
  np.testing.assert_allclose(found, images, atol=1e-5)
  _assert_equal(new, state, maps)


@pytest.mark.parametrize('name', CASES)
def test_the_discriminator_equals_the_oracle(name):
  settings, blocks, _ = _case(name)
  possible = {
    k: tuple(r for r in blocks[k] if r < 32) for k in ('attention', 'residual')
  }
  settings, blocks = settings | possible, blocks | possible
  params, spectral = _random_trees(
    oracle_shapes.discriminator_shapes, settings, blocks
  )
  _, x, y = _inputs(settings['num_classes'])
  logits, state, maps = oracle.discriminator(params, spectral, x, y, **blocks)
  network = discriminator.Discriminator(**settings)
  found, new = _run(
    functools.partial(network.apply, mutable=['spectral', 'intermediates']),
    {'params': params, 'spectral': spectral},
    x,
    y,
  )
  # Sums over 16 pixels and 16 channels, so relative to their size.
  scale = np.abs(logits).max()
  np.testing.assert_allclose(found / scale, logits[:, 0] / scale, atol=1e-5)
  _assert_equal(new, state, maps)
