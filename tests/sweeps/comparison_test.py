"""Tests of means over seeds, of tables and of curves, against hand work."""

import csv
import io
import math

import pytest
from PIL import Image

from sagan_jax.sweeps import comparison, curves, results, tables
from sagan_jax.sweeps.results import Kind, Score

FID = Kind('fid_random', 'ema standing', 'p')
PRECISION = Kind('precision_random', 'ema standing', 'p')
OTHER = Kind('fid_random', 'ema standing', 'q')


def result(name, values=None, state='finished', kind=FID, **fields):
  """A result with {step: value} of one kind."""
  setting, _, seed = name.partition('/')
  made = {
    'name': name,
    'setting': setting,
    'seed': int(seed),
    'state': state,
    'step': max(values or {0: 0}),
    'num_steps': 30,
    'images_per_sec': None,
    'secs': 0.0,
    'scores': tuple(Score(kind, s, v) for s, v in (values or {}).items()),
    'protocols': {'p': {'num_fake': 500}, 'q': {'num_fake': 9, 'resize': 'a'}},
    'message': '',
  }
  return results.Result(**made | fields)


def test_last_and_best():
  run = result('a/0', {10: 9.0, 20: 4.0, 30: 6.0})
  assert comparison.reached(run, FID) == comparison.Reached(30, 6.0, 20, 4.0)
  assert comparison.reached(run, PRECISION) is None
  run = result('a/0', {10: 0.2, 20: 0.9, 30: 0.5}, kind=PRECISION)
  assert comparison.reached(run, PRECISION).best == 0.9  # More is better.


def test_what_is_not_finite_is_never_the_best():
  run = result('a/0', {10: 9.0, 20: math.nan})
  found = comparison.reached(run, FID)
  assert math.isnan(found.last)
  assert (found.best_step, found.best) == (10, 9.0)
  [row] = comparison.rows([run, result('a/1', {20: 1.0})])
  assert math.isnan(row.last.mean)
  assert row.last.std is None
  assert row.best.mean == 5.0


def test_mean_and_sample_deviation():
  runs = [
    result('a/0', {10: 2.0}),
    result('a/1', {10: 4.0}),
    result('a/2', {10: 9.0, 20: 12.0}),
    result('a/3', state='missing'),
    result('b/0', {10: 7.0}),
    result('c/0', state='failed'),
  ]
  a, b = comparison.rows(runs)
  assert (a.setting, a.n, a.of, a.last_steps) == ('a', 3, 4, (10, 20))
  assert a.last.mean == 6.0  # Of 2, 4 and 12.
  assert a.last.std == pytest.approx(math.sqrt((16 + 4 + 36) / 2))
  assert a.best.mean == 5.0  # Of 2, 4 and 9.
  assert a.best.std == pytest.approx(math.sqrt((9 + 1 + 16) / 2))
  assert (b.n, b.last) == (1, comparison.Spread(7.0, None))


def test_protocols_are_never_mixed():
  runs = [
    result('a/0', {10: 2.0}),
    result('a/1', {10: 100.0}, kind=OTHER),
  ]
  assert [row.last.mean for row in comparison.rows(runs)] == [2.0, 100.0]
  text = tables.markdown(runs)
  assert '| fid_random (ema standing, protocol 1) |' in text
  assert '- protocol 1: num_fake 500, resize None' in text
  assert "- protocol 2: num_fake 9, resize 'a'" in text
  rows = list(csv.DictReader(io.StringIO(tables.csv_text(runs))))
  assert [row['protocol'] for row in rows] == ['p', 'q', 'p', 'q']


def test_the_markdown_table():
  runs = [
    result('a/0', {10: 2.5, 20: 3.0}, images_per_sec=12.34, secs=75.0),
    result('a/1', state='failed', message='code 2: error: a|b'),
  ]
  assert tables.markdown(runs) == (
    '2 runs: 1 finished, 1 failed\n\n'
    '| run | state | step | images/s | time | fid_random (ema standing) | best '
    '|\n| --- | --- | --- | --- | --- | --- | --- |\n'
    '| a/0 | finished | 20/30 | 12.3 | 1m15s | 3 | 2.5 at 10 |\n'
    '| a/1 | failed | 0/30 | - | - | - | - |\n\n'
    'Over the seeds: mean ± sample standard deviation (n)\n\n'
    '| setting | score | n | last at step | last | best |\n'
    '| --- | --- | --- | --- | --- | --- |\n'
    '| a | fid_random (ema standing) | 1 of 2 | 20 | 3 | 2.5 |\n\n'
    'Failed:\n\n'
    '- a/1: code 2: error: a|b\n'
  )


def test_a_sweep_without_scores_has_a_table_and_no_curves():
  runs = [result('a/0', state='missing')]
  assert tables.markdown(runs).startswith('1 runs: 1 missing\n\n| run |')
  [row] = csv.DictReader(io.StringIO(tables.csv_text(runs)))
  assert (row['state'], row['metric']) == ('missing', '')
  assert curves.png(runs) is None


def test_a_curve_is_the_mean_where_all_seeds_are():
  seeds = [{10: 2.0, 20: 4.0, 30: 5.0}, {10: 4.0, 20: 8.0}]
  assert curves.mean(seeds) == {10: 3.0, 20: 6.0}
  assert curves.mean(seeds[:1]) == seeds[0]


def test_a_panel_for_every_kind():
  runs = [
    result('a/0', {10: 2.0, 20: 3.0}),
    result('a/1', {10: 4.0}),
    result('b/0', {10: 0.5}, kind=PRECISION),
    result('$c/0', {10: 0.5}, kind=OTHER),
  ]
  with Image.open(io.BytesIO(curves.png(runs))) as image:
    assert image.size == (1400, 800)
