"""Tests of the extractor interface, its names, and the random network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax.evaluation import extractors
from sagan_jax.inception import convert, weights
from sagan_jax.inception import network as inception

RANDOM_DIGEST = (
  'eda8c3d17b9c1b64777c2cb888abe101dd45753a35b5ac10ba48e85a12677c2f'
)

FULL = weights.Identity('inception-2015-12-05', 'a' * 64, partial=False)
PARTIAL = weights.Identity('inception-2015-12-05-to-mixed_8', 'b' * 64, True)


def _zeros(taps):
  """Parameters of the right shapes; for tests that do not run the network."""
  return jax.tree.map(
    lambda shape: np.broadcast_to(np.float32(0), shape),
    inception.param_shapes(taps),
    is_leaf=lambda x: isinstance(x, tuple),
  )


def _images(n, size, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def test_full_network_has_the_published_names():
  ex = extractors.inception_extractor(_zeros(('logits',)), FULL)
  assert dict(ex.taps) == {
    '2048': 2048,
    'spatial': 2023,
    'logits_unbiased': 1008,
  }
  assert ex.metric_name('fid', '2048') == 'fid'
  assert ex.metric_name('is', 'logits_unbiased') == 'is'
  assert ex.metric_name('fid', 'spatial') == 'sfid'
  # A distance of logits is not FID, nor a score of features IS.
  assert ex.metric_name('fid', 'logits_unbiased') == 'fid_logits_unbiased'
  assert ex.metric_name('is', '2048') == 'is_2048'
  assert (ex.name, ex.digest, ex.dtype) == (FULL.name, FULL.sha256, 'float32')
  assert 'TF1 bilinear' in ex.resize
  biased = extractors.inception_extractor(ex.params, FULL, taps=('logits',))
  assert biased.metric_name('is', 'logits') == 'is_logits'


def test_partial_network_never_says_fid():
  params = _zeros(('1280',))
  ex = extractors.inception_extractor(
    params, PARTIAL, taps=extractors.PARTIAL_TAPS
  )
  names = {tap: ex.metric_name('fid', tap) for tap in ex.taps}
  assert names == {
    '64': 'fid_64',
    '192': 'fid_192',
    'spatial': 'sfid',
    '768': 'fid_768',
    '1280': 'fid_1280',
  }
  default = extractors.inception_extractor(params, PARTIAL)
  assert list(default.taps) == ['768', 'spatial']
  # Only what these taps need is kept, and so sent to the device.
  assert 'mixed_8/tower/conv' not in default.params


@pytest.mark.parametrize('taps', [('2048',), ('768', 'logits')])
def test_partial_weights_refuse_deeper_taps(taps):
  with pytest.raises(
    ValueError, match='ends at mixed_8 .*use the whole network'
  ):
    extractors.inception_extractor(_zeros(('1280',)), PARTIAL, taps=taps)


def test_other_dtypes_are_refused():
  with pytest.raises(ValueError, match='bfloat16, not float16'):
    extractors.inception_extractor({}, FULL, dtype=jnp.float16)


def test_an_unknown_tap_has_no_name():
  ex = extractors.random_conv_extractor()
  with pytest.raises(ValueError, match="no tap '2048', only .*'pooled'"):
    ex.metric_name('fid', '2048')


def test_inception_extractor_resizes_bytes_itself():
  # The stem alone, with a first layer that passes one channel through.
  params = convert.check_params(_zeros(('64',)), ('64',))
  params = jax.tree.map(np.array, params)
  for name in params:
    params[name]['kernel'][
      tuple(n // 2 for n in params[name]['kernel'].shape[:2])
    ][0, 0] = 1.0
  ex = extractors.inception_extractor(params, FULL, taps=('64',))
  bright = jax.jit(ex.apply)(ex.params, np.full((1, 32, 32, 3), 255, np.uint8))
  # (255 - 128) / 128, unchanged by resize, identity layers and max pooling.
  assert bright['64'][0, 0] == pytest.approx(127 / 128)
  assert float(bright['64'][0, 1:].max()) == 0.0


def test_random_network_is_the_same_for_ever():
  ex = extractors.random_conv_extractor()
  # RandomState's stream is frozen: this digest holds in every NumPy version.
  assert ex.digest == RANDOM_DIGEST
  assert ex.metric_name('kid', 'pooled') == 'kid_random'
  assert extractors.random_conv_extractor(seed=1).digest != ex.digest


@pytest.mark.parametrize('size', [32, 128])
def test_random_network_features(size):
  ex = extractors.random_conv_extractor()
  images = _images(4, size)
  features = jax.jit(ex.apply)(ex.params, images)['pooled']
  assert features.shape == (4, ex.taps['pooled']) and ex.taps['pooled'] == 224
  assert features.dtype == jnp.float32
  # Of a batch, each image's features are its own.
  np.testing.assert_allclose(
    ex(images[2:3])['pooled'][0], features[2], atol=1e-5
  )
  assert np.linalg.matrix_rank(np.asarray(features)) == 4


def test_random_network_first_layer_equals_numpy():
  ex = extractors.random_conv_extractor()
  images = _images(1, 32)
  x = (images[0].astype(np.float64) - 128) / 128
  x = np.pad(x, ((1, 1), (1, 1), (0, 0)))
  windows = np.lib.stride_tricks.sliding_window_view(x, (4, 4), axis=(0, 1))
  y = np.einsum('hwcij,ijco->hwo', windows[::2, ::2], ex.params['conv_0'])
  y = np.where(y > 0, y, 0.01 * y)
  np.testing.assert_allclose(
    ex(images)['pooled'][0, :32], y.mean(axis=(0, 1)), atol=1e-5
  )


def test_a_callable_becomes_an_extractor():
  ex = extractors.callable_extractor(
    lambda images: images.astype(jnp.float32).mean(axis=(1, 2)),
    name='colour',
    digest='none',
    dims=3,
  )
  images = np.full((2, 8, 8, 3), (1, 2, 3), np.uint8)
  out = jax.jit(ex.apply)(ex.params, images)
  np.testing.assert_array_equal(out['features'], [[1, 2, 3], [1, 2, 3]])
  assert ex.metric_name('fid', 'features') == 'fid_colour'


def test_a_callable_of_other_dimensions_is_refused():
  ex = extractors.callable_extractor(
    lambda images: jnp.zeros((len(images), 4)), name='four', digest='', dims=3
  )
  with pytest.raises(ValueError, match=r'four returned features \(2, 4\), not'):
    ex(_images(2, 8))


@pytest.mark.parametrize(
  'make',
  [
    extractors.random_conv_extractor,
    lambda: extractors.callable_extractor(
      jnp.sum, name='sum', digest='', dims=1
    ),
  ],
)
def test_extractors_take_bytes_only(make):
  with pytest.raises(ValueError, match='not float32'):
    make()(np.zeros((1, 32, 32, 3), np.float32))
