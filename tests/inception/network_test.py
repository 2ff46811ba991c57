"""Tests of the Inception network: names, shapes, golden features, wiring."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax.evaluation import extractors
from sagan_jax.inception import network as inception
from sagan_jax.inception import resize, weights

pytestmark = pytest.mark.slow

GOLDEN_TAPS = ('64', '192', '768', '1280')


@pytest.fixture(scope='module')
def partial_weights(shared_data):
  folder = shared_data / 'inception'
  return weights.load(folder / weights.PARTIAL_FILE.filename)


@pytest.fixture(scope='module')
def prepared_photos(shared_data):
  """The golden photos, decoded and resized: float32 [20, 299, 299, 3]."""
  image_lib = pytest.importorskip('PIL.Image', reason='decodes the photos')
  golden = np.load(shared_data / 'flower-features' / 'golden_features.npz')
  prepare = jax.jit(resize.inception_input)
  photos = []
  for name in golden['names']:
    path = shared_data / 'flower-features' / 'golden' / str(name)
    with image_lib.open(path) as image:
      pixels = np.asarray(image.convert('RGB'))
    photos.append(np.asarray(prepare(pixels[None])))
  return golden, np.concatenate(photos)


@pytest.fixture(scope='module')
def features(partial_weights, prepared_photos):
  """Features of the photos at every partial tap, by one compiled program."""
  params, _ = partial_weights
  network = inception.Inception(extractors.PARTIAL_TAPS)
  # The batch is the program's only shape: 4 photos at a time bound its memory.
  run = jax.jit(lambda params, x: network.apply({'params': params}, x))
  _, photos = prepared_photos
  parts = [run(params, photos[i : i + 4]) for i in range(0, len(photos), 4)]
  return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


@pytest.mark.parametrize('tap', GOLDEN_TAPS)
def test_pooled_features_equal_the_golden_ones(features, prepared_photos, tap):
  golden, _ = prepared_photos
  expected = golden[f'trunc_torch_{tap}']
  # Absolute; the features reach 1 to 7, and 4e-6 was measured.
  np.testing.assert_allclose(features[tap], expected, rtol=0, atol=1e-4)


def test_spatial_tap_is_the_first_channels_of_mixed_6_conv(partial_weights):
  params, _ = partial_weights
  network = inception.Inception(('spatial',))
  params = {name: params[name] for name in inception.param_shapes(('spatial',))}
  # A small image, for speed: the map is 3x3 then, and 17x17 at 299 px.
  image = np.random.default_rng(0).uniform(-1, 1, (1, 80, 80, 3))
  run = functools.partial(
    network.apply,
    capture_intermediates=lambda module, _: module.name == 'mixed_6/conv',
  )
  found, state = jax.jit(run)({'params': params}, image.astype(np.float32))
  before_relu = state['intermediates']['mixed_6/conv']['__call__'][0]
  assert before_relu.shape == (1, 3, 3, 192)
  expected = np.maximum(np.asarray(before_relu), 0)[..., :7].reshape(1, -1)
  assert (expected > 0).any()
  np.testing.assert_array_equal(found['spatial'], expected)


def test_spatial_tap_has_its_published_size(features):
  assert features['spatial'].shape == (20, inception.TAPS['spatial'][1])
  assert inception.TAPS['spatial'][1] == 2023


def test_bfloat16_error_is_small_against_the_spread_of_images(
  partial_weights, prepared_photos, features
):
  params, identity = partial_weights
  network = inception.Inception(('768',), jnp.bfloat16)
  params = {name: params[name] for name in inception.param_shapes(('768',))}
  photos = prepared_photos[1][:2]
  run = jax.jit(lambda params, x: network.apply({'params': params}, x))
  ours = np.asarray(run(params, photos)['768'])
  assert ours.dtype == np.float32
  error = np.sqrt(np.mean((ours - features['768'][:2]) ** 2))
  spread = np.sqrt(np.mean(features['768'].var(axis=0)))
  # bfloat16 keeps 8 bits, 0.4 % a rounding, through 20 layers; 0.031 was
  # measured over 8 photos.
  assert 0 < error / spread < 0.05, error / spread


def test_canonical_list_of_layers():
  shapes = inception.param_shapes(inception.TAPS)
  convs = {name: s for name, s in shapes.items() if name != 'softmax'}
  # 5 in the stem, 7 in each 35x35 block, 4 and 6 in the reductions, 10 in each
  # 17x17 block, 9 in each 8x8 block.
  assert len(convs) == 5 + 3 * 7 + 4 + 4 * 10 + 6 + 2 * 9 == 94
  for name, shape in convs.items():
    assert shape['bias'] == shape['kernel'][-1:], name
  assert shapes['softmax'] == {'kernel': (2048, 1008), 'bias': (1008,)}
  # Keras counts 21,802,784 values in Inception v3 without its top, which are
  # kernels and three statistics for each of 17,216 channels; we keep one bias.
  sizes = jax.tree.leaves(
    jax.tree.map(np.prod, shapes, is_leaf=lambda x: isinstance(x, tuple))
  )
  assert sum(sizes) == 21_802_784 - 2 * 17_216 + 2048 * 1008 + 1008


@pytest.mark.parametrize(
  'name, kernel',
  [
    ('conv', (3, 3, 3, 32)),
    ('conv_4', (3, 3, 80, 192)),
    ('mixed/tower/conv_1', (5, 5, 48, 64)),
    ('mixed_1/tower_2/conv', (1, 1, 256, 64)),
    ('mixed_3/conv', (3, 3, 288, 384)),
    ('mixed_4/tower/conv_1', (1, 7, 128, 128)),
    ('mixed_7/tower_1/conv_4', (1, 7, 192, 192)),
    ('mixed_8/tower_1/conv_3', (3, 3, 192, 192)),
    ('mixed_9/conv', (1, 1, 1280, 320)),
    ('mixed_9/tower/mixed/conv', (1, 3, 384, 384)),
    ('mixed_9/tower_1/conv', (1, 1, 1280, 448)),
    ('mixed_9/tower_1/conv_1', (3, 3, 448, 384)),
    ('mixed_10/conv', (1, 1, 2048, 320)),
    ('mixed_10/tower_1/mixed/conv_1', (3, 1, 384, 384)),
    ('mixed_10/tower_2/conv', (1, 1, 2048, 192)),
  ],
)
def test_canonical_shapes(name, kernel):
  assert inception.param_shapes(('logits',))[name]['kernel'] == kernel


def test_partial_file_has_exactly_the_layers_up_to_mixed_8(partial_weights):
  params, _ = partial_weights
  expected = inception.param_shapes(('1280',))
  assert jax.tree.map(np.shape, params) == expected
  assert len(expected) == 76


def test_a_shallow_tap_needs_only_the_stem():
  assert set(inception.param_shapes(('64',))) == {'conv', 'conv_1', 'conv_2'}
  assert 'mixed_7/conv' not in inception.param_shapes(('spatial',))


@pytest.mark.parametrize('taps', [(), ('2049',), ('64', 'pool_3')])
def test_unknown_taps_are_refused(taps):
  with pytest.raises(ValueError, match='must be one or more of'):
    inception.param_shapes(taps)


def test_average_pool_does_not_count_its_padding():
  # A constant image stays constant to its corners; counting the padding would
  # give 4/9 there.
  x = jnp.ones((1, 4, 4, 1))
  np.testing.assert_array_equal(
    inception._pool(x, inception.Pool('avg')), np.ones((1, 4, 4, 1))
  )


def test_pool_kinds_of_the_last_blocks():
  pools = {
    stage: [
      op.kind for b in branches for op in b if isinstance(op, inception.Pool)
    ]
    for stage, branches in inception.STAGES.items()
  }
  assert pools['mixed_9'] == ['avg'] and pools['mixed_10'] == ['max']
  assert pools['mixed_3'] == pools['mixed_8'] == ['max']


def test_logits_differ_by_the_bias():
  bias = np.arange(1008, dtype=np.float32)
  params = {'kernel': np.full((2048, 1008), 0.5, np.float32), 'bias': bias}
  out = inception._Softmax().apply({'params': params}, jnp.ones((1, 2048)))
  np.testing.assert_array_equal(
    out['logits_unbiased'], np.full((1, 1008), 1024.0)
  )
  np.testing.assert_array_equal(out['logits'][0], 1024.0 + bias)
