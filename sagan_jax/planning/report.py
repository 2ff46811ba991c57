"""The report of a plan, for a terminal of 100 columns."""

import textwrap

WIDTH = 100
_MIB, _GIB = 2**20, 2**30
NOTE = """\
Estimates of the compiler, not measurements: its cycles at a clock inferred from the peak rate,
messages at a guessed rate of links. Real steps also wait for data and for each other."""


def render(row, topology, price=None) -> str:
  """The report of one batch size.

  Args:
    row: an account, with 'config', 'batch_size', 'num_steps', 'estimate',
      'advice' and 'largest_batch', as `plan` makes them.
    topology: a `topologies.Topology`.
    price: of a chip, per hour; None if not given.
  """
  chip = topology.chip
  lines = [
    f'{row["config"]}, {topology.name} ({topology.num_devices} '
    f'{"devices" if chip is None else chip.kind}), batch {row["batch_size"]}, '
    f'{row["estimate"]["images_per_chip"]:g} images per chip',
    '',
    *_line('memory', _memory(row, chip)),
  ]
  if row['fits']:
    lines += _line('work', _work(row))
    lines += _messages(row['collectives'])
    if chip is not None:
      lines += _speed(row, price)
      lines += origins(row, topology)
  if row.get('largest_batch'):
    size, how = row['largest_batch']
    lines += _line('largest batch', f'{size} ({how})')
  for text in row['advice']:
    lines += _line('advice', text)
  return '\n'.join([*lines, ''])


def _line(name, text):
  return textwrap.wrap(
    f'{name:15} {text}',
    WIDTH,
    subsequent_indent=' ' * 16,
    break_on_hyphens=False,
  )


def _memory(row, chip):
  if not row['fits']:
    if not row['needed_bytes']:
      return 'does not fit'
    return (
      f'does not fit: {row["needed_bytes"] / _GIB:.2f} GiB per chip needed, '
      f'{row["available_bytes"] / _GIB:.2f} GiB there'
    )
  memory = row['memory']
  text = (
    f'{memory["arguments"] / _MIB:,.0f} MiB arguments, '
    f'{memory["temporaries"] / _MIB:,.0f} temporaries, '
    f'{memory["peak"] / _MIB:,.0f} peak per chip'
  )
  if chip is None:
    return text
  return (
    f'{text}: fits, {memory["peak"] / chip.hbm_bytes:.0%} of '
    f'{chip.hbm_bytes / _GIB:.2f} GiB'
  )


def _work(row):
  per_image = row['flops_per_image'] / 1e9
  by_formula = per_image * row['estimate']['images_per_chip']
  return (
    f'{by_formula:,.1f} GFLOP per chip by formula ({per_image:.2f} per image), '
    f'{row["compiler_flops"] / 1e9:,.1f} by the compiler'
  )


def _messages(collectives):
  lines = []
  for row in collectives:
    lines += _line(
      '' if lines else 'messages',
      f'{row["count"]} {row["kind"]} of {row["dtype"]}, '
      f'{row["bytes"] / 1e6:,.2f} MB'
      f'{", asynchronous" if row["asynchronous"] else ""}',
    )
  return lines or _line('messages', 'none')


def _speed(row, price):
  estimate = row['estimate']
  lines = _line('HBM traffic', f'{row["hbm_bytes"] / 1e9:,.2f} GB per chip')
  lines += _line('padding', _padding(row['padding']))
  step = (
    f'{row["cycles"] / 1e6:.2f} Mcycles = '
    f'{1e3 * estimate["compute_secs"]:.2f} ms, and '
    f'{1e3 * estimate["all_reduce_secs"]:.2f} ms of messages: '
    f'{estimate["images_per_sec_per_chip"]:,.0f} images/s per chip, '
    f'{estimate["effective_mfu"]:.0%} of the peak by formula'
  )
  if estimate['all_reduce_secs']:
    rate = estimate['images_per_sec_per_chip_without_all_reduces']
    step += f'; {rate:,.0f} images/s without messages'
  lines += _line('step', step)
  bounds = [
    f'{1e3 * secs:.2f} ms ({estimate["images_per_chip"] / secs:,.0f} images/s) '
    f'by {what}'
    for what, secs in (
      ('memory traffic', estimate['hbm_bound_secs']),
      ('matrix units', estimate['flop_bound_secs']),
    )
  ]
  lines += _line('bounds', ', '.join(bounds))
  text = (
    f'{estimate["hours"]:,.2f} h for {row["num_steps"]:,} steps, '
    f'{estimate["chip_hours"]:,.1f} chip-hours'
  )
  if price is not None:
    text += f', {estimate["chip_hours"] * price:,.2f} at {price:g} each'
  return lines + _line('run', f'{text} (without evaluation and start)')


def _padding(padding):
  if not padding['logical_bytes']:
    return 'no large arrays'
  ratio = padding['physical_bytes'] / padding['logical_bytes']
  worst = [
    f'{x["count"]} x {x["array"]} '
    f'{x["physical_bytes"] / x["logical_bytes"]:.2g}x'
    for x in padding['worst'][:3]
  ]
  return '; most: '.join(
    [f'large arrays take {ratio:.2f} times their size in tiles']
    + [', '.join(worst)] * bool(worst)
  )


def origins(account, topology, before=None) -> list[str]:
  """A Markdown table of the milliseconds that each part of a step takes.

  Args:
    account: of a TPU.
    topology: of it.
    before: another account to show beside it, or None.

  Returns:
    Its lines.
  """
  accounts = [account] if before is None else [before, account]
  names = dict.fromkeys(
    name
    for one in accounts
    for name in sorted(one['origins'], key=one['origins'].get, reverse=True)
  )
  head = ['ms', 'share'] if before is None else ['ms before', 'ms after']
  rows = [['origin', *head], ['---', *['---:' for _ in head]]]
  for name in [*names, None]:
    cycles = [
      one['cycles'] if name is None else one['origins'].get(name, 0)
      for one in accounts
    ]
    cells = [f'{1e3 * x / topology.chip.clock_hz:.2f}' for x in cycles]
    if before is None:
      cells.append(f'{cycles[0] / account["cycles"]:.0%}')
    rows.append([(name or 'all').replace('_', ' '), *cells])
  return ['', *('| ' + ' | '.join(row) + ' |' for row in rows), '']
