"""Results of a run for people: a Markdown table and plots."""

import pathlib

from sagan_jax.evaluation import protocol

# Told apart in the table and in the legend of a plot.
_VARIANT = ('weights', 'bn_statistics', 'truncation')


def write(directory: pathlib.Path, records: list[dict]) -> pathlib.Path:
  """Writes `scores.md`, a plot a metric, and bars of the classes.

  Args:
    directory: where to; made if need be.
    records: of `evaluate`, of one protocol or of several: each gets its table.

  Returns:
    The path of the table.
  """
  directory.mkdir(parents=True, exist_ok=True)
  groups: list[list[dict]] = []
  for record in records:
    for group in groups:
      if _same(group[0]['card'], record['card']):
        group.append(record)
        break
    else:
      groups.append([record])
  path = directory / 'scores.md'
  path.write_text('\n\n'.join(table(group) for group in groups) + '\n')
  for i, group in enumerate(groups, 1):
    prefix = '' if len(groups) == 1 else f'protocol{i}_'
    _plot_steps(directory, group, prefix)
    _plot_classes(directory, group[-1], prefix)
  return path


def table(records: list[dict]) -> str:
  """Formats records of one protocol as Markdown, the protocol below."""
  names = list(dict.fromkeys(n for r in records for n in r['scores']))
  varied = [
    key for key in ('step', *_VARIANT) if any(key in r['card'] for r in records)
  ]
  lines = [
    '| ' + ' | '.join([*varied, *names]) + ' |',
    '| ' + ' | '.join('---' for _ in [*varied, *names]) + ' |',
  ]
  for record in records:
    cells = [_cell(record['card'].get(key)) for key in varied]
    cells += [_cell(record['scores'].get(name)) for name in names]
    lines.append('| ' + ' | '.join(cells) + ' |')
  card = records[-1]['card']
  lines += ['', 'Protocol:', '']
  lines += [f'- {k}: {v}' for k, v in card.items() if k not in varied]
  return '\n'.join(lines)


def _same(card_a, card_b):
  try:
    protocol.check_same(card_a, card_b)
  except ValueError:
    return False
  return True


def _cell(value):
  if value is None:
    return '-'
  return f'{value:.4f}' if isinstance(value, float) else str(value)


def _plot_steps(directory, records, prefix):
  """Each metric against the step, a line for every variant."""
  if len({r['card'].get('step') for r in records}) < 2:
    return
  for name in dict.fromkeys(n for r in records for n in r['scores']):
    figure, axes = _figure()
    variants = dict.fromkeys(_label(r) for r in records)
    for label in variants:
      points = sorted(
        (r['card']['step'], r['scores'][name])
        for r in records
        if _label(r) == label and name in r['scores']
      )
      axes.plot(*zip(*points, strict=True), marker='o', label=label)
    axes.set_xlabel('step')
    axes.set_ylabel(name)
    axes.legend()
    figure.savefig(directory / f'{prefix}{name}.png')


def _plot_classes(directory, record, prefix):
  """The FID of every class, if they were computed."""
  per_class = record.get('per_class')
  if not per_class:
    return
  ordered = sorted(per_class.items(), key=lambda item: item[1])
  figure, axes = _figure(height=max(3, len(ordered) / 6))
  axes.barh([name for name, _ in ordered], [value for _, value in ordered])
  axes.set_xlabel('intra-class FID')
  figure.savefig(directory / f'{prefix}classes.png')


def _label(record):
  parts = [f'{k}={record["card"].get(k)}' for k in _VARIANT]
  return ' '.join(p for p in parts if not p.endswith('=None'))


def _figure(height=4):
  # Not at import: it takes a second, and no evaluation needs a display.
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  figure = Figure(figsize=(7, height), layout='constrained')
  FigureCanvasAgg(figure)
  return figure, figure.subplots()
