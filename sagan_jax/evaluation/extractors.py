"""Feature extractors: uint8 images to float32 features, as pure functions.

An extractor is data: parameters, a pure `apply(params, images)` that may be
jitted and sharded, and the words that a score must carry (name, digest, resize,
dtype). It also owns the names of its metrics, so that a number from other
features than the published ones is never called `fid`.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sagan_jax.inception import download, resize, weights
from sagan_jax.inception import network as inception

# Of the partial file: all that is known by mixed_8.
PARTIAL_TAPS = ('64', '192', 'spatial', '768', '1280')

# Whose metrics bear the published names, on the network of the publications.
_PUBLISHED_TAP = '2048'
_PUBLISHED_SCORE_TAP = 'logits_unbiased'  # of the Inception Score

_RANDOM_WIDTHS = (32, 64, 128)  # channels; the features are their 224 means
_RANDOM_KERNEL = 4  # px, with stride 2: every pixel is seen equally often


@dataclasses.dataclass(frozen=True)
class Extractor:
  """A feature network with its identity.

  `extractor(images)` is `extractor.apply(extractor.params, images)`: jit it
  with `params` as an argument, or every program carries its own copy of them.
  """

  name: str  # for the protocol, e.g. 'inception-2015-12-05'
  digest: str  # SHA-256 hex of the weights; for a callable, what its owner says
  resize: str  # what happens to the pixels before the network, in words
  dtype: str  # of the computation, e.g. 'float32'
  taps: Mapping[str, int]  # tap -> dimensions
  suffixes: Mapping[str, str]  # tap -> what follows the metric's name
  published: bool  # the network on which FID, KID and IS were published
  params: Any  # pytree of float32
  apply: Callable[[Any, jax.Array], dict[str, jax.Array]]
  one_by_one: bool = False  # Whether a CPU is faster with an image at a time.

  def __call__(self, images):
    """Computes features.

    Args:
      images: uint8 [B, H, W, 3], RGB.

    Returns:
      dict of tap -> float32 [B, dims].

    Raises:
      ValueError: if `images` is not uint8 [B, H, W, 3].
    """
    return self.apply(self.params, images)

  def metric_name(self, metric, tap):
    """Names a metric of this extractor's features.

    Args:
      metric: 'fid', 'kid', 'is', 'precision', ...
      tap: one of `taps`.

    Returns:
      str: `metric` itself where it is the published one (Inception, 2048-d or
      unbiased logits), 's' + metric on the spatial tap, otherwise with a
      suffix: 'fid_768', 'fid_random'.

    Raises:
      ValueError: if this extractor lacks the tap.
    """
    if tap not in self.taps:
      raise ValueError(
        f'extractor {self.name} has no tap {tap!r}, only {list(self.taps)}'
      )
    if tap == 'spatial':
      return f's{metric}'
    published_tap = _PUBLISHED_SCORE_TAP if metric == 'is' else _PUBLISHED_TAP
    if self.published and tap == published_tap:
      return metric
    return f'{metric}_{self.suffixes[tap]}'


def make_extractor(c):
  """The extractor that a config asks for.

  Args:
    c: a `Config`.

  Returns:
    An `Extractor`.

  Raises:
    UserError: if Inception weights are asked for and not to be had, or the file
      is not what it should be.
  """
  e = c.eval
  found = e.inception_path is not None or download.find(e.cache_dir) is not None
  if e.extractor == 'random' or (e.extractor == 'auto' and not found):
    return random_conv_extractor()
  path = download.find_or_download(e.inception_path, e.cache_dir)
  params, identity = weights.load(path, download.local_cache(e.cache_dir))
  return inception_extractor(params, identity, dtype=jnp.dtype(e.dtype))


def inception_extractor(params, identity, taps=None, dtype=jnp.float32):
  """Builds the extractor of the 2015 Inception network.

  Args:
    params: the tree that `weights.load` returned.
    identity: the `weights.Identity` that it returned.
    taps: names from `inception.TAPS`; None takes 2048, spatial and
      logits_unbiased, or with partial weights 768 and spatial. Only what the
      deepest tap needs is computed.
    dtype: of the convolutions, jnp.float32 or jnp.bfloat16. Published numbers
      are float32.

  Returns:
    Extractor.

  Raises:
    ValueError: if a tap is unknown, or needs more than partial weights hold, or
      the dtype is another one.
  """
  if dtype not in (jnp.float32, jnp.bfloat16):
    raise ValueError(
      f'the Inception dtype is float32 or bfloat16, not {jnp.dtype(dtype).name}'
    )
  if taps is None:
    taps = (
      ('768', 'spatial')
      if identity.partial
      else ('2048', 'spatial', 'logits_unbiased')
    )
  taps = tuple(taps)
  needed = inception.param_shapes(taps)
  if identity.partial and not set(taps) <= set(PARTIAL_TAPS):
    raise ValueError(
      f'{identity.name} ends at mixed_8 and gives the taps {list(PARTIAL_TAPS)}, '
      f'not {list(taps)}; use the whole network'
    )
  network = inception.Inception(taps, dtype)

  def apply(params, images):
    return network.apply({'params': params}, resize.inception_input(images))

  return Extractor(
    name=identity.name,
    digest=identity.sha256,
    resize=resize.TF1_BILINEAR,
    dtype=jnp.dtype(dtype).name,
    taps={tap: inception.TAPS[tap][1] for tap in taps},
    suffixes={tap: tap for tap in taps},
    published=not identity.partial,
    params={layer: params[layer] for layer in needed},
    apply=apply,
    one_by_one=True,  # Its first maps take 3 to 6 MB per image.
  )


def random_conv_extractor(seed=0):
  """Builds a small convolution network with fixed random weights.

  Three 4x4 convolutions of stride 2 with leaky ReLU; the features are the
  spatial means of all three, 224 dimensions. It sees colour, edges and texture,
  costs next to nothing, and falls as samples improve, but it knows no objects:
  for tests and first runs. Its metrics are `fid_random` and so on.

  Args:
    seed: of the weights. NumPy's `RandomState` stream is frozen, so that a seed
      means the same network in every version.

  Returns:
    Extractor with the tap 'pooled', for images of 32 to 128 px a side.
  """
  rng = np.random.RandomState(seed)
  params, digest, channels = {}, hashlib.sha256(), 3
  for i, width in enumerate(_RANDOM_WIDTHS):
    shape = (_RANDOM_KERNEL, _RANDOM_KERNEL, channels, width)
    # Keeps the activations' scale through a ReLU (He et al., 1502.01852).
    std = np.sqrt(2.0 / np.prod(shape[:3]))
    kernel = (rng.standard_normal(shape) * std).astype(np.float32)
    params[f'conv_{i}'] = kernel
    digest.update(kernel.astype('<f4').tobytes())
    channels = width

  return Extractor(
    name=f'random-conv-seed-{seed}',
    digest=digest.hexdigest(),
    resize='none',
    dtype='float32',
    taps={'pooled': sum(_RANDOM_WIDTHS)},
    suffixes={'pooled': 'random'},
    published=False,
    params=params,
    apply=_apply_random_conv,
  )


def callable_extractor(function, *, name, digest, dims, resize_text='none'):
  """Wraps any function of images as an extractor with the tap 'features'.

  Args:
    function: uint8 [B, H, W, 3] -> float [B, dims]; jax-traceable if it is to
      be jitted.
    name: of the features; metrics become `fid_<name>`.
    digest: what identifies the function's weights.
    dims: of the features.
    resize_text: how the function resizes, for the protocol.

  Returns:
    Extractor without parameters.

  Raises:
    ValueError: when called, if the features have another shape.
  """

  def apply(params, images):
    del params  # The function holds its own.
    resize.check_uint8_images(images)
    features = jnp.asarray(function(images), jnp.float32)
    if features.shape != (len(images), dims):
      raise ValueError(
        f'extractor {name} returned features {features.shape}, not '
        f'{(len(images), dims)}'
      )
    return {'features': features}

  return Extractor(
    name=name,
    digest=digest,
    resize=resize_text,
    dtype='float32',
    taps={'features': dims},
    suffixes={'features': name},
    published=False,
    params={},
    apply=apply,
  )


def _apply_random_conv(params, images):
  resize.check_uint8_images(images)
  x = (images.astype(jnp.float32) - 128.0) / 128.0
  means = []
  for name in sorted(params):
    x = jax.lax.conv_general_dilated(
      x,
      params[name],
      window_strides=(2, 2),
      padding='SAME',
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      precision=jax.lax.Precision.HIGHEST,
    )
    x = jax.nn.leaky_relu(x)
    means.append(x.mean(axis=(1, 2)))
  return {'pooled': jnp.concatenate(means, axis=-1)}
