"""The report of a plan, for a terminal of 100 columns."""

import textwrap

WIDTH = 100
_MIB, _GIB = 2**20, 2**30
NOTE = (
  'Estimates of the compiler, not measurements: its cycles at a clock inferred from the peak rate, '
  'messages at a guessed rate of links. Real steps also wait for data and for each other.'
)


def render(row, topology, price=None) -> str:
  """The report of one batch size.

  Args:
    row: an account, with 'config', 'batch_size', 'num_steps', 'estimate', 'advice'
      and 'largest_batch', as `plan` makes them.
    topology: a `topologies.Topology`.
    price: of a chip, per hour; None if not given.
  """
  account, estimate = row, row['estimate']
  lines = [
    f'{row["config"]}, {topology.name} ({topology.num_devices} '
    f'{"devices" if topology.chip is None else topology.chip.kind}), batch '
    f'{row["batch_size"]}, {estimate["images_per_chip"]:g} images per chip',
    '',
  ]
  lines += _memory(account, topology)
  if account['fits']:
    lines += _work(account, estimate)
    lines += _messages(account['collectives'])
    if topology.chip is not None:
      lines += _speed(row, price)
      lines += origins(account, topology)
  if row.get('largest_batch'):
    size, how = row['largest_batch']
    lines += _wrapped('largest batch', f'{size} ({how})')
  for text in row['advice']:
    lines += _wrapped('advice', text)
  return '\n'.join(lines)


def _line(name, text):
  return f'{name:15} {text}'


def _wrapped(name, text):
  return textwrap.wrap(_line(name, text), WIDTH, subsequent_indent=' ' * 16)


def _memory(account, topology):
  if not account['fits']:
    needed = account['needed_bytes']
    text = 'does not fit'
    if needed:
      text += (
        f': {needed / _GIB:.2f} GiB per chip needed, '
        f'{account["available_bytes"] / _GIB:.2f} GiB there'
      )
    return [_line('memory', text)]
  memory = account['memory']
  text = (
    f'{memory["arguments"] / _MIB:,.0f} MiB arguments, '
    f'{memory["temporaries"] / _MIB:,.0f} temporaries, '
    f'{memory["peak"] / _MIB:,.0f} peak per chip'
  )
  if topology.chip is not None:
    share = memory['peak'] / topology.chip.hbm_bytes
    text += f': fits, {share:.0%} of {topology.chip.hbm_bytes / _GIB:.2f} GiB'
  return [_line('memory', text)]


def _work(account, estimate):
  per_image = account['flops_per_image'] / 1e9
  by_formula = per_image * estimate['images_per_chip']
  lines = [
    _line(
      'work',
      f'{by_formula:,.1f} GFLOP per chip by formula '
      f'({per_image:.2f} per image), '
      f'{account["compiler_flops"] / 1e9:,.1f} by the compiler',
    )
  ]
  padding = account.get('padding')
  if padding:
    lines.append(
      _line(
        'HBM traffic',
        f'{account["hbm_bytes"] / 1e9:,.2f} GB per step and chip',
      )
    )
    if padding['logical_bytes']:
      ratio = padding['physical_bytes'] / padding['logical_bytes']
      worst = ', '.join(
        f'{x["count"]} x {x["array"]} '
        f'{x["physical_bytes"] / x["logical_bytes"]:.2g}x'
        for x in padding['worst'][:3]
      )
      text = f'large arrays take {ratio:.2f} times their size in tiles'
      lines += _wrapped('padding', text + (f'; most: {worst}' if worst else ''))
  return lines


def _messages(collectives):
  if not collectives:
    return [_line('messages', 'none')]
  return [
    _line(
      'messages' if not i else '',
      f'{row["count"]} {row["kind"]} of {row["dtype"]}, '
      f'{row["bytes"] / 1e6:,.2f} MB'
      f'{", asynchronous" if row["asynchronous"] else ""}',
    )
    for i, row in enumerate(collectives)
  ]


def _speed(row, price):
  estimate = row['estimate']
  rate = estimate['images_per_sec_per_chip']
  per_chip = estimate['images_per_chip']
  lines = [
    _line(
      'step',
      f'{row["cycles"] / 1e6:.2f} Mcycles = '
      f'{1e3 * estimate["compute_secs"]:.2f} ms, and '
      f'{1e3 * estimate["all_reduce_secs"]:.2f} ms of messages: '
      f'{rate:,.0f} images/s per chip,',
    ),
    _line(
      '',
      f'{estimate["effective_mfu"]:.0%} of the peak by formula; '
      f'{estimate["images_per_sec_per_chip_without_all_reduces"]:,.0f} images/s '
      'without messages',
    ),
    _line(
      'bounds',
      ', '.join(
        f'{1e3 * estimate[key]:.2f} ms ({per_chip / estimate[key]:,.0f} '
        f'images/s) by {what}'
        for key, what in (
          ('hbm_bound_secs', 'memory traffic'),
          ('flop_bound_secs', 'matrix units'),
        )
      ),
    ),
  ]
  text = (
    f'{estimate["hours"]:,.2f} h for {row["num_steps"]:,} steps, '
    f'{estimate["chip_hours"]:,.1f} chip-hours'
  )
  if price is not None:
    text += f', {estimate["chip_hours"] * price:,.2f} at {price:g} each'
  lines.append(_line('run', text + ' (without evaluation and start)'))
  return lines


def origins(account, topology, before=None) -> list[str]:
  """A Markdown table of the compiler's cycles by what they are for.

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
