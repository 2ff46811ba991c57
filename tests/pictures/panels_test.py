"""Which curves share a plot."""

import numpy as np

from sagan_jax.pictures import panels, thinning


def curves(names, *rows):
  made = thinning.Curves()
  made.add(('step', *names), np.array(rows, np.float64))
  return made


def test_curves_of_a_kind_share_a_plot():
  names = (
    'train/d_loss',
    'train/g_loss',
    'train/d_gate_attention_16',
    'train/g_gate_attention_32',
    'perf/data_share',
    'perf/eta_secs',
    'train/new',
    'eval/fid',
  )
  _, drawn = panels.panels([curves(names, range(9))], 100)
  assert [(p.title, [s.name for s in p.series]) for p in drawn] == [
    ('Losses', ['d_loss', 'g_loss']),
    ('Gates', ['d_gate_attention_16', 'g_gate_attention_32']),
    ('Shares of the time', ['data_share']),
    ('train/new', ['new']),
  ]


def test_runs_share_plots_and_may_lack_curves():
  both = [curves(('train/d_loss',), (1, 5)), curves(('x',), (1, 6), (2, 7))]
  steps, (losses, other) = panels.panels(both, 100)
  assert [s.run for s in losses.series] == [0]
  assert [s.run for s in other.series] == [1]
  assert other.series[0].mean.tolist() == [6, 7]
  assert [mean.tolist() for _, mean, _ in steps] == [[1], [1, 2]]


def test_a_curve_has_a_band_where_points_stand_for_several_rows():
  rows = [(step, 10.0 * step, 4.0) for step in range(1, 5)]
  _, (x, y) = panels.panels([curves(('x', 'y'), *rows)], 2)
  assert x.series[0].low.tolist() == [10, 30]
  assert x.series[0].mean.tolist() == [15, 35]
  assert x.series[0].high.tolist() == [20, 40]
  assert y.series[0].low is None  # Which is all the same.


def test_a_script_gets_short_numbers():
  rows = [(10_000_019, 1 / 3), (10_000_029, np.nan), (10_000_039, np.inf)]
  tree = panels.as_json(*panels.panels([curves(('x',), *rows)], 100))
  steps = [10_000_019, 10_000_029, 10_000_039]
  assert tree['steps'] == [{'first': steps, 'mean': steps, 'last': steps}]
  (series,) = tree['panels'][0]['series']
  assert series == {
    'run': 0,
    'name': 'x',
    'lost': 1,
    'mean': [0.33333, None, None],
  }


def test_no_rows_give_no_plots():
  steps, drawn = panels.panels([thinning.Curves()], 100)
  assert drawn == []
  assert panels.as_json(steps, drawn)['steps'][0]['mean'] == []
