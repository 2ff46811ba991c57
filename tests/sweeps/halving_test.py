"""Tests of which settings go on."""

import math

import pytest

from sagan_jax import errors
from sagan_jax.sweeps import definition, halving, results
from sagan_jax.sweeps.halving import Halving
from tests.sweeps.comparison_test import FID, OTHER, PRECISION, result


def best(runs, step=10, keep=0.5, metric='fid_random'):
  return halving.best(Halving((step,), keep, metric), step, runs)


def test_the_best_half_by_the_mean_over_seeds():
  runs = [
    result('a/0', {10: 1.0}),
    result('a/1', {10: 9.0}),
    result('b/0', {10: 3.0}),
    result('b/1', {10: 4.0}),
    result('c/0', {10: 8.0}),
    result('c/1', {10: 8.0}),
  ]
  assert best(runs) == ['b', 'a']  # 3 of 2 rounded up; means 3.5, 5, 8.
  assert best(runs, keep=0.1) == ['b']


def test_more_is_better_for_some_metrics():
  runs = [result(f'{s}/0', {10: v}, kind=PRECISION) for s, v in SCORES.items()]
  assert best(runs, metric='precision_random') == ['c']
  runs = [result(f'{s}/0', {10: v}) for s, v in SCORES.items()]
  assert best(runs) == ['b']


SCORES = {'b': 0.1, 'c': 0.2}


def test_ties_go_by_name():
  runs = [result(f'{s}/0', {10: 1.0}) for s in 'dcba']
  assert best(runs) == ['a', 'b']


def test_a_failed_seed_puts_its_setting_last():
  runs = [
    result('a/0', {10: 1.0}),
    result('a/1', state='failed'),
    result('b/0', {10: 7.0}),
    result('c/0', {10: math.nan}),
  ]
  assert best(runs, keep=0.3) == ['b']


def test_the_score_at_the_rung_counts_or_the_last_before():
  runs = [
    result('a/0', {10: 5.0, 20: 0.0}),
    result('b/0', {5: 4.0, 20: 9.0}),
  ]
  assert best(runs) == ['b']
  assert best(runs, step=20) == ['a']


def test_scores_that_cannot_be_compared():
  runs = [result('a/0', {10: 1.0}), result('b/0', {10: 2.0}, kind=OTHER)]
  with pytest.raises(ValueError, match='num_fake: 500 and 9'):
    best(runs)
  with pytest.raises(
    errors.UserError, match="'fid'.*there are fid_random; set"
  ):
    best(runs, metric='fid')
  with pytest.raises(errors.UserError, match='there are no scores'):
    best([result('a/0')])


def test_the_first_variant_counts():
  raw = results.Kind('fid_random', 'raw standing', 'p')
  run = result('a/0', {10: 5.0})
  both = result(
    'b/0', scores=(results.Score(raw, 10, 4.0), results.Score(FID, 10, 6.0))
  )
  assert best([run, both]) == ['b']


def test_parse():
  assert halving.parse('steps=10,20 keep=0.5 metric=fid') == Halving(
    (10, 20), 0.5, 'fid'
  )


@pytest.mark.parametrize(
  'text, message',
  [
    ('steps=10 keep=0.5', 'it has steps, keep'),
    ('', 'it has nothing'),
    ('steps=20,10 keep=0.5 metric=fid', 'steps must be positive and ascend'),
    ('steps=0 keep=0.5 metric=fid', 'steps must be positive and ascend'),
    ('steps=a keep=0.5 metric=fid', 'invalid literal'),
    ('steps=1 keep=1 metric=fid', 'keep must be > 0 and < 1'),
    ('steps=1 keep=nan metric=fid', 'keep must be > 0 and < 1'),
  ],
)
def test_rungs_that_are_refused(text, message):
  with pytest.raises(errors.UserError, match=message):
    halving.parse(text)


def test_members_that_are_refused():
  rungs = Halving((2500,), 0.5, 'fid_random')
  base = definition.from_flags('quickstart', {})
  with pytest.raises(errors.UserError, match='ends at step 2500, before the'):
    halving.check(rungs, definition.members(base))
  base = definition.from_flags('imagenet', {})
  with pytest.raises(errors.UserError, match='base is never scored'):
    halving.check(rungs, definition.members(base))
