"""Tests of moments and Frechet distances: closed forms and invariants."""

import dataclasses

import numpy as np
import pytest

from sagan_jax.metrics import checks, frechet, moments

pytestmark = pytest.mark.filterwarnings(
  f'ignore::{checks.__name__}.{checks.FewSamplesWarning.__name__}'
)


def _features(n, dims, seed=0):
  rng = np.random.default_rng(seed)
  mix = rng.normal(size=(dims, dims)) / np.sqrt(dims)
  return (rng.normal(size=(n, dims)) @ mix + seed).astype(np.float32)


def _gaussian(mean, std):
  mean = np.asarray(mean, np.float64)
  return moments.Moments(
    100_000, mean, np.diag(np.square(std, dtype=np.float64))
  )


def test_distance_of_gaussians_has_its_closed_form():
  # Diagonal covariances: |m1 - m2|^2 + sum (s1 - s2)^2 = 25 + 1 + 4.
  ours = frechet.frechet_distance(
    _gaussian([0, 0], [1, 5]), _gaussian([3, 4], [2, 3])
  )
  assert ours == pytest.approx(30.0, abs=1e-12)


def test_distance_of_two_sets_of_constants():
  # No covariance: only the means count.
  real, fake = np.zeros((100, 2)), np.full((100, 2), [3.0, 4.0])
  ours = frechet.frechet_distance_from_features(real, fake)
  assert ours == pytest.approx(25.0, abs=1e-12)


@pytest.mark.parametrize('n, m', [(10, 15), (10, 300), (300, 10), (300, 200)])
def test_both_forms_agree_for_every_ratio_of_samples_to_dimensions(n, m):
  real, fake = _features(n, 40), _features(m, 40, seed=1)
  by_moments = frechet.frechet_distance(
    moments.from_features(real), moments.from_features(fake)
  )
  by_features = frechet.frechet_distance_from_features(real, fake)
  mean = np.sum((real.mean(0, np.float64) - fake.mean(0, np.float64)) ** 2)
  s1, s2 = np.cov(real.T.astype(float)), np.cov(fake.T.astype(float))
  roots = np.sqrt(np.clip(np.linalg.eigvals(s1 @ s2).real, 0, None)).sum()
  direct = mean + np.trace(s1) + np.trace(s2) - 2 * roots
  assert by_moments == pytest.approx(by_features, abs=1e-9)
  # The unsymmetric product loses digits, which is why it is not used.
  assert by_moments == pytest.approx(direct, abs=1e-5)


def test_distance_is_symmetric_and_zero_of_itself():
  a = moments.from_features(_features(200, 30))
  b = moments.from_features(_features(25, 30, seed=1))
  assert frechet.frechet_distance(a, b) == pytest.approx(
    frechet.frechet_distance(b, a), rel=1e-12
  )
  assert frechet.frechet_distance(a, a) == pytest.approx(0, abs=1e-10)
  few = _features(8, 30)
  same = frechet.frechet_distance_from_features(few, few)
  assert same == pytest.approx(0, abs=1e-10)


def test_a_few_samples_against_many_blocks():
  real, fake = _features(9000, 12), _features(9, 12, seed=1)
  by_moments = frechet.frechet_distance(
    moments.from_features(real), moments.from_features(fake)
  )
  assert frechet.frechet_distance_from_features(real, fake) == pytest.approx(
    by_moments, abs=1e-9
  )


@pytest.mark.parametrize('batch', [1, 7, 64, 500])
def test_moments_equal_numpy_for_every_batch_size(batch):
  features = _features(500, 20) + np.float32(1000)  # a mean that cancels badly
  accumulator = moments.MomentsAccumulator(20)
  for start in range(0, 500, batch):
    accumulator.update(features[start : start + batch])
  ours = accumulator.finish()
  exact = features.astype(np.float64)
  assert ours.count == 500
  np.testing.assert_allclose(ours.mean, exact.mean(axis=0), rtol=1e-14)
  np.testing.assert_allclose(ours.cov, np.cov(exact.T), rtol=1e-11, atol=1e-11)


def test_masked_rows_do_not_count_even_if_not_finite():
  features = _features(30, 5)
  padded = np.concatenate([features, np.full((10, 5), np.nan, np.float32)])
  accumulator = moments.MomentsAccumulator(5)
  accumulator.update(padded, mask=np.arange(40) < 30)
  accumulator.update(padded, mask=np.zeros(40, bool))
  ours, expected = accumulator.finish(), moments.from_features(features)
  assert ours.count == 30
  np.testing.assert_array_equal(ours.cov, expected.cov)


def test_merged_accumulators_equal_one():
  features = _features(90, 8)
  parts = [moments.MomentsAccumulator(8) for _ in range(3)]
  parts[0].update(features[:20])
  parts[1].update(features[20:])
  for part in parts[1:]:
    parts[0].merge(part)  # the last one is empty
  merged, whole = parts[0].finish(), moments.from_features(features)
  assert merged.count == 90
  np.testing.assert_allclose(merged.cov, whole.cov, rtol=1e-12)


def test_finished_moments_do_not_change_with_later_batches():
  accumulator = moments.MomentsAccumulator(3)
  accumulator.update(_features(10, 3))
  first = accumulator.finish()
  mean = first.mean.copy()
  accumulator.update(_features(10, 3, seed=1))
  np.testing.assert_array_equal(first.mean, mean)


def test_accumulator_refuses_what_does_not_fit():
  accumulator = moments.MomentsAccumulator(5)
  with pytest.raises(ValueError, match='8 dimensions; this accumulator.*for 5'):
    accumulator.update(_features(4, 8))
  with pytest.raises(ValueError, match=r'mask of shape \(3,\)'):
    accumulator.update(_features(4, 5), mask=np.ones(3))
  accumulator.update(_features(1, 5))
  with pytest.raises(ValueError, match='at least 2 samples, not 1'):
    accumulator.finish()


def test_distance_refuses_what_does_not_fit():
  a, b = _gaussian([0, 0], [1, 1]), _gaussian([0, 0, 0], [1, 1, 1])
  with pytest.raises(ValueError, match='2 dimensions and fake moments 3'):
    frechet.frechet_distance(a, b)
  broken = dataclasses.replace(a, mean=np.array([0, np.nan]))
  with pytest.raises(ValueError, match='the fake moments hold NaN'):
    frechet.frechet_distance(a, broken)
  with pytest.raises(ValueError, match='at least 2 samples, not 1 fake'):
    frechet.frechet_distance_from_features(_features(5, 3), _features(1, 3))


def test_intra_class_fid_is_the_mean_of_its_table():
  real, fake = _features(40, 6), _features(60, 6, seed=1)
  real_labels, fake_labels = np.arange(40) % 3, np.arange(60) % 2
  ours = frechet.intra_class_fid(
    frechet.split_by_class(real, real_labels, fake, fake_labels)
  )
  # Only the classes of the fakes are scored: a subset of classes is allowed.
  assert list(ours.per_class) == [0, 1]
  assert ours.num_real == {0: 14, 1: 13} and ours.num_fake == {0: 30, 1: 30}
  expected = frechet.frechet_distance_from_features(real[1::3], fake[1::2])
  assert ours.per_class[1] == expected
  assert ours.mean == pytest.approx((ours.per_class[0] + expected) / 2)


def test_intra_class_fid_names_the_unfit_class():
  real, fake = _features(9, 4), _features(9, 4, seed=1)
  with pytest.raises(
    ValueError, match='class 7: .*at least 2 samples, not 1 real'
  ):
    frechet.intra_class_fid([(7, real[:1], fake)])
  with pytest.raises(ValueError, match=r'class 4: real features .*\(0, 4\)'):
    frechet.intra_class_fid([(4, real[:0], fake)])
  with pytest.raises(ValueError, match='class 3 was given twice'):
    frechet.intra_class_fid([(3, real, fake), (3, real, fake)])
  with pytest.raises(ValueError, match='at least one class'):
    frechet.intra_class_fid([])
  with pytest.raises(ValueError, match='9 fake features, 8 labels'):
    list(frechet.split_by_class(real, np.zeros(9), fake, np.zeros(8)))
