"""Scores of runs as tables and plots of a page."""

from typing import NamedTuple

from sagan_jax.metrics import scores
from sagan_jax.pictures import page

_MAX_ROWS = 300


class Row(NamedTuple):
  """The scores of a state."""

  run: int  # Its number.
  step: int
  variant: str  # Of the generator.
  scores: dict[str, float]


class Group(NamedTuple):
  """Scores that may be compared."""

  protocol: dict
  rows: list[Row]


def plots(group):
  """A plot for each metric that has two steps.

  Args:
    group: a `Group`.

  Returns:
    A list of what a script draws.
  """
  drawn = []
  for name in _metrics(group):
    series = {}
    for row in group.rows:
      if name in row.scores:
        points = series.setdefault((row.run, row.variant), {})
        points[row.step] = row.scores[name]
    if len({step for points in series.values() for step in points}) < 2:
      continue
    drawn.append(
      {
        'title': name,
        'about': '',
        'series': [
          {
            'run': run,
            'name': variant,
            'lost': 0,
            'steps': {'mean': sorted(points)},
            'mean': [points[step] for step in sorted(points)],
          }
          for (run, variant), points in series.items()
        ],
      }
    )
  return drawn


def table(group, labels):
  """A table of all rows, the best of each metric set off, and the protocol.

  Args:
    group: a `Group`.
    labels: of the runs.

  Returns:
    HTML.
  """
  names = _metrics(group)
  best = {name: _best(group.rows, name) for name in names}
  several = len(labels) > 1
  head = ['run'] * several + ['step', 'generator', *names]
  lines = [f'<tr>{"".join(f"<th>{page.escape(x)}</th>" for x in head)}</tr>']
  for row in group.rows[-_MAX_ROWS:]:
    cells = [labels[row.run]] * several + [f'{row.step:,}', row.variant]
    text = ''.join(f'<td>{page.escape(x)}</td>' for x in cells)
    for name in names:
      mark = ' class="best"' if best[name] is row else ''
      value = row.scores.get(name)
      text += f'<td{mark}>{"-" if value is None else f"{value:.4f}"}</td>'
    lines.append(f'<tr>{text}</tr>')
  note = ''
  if len(group.rows) > _MAX_ROWS:
    note = f'<p class="faint">The last {_MAX_ROWS} of {len(group.rows):,}.</p>'
  facts = ''.join(
    f'<dt>{page.escape(key)}</dt><dd>{page.escape(value)}</dd>'
    for key, value in group.protocol.items()
  )
  return (
    f'<div class="scroll tall"><table>{"".join(lines)}</table></div>{note}'
    f'<details><summary>Their protocol</summary><dl>{facts}</dl></details>'
  )


def _metrics(group):
  return list(dict.fromkeys(name for row in group.rows for name in row.scores))


def _best(rows, name):
  """The row with the best finite score; None of spreads, which are no scores."""
  found = None
  if name.endswith('_std'):
    return None
  for row in rows:
    value = row.scores.get(name)
    if value is None or not abs(value) < float('inf'):
      continue
    if found is None or scores.is_better(name, value, found.scores[name]):
      found = row
  return found
