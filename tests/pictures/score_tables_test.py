"""Scores as tables and plots of a page."""

import re

from sagan_jax.pictures import score_tables
from sagan_jax.pictures.score_tables import Group, Row

PROTOCOL = {'extractor': '<inception>', 'num_fake': 50_000}


def table(rows, labels=('a',)):
  """Returns (cells of each line, the cells that are set off, the HTML)."""
  text = score_tables.table(Group(PROTOCOL, rows), labels)
  lines = [
    re.findall(r'<t[hd][^>]*>(.*?)</t[hd]>', line)
    for line in re.findall('<tr>(.*?)</tr>', text)
  ]
  return lines, re.findall('<td class="best">(.*?)</td>', text), text


def test_a_table_has_all_scores_and_marks_the_best():
  rows = [
    Row(0, 1000, 'ema', {'fid': 9.0, 'is': 3.0, 'is_std': 0.5}),
    Row(0, 2000, 'ema', {'fid': 7.0}),
    Row(0, 2000, 'raw', {'fid': 8.0, 'is': 4.0, 'is_std': 0.1}),
  ]
  lines, best, text = table(rows)
  assert lines == [
    ['step', 'generator', 'fid', 'is', 'is_std'],
    ['1,000', 'ema', '9.0000', '3.0000', '0.5000'],
    ['2,000', 'ema', '7.0000', '-', '-'],
    ['2,000', 'raw', '8.0000', '4.0000', '0.1000'],
  ]
  assert best == ['7.0000', '4.0000']  # Less is better, and more.
  assert '<dt>extractor</dt><dd>&lt;inception&gt;</dd>' in text


def test_runs_are_named_where_there_are_several():
  lines, best, _ = table(
    [Row(0, 1, '', {'fid': 2.0}), Row(1, 1, '', {'fid': 1.0})], ('a', '<b>')
  )
  assert [line[0] for line in lines] == ['run', 'a', '&lt;b&gt;']
  assert best == ['1.0000']


def test_a_long_table_keeps_its_end():
  rows = [Row(0, step, '', {'fid': float(step)}) for step in range(1000)]
  lines, _, text = table(rows)
  assert [line[0] for line in lines[1:]] == list(map(str, range(700, 1000)))
  assert 'The last 300 of 1,000.' in text


def test_a_plot_has_a_curve_for_each_run_and_generator():
  rows = [
    Row(0, 20, 'ema', {'fid': 8.0, 'once': 1.0}),
    Row(0, 10, 'ema', {'fid': 9.0}),
    Row(1, 10, 'raw', {'fid': 7.0}),
  ]
  (plot,) = score_tables.plots(Group(PROTOCOL, rows))  # One point is no curve.
  assert plot['title'] == 'fid'
  assert [
    (s['run'], s['name'], s['steps']['mean'], s['mean']) for s in plot['series']
  ] == [(0, 'ema', [10, 20], [9.0, 8.0]), (1, 'raw', [10], [7.0])]
