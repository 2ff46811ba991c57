"""A sweep as tables: Markdown for people, CSV for programs."""

import csv
import io

from sagan_jax import progress
from sagan_jax.sweeps import comparison, results

_FIELDS = (
  'level',  # member, or setting: mean over its seeds
  'setting',
  'seed',
  'member',
  'state',
  'step',
  'num_steps',
  'images_per_sec',
  'secs',
  'metric',
  'variant',
  'protocol',
  'n',
  'last_step',
  'last',
  'last_std',
  'best_step',
  'best',
  'best_std',
)


def markdown(found):
  """Formats a sweep: its members, its settings over seeds, its protocols.

  Args:
    found: list of `results.Result`.

  Returns:
    Text.
  """
  numbers = protocol_numbers(found)
  states = [result.state for result in found]
  counts = ', '.join(
    f'{states.count(state)} {state}' for state in dict.fromkeys(states)
  )
  lines = [f'{len(found)} runs: {counts}', '', *_members(found, numbers)]
  compared = comparison.rows(found)
  if compared:
    lines += [
      '',
      'Over the seeds: mean ± sample standard deviation (n)',
      '',
      *_settings(compared, numbers),
    ]
  if len(numbers) > 1:
    lines += ['', 'Scores of different protocols cannot be compared:', '']
    lines += _protocols(found, numbers)
  failed = [result for result in found if result.state == results.FAILED]
  if failed:
    lines += ['', 'Failed:', '']
    lines += [f'- {result.name}: {result.message}' for result in failed]
  return '\n'.join(lines) + '\n'


def csv_text(found):
  """The same numbers, a row per member or setting and kind of score."""
  file = io.StringIO()
  writer: csv.DictWriter[str] = csv.DictWriter(
    file, _FIELDS, lineterminator='\n'
  )
  writer.writeheader()
  for result in found:
    writer.writerows(_member_rows(result))
  for row in comparison.rows(found):
    writer.writerow(
      {
        'level': 'setting',
        'setting': row.setting,
        **vars(row.kind),
        'n': row.n,
        'last_step': row.last_steps[0]
        if len(set(row.last_steps)) == 1
        else None,
        'last': row.last.mean,
        'last_std': row.last.std,
        'best': row.best.mean,
        'best_std': row.best.std,
      }
    )
  return file.getvalue()


def label(kind, numbers):
  """Names a kind of score: its protocol only where there are several."""
  protocol = f', protocol {numbers[kind.protocol]}' if len(numbers) > 1 else ''
  return f'{kind.metric} ({kind.variant or "images"}{protocol})'


def _members(found, numbers):
  kinds = comparison.kinds(found)
  heads = [x for k in kinds for x in (label(k, numbers), 'best')]
  table = [['run', 'state', 'step', 'images/s', 'time', *heads]]
  for result in found:
    speed, secs = result.images_per_sec, result.secs
    cells = [
      result.name,
      result.state,
      f'{result.step}/{result.num_steps}',
      '-' if speed is None else f'{speed:.1f}',
      progress.duration(secs) if secs else '-',
    ]
    for kind in kinds:
      reached = comparison.reached(result, kind)
      cells += (
        [f'{reached.last:.4g}', f'{reached.best:.4g} at {reached.best_step}']
        if reached
        else ['-', '-']
      )
    table.append(cells)
  return _rule(table)


def _settings(rows, numbers):
  table = [['setting', 'score', 'n', 'last at step', 'last', 'best']]
  for row in rows:
    first, last = row.last_steps
    table.append(
      [
        row.setting,
        label(row.kind, numbers),
        f'{row.n}' if row.n == row.of else f'{row.n} of {row.of}',
        f'{first}' if first == last else f'{first} to {last}',
        _spread(row.last),
        _spread(row.best),
      ]
    )
  return _rule(table)


def _protocols(found, numbers):
  """A line for each protocol, of what differs between them."""
  known = {k: v for result in found for k, v in result.protocols.items()}
  keys = sorted({key for content in known.values() for key in content})
  differing = [
    key
    for key in keys
    if len({repr(content.get(key)) for content in known.values()}) > 1
  ]
  return [
    f'- protocol {number}: '
    + ', '.join(f'{key} {known[digest].get(key)!r}' for key in differing)
    for digest, number in numbers.items()
  ]


def protocol_numbers(found):
  """{digest: number from 1}, in order of appearance."""
  digests = dict.fromkeys(kind.protocol for kind in comparison.kinds(found))
  return {digest: number for number, digest in enumerate(digests, 1)}


def _member_rows(result):
  shared = {
    'level': 'member',
    'setting': result.setting,
    'seed': result.seed,
    'member': result.name,
    'state': result.state,
    'step': result.step,
    'num_steps': result.num_steps,
    'images_per_sec': result.images_per_sec,
    'secs': round(result.secs, 1),
  }
  if not result.kinds:
    return [shared]
  return [
    shared | vars(kind) | {'n': 1} | vars(comparison.reached(result, kind))
    for kind in result.kinds
  ]


def _spread(spread):
  std = '' if spread.std is None else f' ± {spread.std:.2g}'
  return f'{spread.mean:.4g}{std}'


def _rule(table):
  """A Markdown table; its first row is the head."""
  rows = [[cell.replace('|', r'\|') for cell in row] for row in table]
  rows.insert(1, ['---'] * len(rows[0]))
  return ['| ' + ' | '.join(row) + ' |' for row in rows]
