"""Tests of IS, KID, PRDC and the common checks."""

import numpy as np
import pytest

from sagan_jax import errors
from sagan_jax.evaluation import extractors
from sagan_jax.evaluation import features as feature_sets
from sagan_jax.metrics import (
  checks,
  frechet,
  inception_score,
  kid,
  moments,
  neighbours,
  prdc,
  scores,
)

ignore_few = pytest.mark.filterwarnings(
  f'ignore::{checks.__name__}.{checks.FewSamplesWarning.__name__}'
)


def _features(n, dims=8, seed=0):
  return np.random.default_rng(seed).normal(size=(n, dims)).astype(np.float32)


METRICS = {
  'fid': frechet.frechet_distance_from_features,
  'kid': lambda real, fake: kid.kid(real, fake, 2, 10),
  'prdc': prdc.prdc,
  'is': lambda _, fake: inception_score.inception_score(fake),
}
every_metric = pytest.mark.parametrize('metric', list(METRICS))


@every_metric
@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_every_metric_refuses_features_that_are_not_finite(metric, bad):
  real, fake = _features(50), _features(50, seed=1)
  fake[17, 3:5] = bad
  fake[41, 0] = bad
  match = '3 NaN or infinite values in 2 of 50 rows, first in row 17'
  with pytest.raises(ValueError, match=match):
    METRICS[metric](real, fake)


def test_the_first_bad_row_is_found_beyond_one_block():
  features = np.zeros((10_000, 2), np.float32)
  features[[5_000, 9_999]] = np.nan
  with pytest.raises(ValueError, match='4 NaN .* 2 of 10,000 .* row 5000'):
    checks.check_features('real', features)


@every_metric
def test_every_metric_warns_of_few_samples(metric):
  with pytest.warns(checks.FewSamplesWarning, match='from 50 samples'):
    METRICS[metric](_features(60), _features(50))


def test_moments_warn_of_few_samples_and_not_of_many():
  few = moments.from_features(_features(9_999))
  many = moments.from_features(_features(10_000))
  with pytest.warns(checks.FewSamplesWarning, match='from 9,999 samples'):
    frechet.frechet_distance(many, few)
  frechet.frechet_distance(many, many)  # a warning would be an error here


@every_metric
@pytest.mark.parametrize('shape', [(10,), (0, 8), (10, 0), (2, 3, 4)])
def test_every_metric_refuses_other_shapes(metric, shape):
  with pytest.raises(
    ValueError, match=r'shape \(.*give \[samples, dimensions\]'
  ):
    METRICS[metric](_features(20), np.zeros(shape))


@pytest.mark.parametrize('metric', ['fid', 'kid', 'prdc'])
def test_two_sets_of_other_dimensions_are_refused(metric):
  with pytest.raises(ValueError, match='8 dimensions and fake features 4'):
    METRICS[metric](_features(20), _features(20, 4))


@ignore_few
def test_inception_score_of_certain_and_of_undecided_classifiers():
  certain = 1000.0 * np.eye(10)[np.arange(200) % 10]
  assert inception_score.inception_score(certain, 1).mean == pytest.approx(10)
  undecided = np.ones((200, 10))
  assert inception_score.inception_score(undecided, 1).mean == pytest.approx(1)


@ignore_few
def test_inception_score_splits_depend_on_the_order():
  by_class = 1000.0 * np.eye(10)[np.repeat(np.arange(10), 20)]
  assert inception_score.inception_score(by_class, 10).mean == pytest.approx(1)
  shuffled = inception_score.inception_score(by_class, 10, shuffle_seed=0)
  assert 5 < shuffled.mean < 10 and shuffled.std > 0


@ignore_few
def test_inception_score_equals_its_definition_beyond_one_block():
  logits = _features(9_001, 5) * 3
  p = np.exp(logits.astype(np.float64))
  p /= p.sum(axis=1, keepdims=True)
  scores = []
  for part in np.split(p, [3000, 6000]):
    marginal = part.mean(axis=0)
    scores.append(
      np.exp(np.mean(np.sum(part * np.log(part / marginal), axis=1)))
    )
  ours = inception_score.inception_score(logits, 3)
  assert ours.mean == pytest.approx(np.mean(scores), rel=1e-12)
  assert ours.std == pytest.approx(np.std(scores), rel=1e-9)


@pytest.mark.parametrize('num_splits', [0, 21])
def test_inception_score_refuses_impossible_splits(num_splits):
  with pytest.raises(ValueError, match=f'{num_splits} splits of 20 samples'):
    inception_score.inception_score(_features(20), num_splits)


def test_mmd_equals_its_definition():
  x, y = _features(5), _features(4, seed=1)

  def k(a, b):
    return (float(a.astype(float) @ b.astype(float)) / 8 + 1) ** 3

  xx = np.mean(
    [k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j]
  )
  yy = np.mean(
    [k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j]
  )
  xy = np.mean([k(a, b) for a in x for b in y])
  ours = kid.polynomial_mmd2(x, y)
  assert ours == pytest.approx(xx + yy - 2 * xy, rel=1e-12)


@ignore_few
def test_kid_is_unbiased_repeatable_and_follows_its_seed():
  real, fake = _features(400), _features(400, seed=1)
  ours = kid.kid(real, fake, 50, 100)
  assert ours == kid.kid(real, fake, 50, 100)
  assert ours.mean != kid.kid(real, fake, 50, 100, 1).mean
  # Equal distributions: zero within the error of one subset.
  assert abs(ours.mean) < ours.std
  moved = kid.kid(real, fake + 1, 50, 100)
  assert moved.mean > 10 * ours.std


@pytest.mark.parametrize('subsets, size', [(1, 21), (1, 1), (0, 10)])
def test_kid_refuses_impossible_subsets(subsets, size):
  with pytest.raises(ValueError, match=f'{subsets} subsets of {size} cannot'):
    kid.kid(_features(30), _features(20), subsets, size)


def _brute_force(real, fake, pr_k, dc_k):
  """The definitions, from all differences at once."""

  def distances(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.sqrt(((a[:, None] - b[None]) ** 2).sum(axis=-1))

  def radii(x, k):
    return np.sort(distances(x, x), axis=1)[:, k]

  d = distances(real, fake)
  inside = d < radii(real, dc_k)[:, None]
  return (
    (d <= radii(real, pr_k)[:, None]).any(axis=0).mean(),
    (d <= radii(fake, pr_k)[None]).any(axis=1).mean(),
    inside.sum() / (dc_k * len(fake)),
    inside.any(axis=1).mean(),
  )


@ignore_few
@pytest.mark.parametrize('tiles', [(7, 11), (64, 256), (1024, 4096)])
def test_prdc_equal_brute_force_for_every_tiling(tiles, monkeypatch):
  monkeypatch.setattr(neighbours, 'TILE_ROWS', tiles[0])
  monkeypatch.setattr(neighbours, 'TILE_COLUMNS', tiles[1])
  real, fake = _features(90, 4), _features(70, 4, seed=1) * 1.3 + 50
  real = real + 50
  ours = prdc.prdc(real, fake, 3, 5)
  assert ours[:4] == pytest.approx(_brute_force(real, fake, 3, 5), abs=1e-12)
  assert (
    0 < ours.precision < 1 and 0 < ours.recall < 1 and 0 < ours.coverage < 1
  )


@ignore_few
def test_exact_ties_follow_the_definitions():
  # Fakes that are copies of the reals: each lies exactly on the rim of the
  # balls of which it is the k-th neighbour. A product's rounding would decide
  # at random.
  rng = np.random.default_rng(0)
  real = rng.normal(1e3, 1, (300, 64)).astype(np.float32)
  fake = real[rng.permutation(300)]
  ours = prdc.prdc(real, fake, 3, 5)
  # `<` leaves the rim out: each ball holds its own centre and k - 1 others.
  assert ours.density == 1.0
  assert ours.precision == ours.recall == ours.coverage == 1.0


@ignore_few
def test_duplicates_have_radius_zero_and_hold_only_themselves():
  # Every real four times: the third neighbour is a copy, at distance 0.
  base = _features(20, 4)
  real = np.repeat(base, 4, axis=0)
  ours = prdc.prdc(real, base + np.float32(1e-3), 3, 3)
  assert ours.precision == 0.0 and ours.coverage == 0.0
  copies = prdc.prdc(real, base, 3, 3)
  assert copies.precision == 1.0  # 0 <= 0
  assert copies.coverage == 0.0  # not 0 < 0


@pytest.mark.parametrize('ks', [(0, 5), (3, 0), (20, 5), (3, 20)])
def test_prdc_refuses_impossible_neighbours(ks):
  with pytest.raises(
    ValueError, match=f'k of {ks[0]} and {ks[1]} .*use 1 to 19'
  ):
    prdc.prdc(_features(30), _features(20), *ks)


@pytest.mark.parametrize(
  ('metric', 'counts', 'text'),
  [
    (
      'fid',
      (1, 5, 1),
      r'fid needs at least 2 \(--config.eval.num_reals gives 1',
    ),
    (
      'fid',
      (5, 1, 1),
      r'fid needs at least 2 \(--config.eval.num_fakes gives 1',
    ),
    (
      'is',
      (2, 9, 1),
      r'is needs at least 10 \(--config.eval.num_fakes gives 9',
    ),
    ('prdc', (5, 9, 1), r'prdc needs at least 6 \(--config.eval.num_reals'),
    ('kid', (5, 1, 1), r'kid needs at least 2 \(--config.eval.num_fakes'),
    ('intra_fid', (20, 19, 10), r'gives 19, 2 per class\); raise the number'),
  ],
)
def test_too_few_images_are_refused(metric, counts, text):
  with pytest.raises(errors.UserError, match=text):
    scores.check_counts((metric,), *counts)
  enough = (20, 20, 10) if metric == 'intra_fid' else (10, 10, 1)
  scores.check_counts((metric,), *enough)


def test_the_least_number_is_enough_and_one_less_is_not():
  extractor = extractors.random_conv_extractor()
  for name in scores.available(scores.METRICS, extractor):
    metric = scores.REGISTRY[name]
    least = max(metric.min_real, metric.min_fake)

    def compute(n, name=name):
      sets = [
        feature_sets.FeatureSet(
          n, {}, {'pooled': _features(n, seed=seed)}, np.zeros(n, np.int32)
        )
        for seed in (0, 1)
      ]
      return scores.compute((name,), extractor, *sets).values

    assert np.isfinite(list(compute(least).values())).all()
    with pytest.raises(ValueError, match='.'):
      compute(least - 1)


def test_all_that_is_too_few_is_listed():
  with pytest.raises(errors.UserError, match='fid needs .*; prdc needs') as e:
    scores.check_counts(('fid', 'prdc'), 9, 1, 1)
  assert '\n' not in str(e.value)


@pytest.mark.parametrize(
  ('name', 'ascending'),
  [
    ('fid', False),
    ('fid_random', False),
    ('intra_fid', False),
    ('kid_768', False),
    ('sfid', False),
    ('is', True),
    ('is_1split', True),
    ('precision', True),
    ('coverage_random', True),
  ],
)
def test_the_better_score_is_known_by_its_name(name, ascending):
  assert scores.is_better(name, 2.0, 1.0) == ascending
  assert scores.is_better(name, 1.0, 2.0) != ascending
  assert not scores.is_better(name, 1.0, 1.0)


def test_a_reference_of_some_rows_is_not_enough_for_classes():
  real = feature_sets.FeatureSet(9, {}, {'pooled': _features(5)}, np.zeros(5))
  extractor = extractors.random_conv_extractor()
  with pytest.raises(ValueError, match='features of all 9 real images, 5 are'):
    scores.compute(('intra_fid',), extractor, real, real)
