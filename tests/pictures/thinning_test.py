"""Curves of many rows as a few buckets."""

import numpy as np
import pytest

from sagan_jax.pictures import thinning


def thinned(values, capacity, block=100):
  curves = thinning.Curves(capacity)
  for start in range(0, len(values), block):
    part = values[start : start + block]
    index = np.arange(start, start + len(part), dtype=np.float64)
    curves.add(('step', 'x'), np.column_stack([index, part]))
  return curves


def test_few_rows_are_kept_as_they_are():
  values = np.random.default_rng(0).normal(size=500)
  found = thinned(values, 1000).buckets()
  for part in found['x']:
    np.testing.assert_array_equal(part, values)
  np.testing.assert_array_equal(found['step'][1], np.arange(500))


@pytest.mark.parametrize('block', [7, 4096, 30_000])
def test_many_rows_keep_their_extremes_and_means(block):
  """Whatever the blocks that they come in."""
  values = np.random.default_rng(1).normal(size=30_000)
  values[12_345] = 1e6
  curves = thinned(values, 100, block)
  found = curves.buckets()
  low, mean, high = found['x']
  assert 100 <= len(low) <= 200 + 4096 // 128 + 1
  assert curves.num_rows == 30_000
  # The first of a bucket is known by its step.
  first = found['step'][0].astype(int)
  for part, reduce in ((low, np.minimum), (high, np.maximum)):
    np.testing.assert_array_equal(part, reduce.reduceat(values, first))
  counts = np.diff([*first, len(values)])
  sums = np.add.reduceat(values, first)
  np.testing.assert_allclose(mean, sums / counts, rtol=1e-9, atol=1e-12)
  assert high.max() == 1e6


def test_a_curve_can_be_made_shorter_still():
  values = np.arange(1000.0)
  low, mean, high = thinned(values, 1000).buckets(most=10)['x']
  np.testing.assert_array_equal(low, np.arange(10) * 100)
  np.testing.assert_array_equal(mean, np.arange(10) * 100 + 49.5)
  np.testing.assert_array_equal(high, np.arange(10) * 100 + 99)


def test_memory_does_not_grow_with_the_rows():
  curves = thinning.Curves(64)
  for start in range(0, 2**18, 2**12):
    steps = np.arange(start, start + 2**12, dtype=np.float64)
    curves.add(('step',), steps[:, None])
  assert len(curves.buckets()['step'][0]) <= 64 * 2
  low, _, high = curves.buckets()['step']
  assert (low[0], high[-1]) == (0, 2**18 - 1)


def test_many_columns_have_fewer_buckets():
  names = [f'n{i}' for i in range(256)]
  curves = thinning.Curves(2000)
  for _ in range(3):
    curves.add(names, np.zeros((4096, 256)))
  assert len(curves.buckets()['n0'][0]) <= 2 * 2000 * 64 // 256


def test_rows_may_have_other_names():
  curves = thinning.Curves(1)
  for start in range(0, 20_000, 5000):
    curves.add(('a',), np.full((5000, 1), 1.0))
    curves.add(('b', 'a'), np.array([[start, 3.0]]))
  found = curves.buckets(most=1)
  assert [x.tolist() for x in found['b']] == [[0.0], [7500.0], [15_000.0]]
  low, mean, high = found['a']
  assert (low[0], high[0]) == (1, 3)
  np.testing.assert_allclose(mean, 1 + 2 * 4 / 20_004, rtol=1e-12)


def test_a_bucket_without_values_has_none():
  curves = thinning.Curves()
  curves.add(('a', 'b'), np.array([[1.0, np.nan], [2.0, 5.0]]))
  assert np.isnan([part[0] for part in curves.buckets()['b']]).all()


def test_what_is_not_finite_is_counted_and_left_out():
  curves = thinning.Curves()
  curves.add(('a',), np.array([[1.0], [np.inf], [-1e200], [np.nan], [3.0]]))
  assert curves.infinite('a') == 2
  low, mean, high = (x[0] for x in curves.buckets(most=1)['a'])
  assert (low, mean, high) == (1, 2, 3)


def test_too_many_names_are_refused():
  curves = thinning.Curves()
  names = [f'n{i}' for i in range(thinning.MAX_COLUMNS)]
  curves.add(names, np.zeros((1, len(names))))
  with pytest.raises(ValueError, match='there are more than 512 names'):
    curves.add(('another',), np.zeros((1, 1)))


def test_nothing_has_no_buckets():
  assert thinning.Curves().buckets() == {}
