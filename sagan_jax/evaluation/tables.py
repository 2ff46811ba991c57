"""Results of a run for people: a Markdown table and plots."""

import io
import re

from etils import epath

from sagan_jax import files
from sagan_jax.evaluation import protocol

# Told apart in the table and in the legend of a plot.
_LONGEST = 80  # Characters of a name in a plot.
_VARIANT = ('weights', 'bn_statistics', 'truncation')


def write(directory: epath.PathLike, records: list[dict]) -> None:
  """Writes `scores.md`, one plot per metric, and bars of the classes.

  Args:
    directory: where to; made if need be.
    records: of evaluations, of one protocol or of several: each gets its table.

  Raises:
    UserError: if a file cannot be written.
  """
  directory = epath.Path(directory)
  with files.writing(directory):
    directory.mkdir(parents=True, exist_ok=True)
  groups = _by_protocol(records)
  files.write(directory / 'scores.md', text(records))
  for i, group in enumerate(groups, 1):
    prefix = '' if len(groups) == 1 else f'protocol{i}_'
    _plot_steps(directory, group, prefix)
    _plot_classes(directory, group[-1], prefix)


def text(records: list[dict]) -> str:
  """Formats records as Markdown, a table for each protocol."""
  groups = _by_protocol(records)
  return '\n\n'.join(table(group) for group in groups) + '\n'


def _by_protocol(records):
  groups: list[list[dict]] = []
  for record in records:
    for group in groups:
      if protocol.is_same(group[0]['protocol'], record['protocol']):
        group.append(record)
        break
    else:
      groups.append([record])
  return groups


def table(records: list[dict]) -> str:
  """Formats records of one protocol as Markdown, the protocol below."""
  names = list(dict.fromkeys(n for r in records for n in r['scores']))
  varied = [
    key
    for key in ('step', *_VARIANT)
    if any(key in r['protocol'] for r in records)
  ]
  lines = [
    '| ' + ' | '.join([*varied, *names]) + ' |',
    '| ' + ' | '.join('---' for _ in [*varied, *names]) + ' |',
  ]
  for record in records:
    cells = [_cell(record['protocol'].get(key)) for key in varied]
    cells += [_cell(record['scores'].get(name)) for name in names]
    lines.append('| ' + ' | '.join(cells) + ' |')
  last = records[-1]['protocol']
  lines += ['', 'Protocol:', '']
  lines += [f'- {k}: {v}' for k, v in last.items() if k not in varied]
  return '\n'.join(lines)


def _cell(value):
  if value is None:
    return '-'
  return f'{value:.4f}' if isinstance(value, float) else str(value)


def _plot_steps(directory, records, prefix):
  """Each metric against the step, a line for every variant."""
  if len({r['protocol'].get('step') for r in records}) < 2:
    return
  for name in dict.fromkeys(n for r in records for n in r['scores']):
    figure, axes = _figure()
    variants = dict.fromkeys(_label(r) for r in records)
    for label in variants:
      points = sorted(
        (r['protocol']['step'], r['scores'][name])
        for r in records
        if _label(r) == label and name in r['scores']
      )
      axes.plot(*zip(*points, strict=True), marker='o', label=label)
    axes.set_xlabel('step')
    axes.set_ylabel(_plain(name))
    axes.legend()
    _save(figure, directory, f'{prefix}{name}')


def _plot_classes(directory, record, prefix):
  """The FID of every class, if they were computed."""
  per_class = record.get('per_class')
  if not per_class:
    return
  ordered = sorted(per_class.items(), key=lambda item: item[1])
  figure, axes = _figure(height=max(3, len(ordered) / 6))
  names = [_plain(name) for name, _ in ordered]
  axes.barh(range(len(names)), [value for _, value in ordered])
  axes.set_yticks(range(len(names)), names)  # Two classes may share a name.
  axes.set_xlabel('intra-class FID')
  _save(figure, directory, f'{prefix}classes')


def _label(record):
  parts = [f'{k}={record["protocol"].get(k)}' for k in _VARIANT]
  return _plain(' '.join(p for p in parts if not p.endswith('=None')))


def _plain(name):
  """A name as text: what lies between dollars would be read as a formula."""
  shown = ''.join(x if x.isprintable() else '?' for x in name[:_LONGEST])
  return shown.replace('$', r'\$')


def _save(figure, directory, name):
  """Saves a plot; no name of a metric leads out of the directory."""
  content = io.BytesIO()
  figure.savefig(content, format='png')
  name = re.sub(r'[^A-Za-z0-9_.-]', '_', name)
  files.write(directory / f'{name}.png', content.getvalue())


def _figure(height=4):
  # Not at import: it takes a second, and no evaluation needs a display.
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  figure = Figure(figsize=(7, height), layout='constrained')
  FigureCanvasAgg(figure)
  return figure, figure.subplots()
