"""Every metric on small features, against constants that ship with the tests.

The features are drawn from NumPy's `RandomState`, whose streams are frozen. The
constants were computed once in float64 by the formulae of `_definitions` below,
which share no line with the package: dense square roots and all pairs at once,
where the package uses eigenvalues and tiles. The definitions are checked
against the constants too, so that both can be read here.
"""

import types

import numpy as np
import pytest

from sagan_jax.evaluation import features
from sagan_jax.metrics import moments, scores

NUM_REAL, NUM_FAKE, DIMS, NUM_CLASSES = 60, 48, 5, 3

GOLDEN = {
  'fid': 4.643614751029162,
  'sfid': 4.643614751029162,
  'intra_fid': 12.093277349084397,
  'is': 1.7768446482826434,
  'is_std': 0.2434461959475448,
  'is_1split': 2.2076128092589618,
  'kid': 99.09243660965313,
  'kid_std': 35.61145923719575,
  'precision': 0.8333333333333334,
  'recall': 0.9833333333333333,
  'density': 0.6958333333333333,
  'coverage': 0.95,
}


def _draw():
  """Real and fake features float32 [N, DIMS], and logits of the fakes."""
  rng = np.random.RandomState(2024)
  mix = rng.standard_normal((DIMS, DIMS))
  real = (rng.standard_normal((NUM_REAL, DIMS)) @ mix).astype(np.float32)
  fake = rng.standard_normal((NUM_FAKE, DIMS)) @ (1.2 * mix) + 0.5
  logits = (2 * rng.standard_normal((NUM_FAKE, 7))).astype(np.float32)
  return real, fake.astype(np.float32), logits


def _labels(n):
  return np.arange(n, dtype=np.int32) % NUM_CLASSES


def _frechet(x, y):
  """|m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)).

  Tr (S1 S2)^(1/2) is the sum of the roots of the eigenvalues of S1 S2, which is
  similar to a positive matrix (arXiv:1706.08500, eq. 6).
  """
  s1, s2 = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
  roots = np.sqrt(np.linalg.eigvals(s1 @ s2).real)
  difference = x.mean(0) - y.mean(0)
  return difference @ difference + np.trace(s1 + s2) - 2 * roots.sum()


def _mmd2(x, y):
  """Unbiased MMD^2 with k(a, b) = (a b / D + 1)^3 (arXiv:1801.01401, eq. 4)."""

  def k(a, b):
    return (a @ b.T / DIMS + 1) ** 3

  def off_diagonal(a):
    return k(a, a)[~np.eye(len(a), dtype=bool)].mean()

  return off_diagonal(x) + off_diagonal(y) - 2 * k(x, y).mean()


def _kid(x, y):
  """Over 100 subsets of all the fakes and as many reals, drawn with seed 2020."""
  rng = np.random.RandomState(2020)
  values = []
  for _ in range(100):
    fakes = rng.choice(len(y), len(y), replace=False)
    reals = rng.choice(len(x), len(y), replace=False)
    values.append(_mmd2(x[reals], y[fakes]))
  return np.mean(values), np.std(values)


def _prdc(x, y):
  """arXiv:1904.06991 with k = 3, and arXiv:2002.09797 with k = 5."""

  def distances(a, b):
    return np.linalg.norm(a[:, None] - b[None], axis=-1)

  def radii(a, k):
    return np.sort(distances(a, a), axis=1)[:, k]

  d = distances(x, y)
  inside = d < radii(x, 5)[:, None]
  return (
    (d <= radii(x, 3)[:, None]).any(0).mean(),
    (d <= radii(y, 3)[None]).any(1).mean(),
    inside.sum() / (5 * len(y)),
    inside.any(1).mean(),
  )


def _inception_score(logits, splits):
  """exp(mean KL(p(y|x) || p(y))) of each split (arXiv:1606.03498)."""
  p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  found = []
  for i in range(splits):
    part = p[i * len(p) // splits : (i + 1) * len(p) // splits]
    kl = (part * np.log(part / part.mean(0))).sum(1)
    found.append(np.exp(kl.mean()))
  return np.mean(found), np.std(found)


def _definitions():
  """{score: value} by the formulae above, in float64."""
  real, fake, logits = (x.astype(np.float64) for x in _draw())
  by_class = [
    _frechet(real[_labels(NUM_REAL) == c], fake[_labels(NUM_FAKE) == c])
    for c in range(NUM_CLASSES)
  ]
  is_mean, is_std = _inception_score(logits, 10)
  fid = _frechet(real, fake)
  names = ('precision', 'recall', 'density', 'coverage')
  return {
    'fid': fid,
    'sfid': fid,  # Of the same features, which stand on both taps.
    'intra_fid': np.mean(by_class),
    'is': is_mean,
    'is_std': is_std,
    'is_1split': _inception_score(logits, 1)[0],
    **dict(zip(('kid', 'kid_std'), _kid(real, fake), strict=True)),
    **dict(zip(names, _prdc(real, fake), strict=True)),
  }


class _Published:
  """The taps and the names of the published network."""

  taps = types.MappingProxyType(
    {'2048': DIMS, 'spatial': DIMS, 'logits_unbiased': 7}
  )

  @staticmethod
  def metric_name(metric, tap):
    return f's{metric}' if tap == 'spatial' else metric


def _set(by_tap):
  count = len(by_tap['2048'])
  return features.FeatureSet(
    count,
    {tap: moments.from_features(x) for tap, x in by_tap.items()},
    by_tap,
    _labels(count),
  )


@pytest.fixture(scope='module')
def found():
  """All scores, as an evaluation computes them."""
  real, fake, logits = _draw()
  return scores.compute(
    scores.METRICS,
    _Published,
    _set({'2048': real, 'spatial': real}),
    _set({'2048': fake, 'spatial': fake, 'logits_unbiased': logits}),
  ).values


def test_every_score_has_a_golden_value(found):
  assert set(found) == set(GOLDEN)


@pytest.mark.parametrize('name', GOLDEN)
def test_scores_are_golden(found, name):
  assert found[name] == pytest.approx(GOLDEN[name], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize('name', GOLDEN)
def test_golden_values_follow_the_definitions(name):
  assert _definitions()[name] == pytest.approx(GOLDEN[name], rel=1e-9)


def test_moments_alone_give_the_golden_fid():
  """As where too many images count for all features to be kept."""
  real, fake, _ = _draw()
  kept = _set({'2048': real})
  partial = features.FeatureSet(
    kept.count, kept.moments, {'2048': real[:9]}, kept.labels[:9]
  )
  found = scores.compute(('fid',), _Published, partial, _set({'2048': fake}))
  assert found.values['fid'] == pytest.approx(GOLDEN['fid'], rel=1e-9)
