"""Small line charts over steps, as SVG that follows the page's colours."""

from sagan_jax.pictures import page

_WIDTH, _HEIGHT = 280, 120
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 8, 8, 18  # Margins.


def lines(title, steps, series):
  """Draws lines over steps; shares on an axis that begins at 0.

  Args:
    title: of the chart, for those who cannot see it.
    steps: ascending, at least two.
    series: {CSS class: values in [0, 1], None where there is none}.

  Returns:
    SVG text; empty if there is nothing to draw.
  """
  values = [v for line in series.values() for v in line if v is not None]
  if not values:
    return ''
  top = max(*values, 0.05)
  first, last = steps[0], steps[-1]

  def place(step, value):
    x = _LEFT + (step - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)
    y = _HEIGHT - _BOTTOM - value / top * (_HEIGHT - _TOP - _BOTTOM)
    return f'{x:.1f},{y:.1f}'

  drawn = ''.join(
    f'<polyline class="{page.escape(name)}" points="'
    + ' '.join(
      place(step, value)
      for step, value in zip(steps, line, strict=True)
      if value is not None
    )
    + '"/>'
    for name, line in series.items()
  )
  base = _HEIGHT - _BOTTOM
  return (
    f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img" '
    f'aria-label="{page.escape(title)}">'
    f'<path class="axis" fill="none" d="M{_LEFT} {_TOP}V{base}H{_WIDTH}"/>'
    f'<text x="{_LEFT - 4}" y="{_TOP + 8}" text-anchor="end">'
    f'{100 * top:.0f} %</text>'
    f'<text x="{_LEFT - 4}" y="{base}" text-anchor="end">0</text>'
    f'<text x="{_LEFT}" y="{_HEIGHT - 4}">step {first}</text>'
    f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 4}" text-anchor="end">{last}'
    f'</text>{drawn}</svg>'
  )
