"""Invariants of the oracle's networks."""

import numpy as np
import pytest

from tests.oracle import networks as oracle
from tests.oracle import shapes as oracle_shapes

SEED = 0


def _rng():
  return np.random.default_rng(SEED)


def _networks(num_classes=3, **places):
  """Random 32-pixel networks of ch 8, with their spectral states."""
  kwargs = {'image_size': 32, 'ch': 8, 'num_classes': num_classes, **places}
  trees = (
    oracle_shapes.generator_shapes(**kwargs),
    oracle_shapes.discriminator_shapes(**kwargs),
  )
  return [
    (
      oracle_shapes.random_params(shapes, _rng()),
      oracle_shapes.random_spectral(shapes, _rng()),
    )
    for shapes in trees
  ]


def _structure(tree):
  if not isinstance(tree, dict):
    return np.shape(tree)
  return {name: _structure(branch) for name, branch in tree.items()}


def _inputs(num_classes=3):
  rng = _rng()
  z = rng.standard_normal((4, 128))
  x = rng.uniform(-1, 1, (4, 32, 32, 3))
  return z, x, rng.integers(num_classes, size=4)


def _leaves(tree, path=''):
  """(owner, name, path) of each leaf of a nested dict."""
  for name, branch in tree.items():
    if isinstance(branch, dict):
      yield from _leaves(branch, f'{path}{name}/')
    else:
      yield tree, name, f'{path}{name}'


def _without_effect(run, params):
  """The paths of the leaves that can change without changing the output."""
  output = run(params)
  rng = np.random.default_rng(SEED + 1)  # not a multiple of the parameters
  paths = set()
  for owner, name, path in _leaves(params):
    kept = owner[name]
    owner[name] = kept + 0.1 * rng.standard_normal(np.shape(kept))
    if np.allclose(run(params), output, rtol=0, atol=1e-9):
      paths.add(path)
    owner[name] = kept
  return paths


@pytest.mark.parametrize(
  ('num_classes', 'formula'), [(1, 'paper'), (3, 'code')]
)
def test_every_parameter_counts_but_biases_a_norm_removes(num_classes, formula):
  places = {'attention': (8, 16), 'residual': (16,), 'formula': formula}
  z, x, y = _inputs(num_classes)
  (g_params, g_spectral), (d_params, d_spectral) = _networks(
    num_classes, **places
  )

  def run_generator(params):
    return oracle.generator(params, g_spectral, z, y, image_size=32, **places)[
      0
    ]

  def run_discriminator(params):
    return oracle.discriminator(params, d_spectral, x, y, **places)[0]

  # conv1 feeds norm2 alone; after the last gated block, everything up to the
  # last norm is linear in a shift that is the same at every pixel.
  assert _without_effect(run_generator, g_params) == {
    'block1/conv1/bias',
    'block2/conv1/bias',
    'residual_16/conv2/bias',
    'block3/conv1/bias',
    'block3/conv2/bias',
    'block3/skip/bias',
  }
  assert _without_effect(run_discriminator, d_params) == set()


def test_new_spectral_state_has_the_structure_of_the_old():
  places = {'attention': (8, 16), 'residual': (16,)}
  z, x, y = _inputs()
  (g_params, g_spectral), (d_params, d_spectral) = _networks(**places)
  _, g_state, g_maps = oracle.generator(
    g_params, g_spectral, z, y, image_size=32, **places
  )
  _, d_state, d_maps = oracle.discriminator(
    d_params, d_spectral, x, y, **places
  )
  assert _structure(g_state) == _structure(g_spectral)
  assert _structure(d_state) == _structure(d_spectral)
  assert {size: a.shape for size, a in g_maps.items()} == {
    8: (4, 64, 16),
    16: (4, 256, 64),
  }
  assert g_maps.keys() == d_maps.keys()


def test_scaling_a_kernel_changes_nothing():
  z, x, y = _inputs()
  place = {'attention': (16,)}
  (g_params, g_spectral), (d_params, d_spectral) = _networks(**place)

  def run():
    return (
      oracle.generator(g_params, g_spectral, z, y, image_size=32, **place)[0],
      oracle.discriminator(d_params, d_spectral, x, y, **place)[0],
    )

  images, logits = run()
  for owner, name, _ in [*_leaves(g_params), *_leaves(d_params)]:
    if name in ('kernel', 'embedding'):
      owner[name] = 3 * owner[name]
  new_images, new_logits = run()
  np.testing.assert_allclose(new_images, images, rtol=1e-8)
  np.testing.assert_allclose(new_logits, logits, rtol=1e-8)


def test_groups_of_the_generator_are_independent():
  z, _, y = _inputs()
  (params, spectral), _ = _networks(attention=(16,))
  kwargs = {'image_size': 32, 'attention': (16,)}
  grouped = oracle.generator(params, spectral, z, y, group_size=2, **kwargs)[0]
  halves = [
    oracle.generator(params, spectral, z[half], y[half], **kwargs)[0]
    for half in (slice(0, 2), slice(2, 4))
  ]
  np.testing.assert_allclose(grouped, np.concatenate(halves), rtol=1e-9)


@pytest.mark.parametrize('image_size', [32, 64, 128, 256])
def test_forward_and_shapes_agree_at_every_size(image_size):
  kwargs = {'image_size': image_size, 'ch': 1, 'num_classes': 2}
  g_shapes = oracle_shapes.generator_shapes(**kwargs)
  d_shapes = oracle_shapes.discriminator_shapes(**kwargs)
  y = np.array([0, 1])
  images, _, _ = oracle.generator(
    oracle_shapes.random_params(g_shapes, _rng()),
    oracle_shapes.random_spectral(g_shapes, _rng()),
    _rng().standard_normal((2, 128)),
    y,
    image_size=image_size,
  )
  assert images.shape == (2, image_size, image_size, 3)
  assert np.abs(images).max() <= 1
  logits, _, _ = oracle.discriminator(
    oracle_shapes.random_params(d_shapes, _rng()),
    oracle_shapes.random_spectral(d_shapes, _rng()),
    images,
    y,
  )
  assert logits.shape == (2, 1)
  assert np.isfinite(logits).all()
