"""Which curves share a plot, and what a plot shows."""

import re
from typing import NamedTuple

import numpy as np

_DIGITS = 5
_WHOLE = 2**53  # Up to here a float counts.
# (title, what it is, the names of its curves)
_KINDS = (
  (
    'Losses',
    'Of the discriminator and the generator. Neither says how good the images '
    'are; look for spikes and for what drifts.',
    'train/[dg]_loss',
  ),
  (
    'Accuracy of the discriminator',
    'The share of real images and of fakes that it takes for what they are. At '
    '1 for both it has won.',
    'train/d_(real|fake)_accuracy',
  ),
  ('Logits', 'Their means over a batch.', 'train/d_(real|fake)_logit'),
  (
    'Logit gap',
    'Mean logit of real images less that of fakes: how far apart the '
    'discriminator holds them.',
    'train/logit_gap',
  ),
  (
    'Gates',
    'What the output of an attention block is multiplied by before it is added '
    'to its input. It starts at 0; near 0 the block does nothing.',
    'train/[dg]_gate_.*',
  ),
  (
    'Largest singular values',
    'Of the weights before they are divided by them, the largest layer.',
    'train/[dg]_sigma_max',
  ),
  (
    'Diversity',
    'The difference of two images of one class in sample grids, in grey '
    'levels. Near zero the generator ignores its latents.',
    'sample/diversity/.*',
  ),
  ('Speed', 'Images of the batch per second.', 'perf/images_per_sec'),
  (
    'Shares of the time',
    'That went to waiting for data, and to what is not training.',
    'perf/.*_share',
  ),
)
_LEFT_OUT = re.compile('step|eval/.*|perf/eta_secs|perf/eval_secs')


class Series(NamedTuple):
  """A curve of one run."""

  run: int  # Its number.
  name: str
  mean: np.ndarray  # float64 [n]; NaN where there is nothing.
  low: np.ndarray | None  # None where each is of one value: the mean.
  high: np.ndarray | None
  lost: int  # Values that were not finite.


class Panel(NamedTuple):
  """A plot."""

  title: str
  about: str
  series: list[Series]


def panels(curves, most):
  """Sorts the curves of runs into plots.

  Args:
    curves: a `thinning.Curves` for each run.
    most: how many points a curve may have.

  Returns:
    (steps, panels): [(first, mean, last)] of the points of each run, and the
    plots that have something to show.
  """
  buckets = [each.buckets(most) for each in curves]
  steps = [
    found.get('step', (np.empty(0), np.empty(0), np.empty(0)))
    for found in buckets
  ]
  names = dict.fromkeys(
    name for found in buckets for name in found if not _LEFT_OUT.fullmatch(name)
  )
  kinds = [
    (title, about, [n for n in names if re.fullmatch(pattern, n)])
    for title, about, pattern in _KINDS
  ]
  rest = set(names).difference(*(members for _, _, members in kinds))
  kinds += [(name, '', [name]) for name in names if name in rest]
  return steps, [
    Panel(title, about, _series(members, buckets, curves))
    for title, about, members in kinds
    if members
  ]


def as_json(steps, drawn):
  """What a script needs to draw plots.

  Args:
    steps: as `panels` gives them.
    drawn: list of `Panel`.

  Returns:
    {'steps': ..., 'panels': ...} of numbers with a few digits.
  """
  return {
    'steps': [
      {'first': _short(first), 'mean': _short(mean), 'last': _short(last)}
      for first, mean, last in steps
    ],
    'panels': [
      {
        'title': panel.title,
        'about': panel.about,
        'series': [_series_json(series) for series in panel.series],
      }
      for panel in drawn
    ],
  }


def _series(names, buckets, curves):
  found = []
  for run, of_run in enumerate(buckets):
    for name in names:
      if name not in of_run:
        continue
      low, mean, high = of_run[name]
      single = np.array_equal(low, high, equal_nan=True)
      label = re.sub('^(train/|perf/|sample/diversity/)', '', name)
      found.append(
        Series(
          run,
          label,
          mean,
          None if single else low,
          None if single else high,
          curves[run].infinite(name),
        )
      )
  return found


def _series_json(series):
  tree = {'run': series.run, 'name': series.name, 'lost': series.lost}
  tree['mean'] = _short(series.mean)
  if series.low is not None:
    tree |= {'low': _short(series.low), 'high': _short(series.high)}
  return tree


def _short(values):
  """As floats of few digits; steps, which are whole, keep all of theirs."""
  return [
    None
    if x != x
    else int(x)
    if x == round(x) and abs(x) < _WHOLE
    else float(f'{x:.{_DIGITS}g}')
    for x in values.tolist()
  ]
