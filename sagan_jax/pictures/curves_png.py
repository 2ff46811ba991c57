"""The curves of a run as a picture, for where no page is looked at."""

import io
import math

_COLUMNS = 2
_PANEL_INCHES = (6, 3)


def draw(steps, drawn):
  """Draws the plots of one run.

  Args:
    steps: (first, mean, last) of its points.
    drawn: list of `panels.Panel`; at least one.

  Returns:
    The bytes of a PNG file.
  """
  # Not at import: it takes a second, and there may be no display.
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  lines = math.ceil(len(drawn) / _COLUMNS)
  width, height = _PANEL_INCHES
  figure = Figure(figsize=(width * _COLUMNS, height * lines))
  FigureCanvasAgg(figure)
  axes = figure.subplots(lines, _COLUMNS, squeeze=False).flatten()
  # By hand: to find the best layout takes longer than all the rest.
  edge = 0.35 / (height * lines)
  figure.subplots_adjust(
    left=0.05, right=0.99, bottom=edge, top=1 - edge, hspace=0.3, wspace=0.12
  )
  _, mean_steps, _ = steps
  for plot, panel in zip(axes, drawn, strict=False):
    for series in panel.series:
      there = series.mean == series.mean  # A row may not have it.
      x = mean_steps[there]
      (line,) = plot.plot(
        x, series.mean[there], linewidth=1, label=_plain(series.name)
      )
      if series.low is not None:
        plot.fill_between(
          x,
          series.low[there],
          series.high[there],
          color=line.get_color(),
          alpha=0.25,
          linewidth=0,
        )
    plot.set_title(_plain(panel.title), fontsize='medium', loc='left')
    plot.legend(
      fontsize='x-small',
      loc='lower right',
      bbox_to_anchor=(1, 1),
      ncols=4,
      handlelength=1,
      columnspacing=1,
      frameon=False,
    )
    plot.tick_params(labelsize='small')
  for plot in axes[len(drawn) :]:
    plot.set_axis_off()
  content = io.BytesIO()
  figure.savefig(content, format='png')
  return content.getvalue()


def _plain(name):
  """A name as text: what lies between dollars would be read as a formula."""
  name = name.removeprefix('_') or '_'  # A legend leaves out such names.
  return name.replace('$', r'\$')
