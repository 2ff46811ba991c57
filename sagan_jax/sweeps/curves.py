"""Scores of a sweep against the step, in one picture."""

import io
import math

from sagan_jax.sweeps import comparison, tables

_PANEL_INCHES = (7, 4)
_FAINT = 0.25


def png(found):
  """Draws a panel for every kind of score.

  The line of a setting is the mean over its seeds, as far as all that have
  scores have come; each seed is faint.

  Args:
    found: list of `results.Result`.

  Returns:
    The bytes of a PNG file, or None if there are no scores.
  """
  kinds = comparison.kinds(found)
  if not kinds:
    return None
  # Not at import: it takes a second, and there may be no display.
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  columns = min(len(kinds), 2)
  lines = math.ceil(len(kinds) / columns)
  width, height = _PANEL_INCHES
  figure = Figure(
    figsize=(width * columns, height * lines), layout='constrained'
  )
  FigureCanvasAgg(figure)
  panels = figure.subplots(lines, columns, squeeze=False).flatten()
  numbers = tables.protocol_numbers(found)
  for axes, kind in zip(panels, kinds, strict=False):
    _draw(axes, kind, found)
    axes.set_title(tables.label(kind, numbers))
  for axes in panels[len(kinds) :]:
    axes.set_axis_off()
  file = io.BytesIO()
  figure.savefig(file, format='png')
  return file.getvalue()


def mean(of_seeds):
  """The mean over seeds at the steps that all of them have.

  Args:
    of_seeds: {step: value} of each seed.

  Returns:
    {step: mean}, by step; of a single seed its own values.
  """
  shared = set.intersection(*map(set, of_seeds))
  return {
    step: sum(values[step] for values in of_seeds) / len(of_seeds)
    for step in sorted(shared)
  }


def _draw(axes, kind, found):
  for number, (setting, members) in enumerate(comparison.groups(found).items()):
    of_seeds = [values for m in members if (values := m.of(kind))]
    if not of_seeds:
      continue
    color = f'C{number % 10}'
    style = ('-', '--', ':', '-.')[number // 10 % 4]
    if len(of_seeds) > 1:
      for values in of_seeds:
        axes.plot(*_points(values), color=color, alpha=_FAINT, linewidth=1)
    axes.plot(
      *_points(mean(of_seeds)),
      color=color,
      linestyle=style,
      marker='.',
      label=f'{setting} ({len(of_seeds)})'.replace('$', r'\$'),
    )
  axes.set_xlabel('step')
  axes.set_ylabel(kind.metric.replace('$', r'\$'))
  axes.legend(fontsize='x-small')


def _points(values):
  return list(values), list(values.values())
