"""The metrics against values that other packages computed on real features."""

import json

import numpy as np
import pytest

from sagan_jax.metrics import (
  checks,
  frechet,
  inception_score,
  kid,
  moments,
  prdc,
)

pytestmark = pytest.mark.filterwarnings(
  f'ignore::{checks.__name__}.{checks.FewSamplesWarning.__name__}'
)

CLASSES = ('daisy', 'dandelion', 'roses', 'sunflowers', 'tulips')
PAIRS = [f'{a}|{b}' for i, a in enumerate(CLASSES) for b in CLASSES[i + 1 :]]


@pytest.fixture(scope='module')
def flowers(shared_data):
  """(features [600, 2048], labels [600], oracle values)."""
  folder = shared_data / 'flower-features'
  with np.load(folder / 'pool3_flowers_5x120.npz') as arrays:
    features, labels = arrays['features'], arrays['labels']
  return (
    features,
    labels,
    json.loads((folder / 'metric_oracles.json').read_text()),
  )


def _pair(flowers, pair):
  features, labels, _ = flowers
  return [features[labels == CLASSES.index(name)] for name in pair.split('|')]


@pytest.mark.parametrize('pair', PAIRS)
def test_fid_of_features_equals_every_oracle(flowers, pair):
  ours = frechet.frechet_distance_from_features(*_pair(flowers, pair))
  oracles = flowers[2]['fid_pairs'][pair]
  for name, expected in oracles.items():
    # The sqrtm and eigenvalue forms are off by 6e-5 where n < D.
    tolerance = 1e-9 if name == 'nuclear_norm_form' else 1e-4
    assert ours == pytest.approx(expected, abs=tolerance), name


def test_fid_of_moments_equals_every_oracle(flowers):
  # One pair: two eigenproblems of 2048 take seconds.
  real, fake = _pair(flowers, 'daisy|tulips')
  ours = frechet.frechet_distance(
    moments.from_features(real), moments.from_features(fake, block_rows=50)
  )
  for expected in flowers[2]['fid_pairs']['daisy|tulips'].values():
    assert ours == pytest.approx(expected, abs=1e-4)


def test_intra_class_fid_equals_the_oracle(flowers):
  features, labels, oracles = flowers
  real = np.concatenate([features[labels == c][:60] for c in range(5)])
  fake = np.concatenate([features[labels == c][-60:] for c in range(5)])
  sixty = np.repeat(np.arange(5), 60)
  ours = frechet.intra_class_fid(
    frechet.split_by_class(real, sixty, fake, sixty)
  )
  expected = oracles['intra']
  np.testing.assert_allclose(
    list(ours.per_class.values()), expected['per_class'], atol=1e-9
  )
  assert ours.mean == pytest.approx(expected['mean'], abs=1e-9)
  assert ours.num_real == ours.num_fake == dict.fromkeys(range(5), 60)


@pytest.mark.parametrize('k', [3, 5])
@pytest.mark.parametrize(
  'sets', ['daisy fake=tulips', 'all[0::2] fake=all[1::2]']
)
def test_prdc_equal_the_prdc_package(flowers, sets, k):
  if sets.startswith('all'):
    real, fake = flowers[0][0::2], flowers[0][1::2]
  else:
    real, fake = _pair(flowers, 'daisy|tulips')
  # No distance equals a radius here, so `<` (prdc) and `<=` (ours) agree.
  ours = prdc.prdc(real, fake, k, k)
  expected = flowers[2]['prdc'][f'prdc_pkg real={sets} k={k}']
  assert set(expected) == {'precision', 'recall', 'density', 'coverage'}
  for name, value in expected.items():
    assert getattr(ours, name) == pytest.approx(value, abs=1e-12), name


def test_precision_and_recall_equal_torch_fidelity(flowers):
  features, _, oracles = flowers
  ours = prdc.prdc(features[0::2], features[1::2])
  name = 'torch_fidelity gen=all[1::2] real=all[0::2] k=3'
  expected = oracles['prdc'][name]
  # It reports float32.
  assert ours.precision == pytest.approx(expected['precision'], abs=1e-6)
  assert ours.recall == pytest.approx(expected['recall'], abs=1e-6)


def test_kid_equals_the_oracles(flowers):
  features, _, oracles = flowers
  whole = kid.polynomial_mmd2
  ours = {
    'unbiased mmd2 poly3 daisy|tulips (m=120, full sets)': whole(
      *_pair(flowers, 'daisy|tulips')
    ),
    'unbiased mmd2 poly3 all[0::2]|all[1::2] (m=300)': whole(
      features[0::2], features[1::2]
    ),
  }
  assert ours == pytest.approx(oracles['kid'], abs=1e-12)


def test_kid_of_one_whole_subset_is_the_mmd(flowers):
  real, fake = _pair(flowers, 'daisy|tulips')
  ours = kid.kid(real, fake, 1, 120)
  assert ours.mean == pytest.approx(kid.polynomial_mmd2(real, fake), abs=1e-12)
  assert ours.std == 0.0


@pytest.mark.parametrize(
  'name, num_splits, shuffle_seed',
  [
    ('logits=5*features[:,:1008], 10 splits, no shuffle', 10, None),
    ('same, 1 split', 1, None),
    ('same, 10 splits, torch-fidelity shuffle seed 2020', 10, 2020),
  ],
)
def test_inception_score_equals_the_oracle(
  flowers, name, num_splits, shuffle_seed
):
  logits = 5 * flowers[0][:, :1008]
  ours = inception_score.inception_score(logits, num_splits, shuffle_seed)
  expected = flowers[2]['isc'][name]
  # torch-fidelity works in float32.
  assert ours.mean == pytest.approx(expected['inception_score_mean'], abs=1e-6)
  assert ours.std == pytest.approx(expected['inception_score_std'], abs=1e-6)
  assert ours.num_splits == num_splits
