"""Plans training on hardware that is not here: memory, speed, time, cost.

  python -m sagan_jax.plan --config=imagenet --topology=v5e:4x4 \\
    --config.dtype=bfloat16 --batch_sizes=256,2048

Compiles the real step for a TPU slice (with libtpu, which needs no TPU: pip
install 'sagan_jax[plan]') or for virtual CPU devices, without data, and reads
what the compiler says. All times are its estimates.
"""

import json

from sagan_jax import errors, files
from sagan_jax.config import command_line
from sagan_jax.run import command

_TRIES = 3  # To find the largest batch.


def main(argv=None):
  """Runs the command; see the module.

  Args:
    argv: arguments; None is those of the process.

  Raises:
    UserError: if the config, the topology or a file is refused, or there is no
      compiler for it.
  """
  args = _parse(argv)
  from sagan_jax.config import compatibility, schema
  from sagan_jax.planning import compiler, report, topologies

  topology = topologies.find(args.topology)
  c = _with_classes(schema.load(args.config, args.overrides))
  if c.num_devices not in (None, topology.num_devices):
    raise errors.UserError(
      f'num_devices is {c.num_devices}, {topology.name} has '
      f'{topology.num_devices}; unset --config.num_devices'
    )
  sizes = list(dict.fromkeys(args.batch_sizes or [c.batch_size]))
  for size in sizes:
    compatibility.check(
      schema.replace(c, batch_size=size), topology.num_devices
    )
  before = _before(args.compare, topology)
  compiler.check(topology)
  if args.json is not None:  # Refused now rather than after the work.
    files.write(files.as_path(args.json), '{}\n')
  print(report.NOTE + '\n')
  rows = _rows(c, topology, sizes, args)
  if args.json is not None:
    _save(rows, args.json)
  if before is not None and rows[0]['fits']:
    print('\n'.join(report.origins(rows[0], topology, before)))


def _rows(c, topology, sizes, args):
  """Plans and reports every batch size, and the largest if asked for."""
  from sagan_jax.planning import estimate, report

  rows = []

  def plan(size, last):
    row = _row(c, topology, size, args)
    rows.append(row)
    if last and topology.chip is not None:
      row['largest_batch'] = estimate.largest_batch(c, topology, rows)
    print(report.render(row, topology, args.price_per_chip_hour), flush=True)
    return row

  for size in sizes:
    row = plan(size, last=size == sizes[-1])
  for _ in range(_TRIES if args.largest_batch else 0):
    largest = row.get('largest_batch')
    if largest is None or largest[0] == row['batch_size']:
      break
    row = plan(largest[0], last=True)
  return rows


def _row(c, topology, size, args):
  """Returns what is known of one batch size."""
  from sagan_jax.config import schema
  from sagan_jax.planning import compiler, estimate

  c = schema.replace(c, batch_size=size)
  account = compiler.account(c, topology, args.cache)
  made = estimate.make(c, topology, account)
  return {
    'config': args.config,
    'topology': topology.name,
    'batch_size': size,
    'num_steps': c.num_steps,
    **account,
    'estimate': made,
    'advice': estimate.advice(c, topology, account, made),
    'versions': compiler.versions(),
  }


def _with_classes(c):
  """Returns the config with its number of classes known."""
  from sagan_jax import data
  from sagan_jax.config import schema

  if c.num_classes is not None:
    return c
  found = data.known_num_classes(c.dataset.name)
  if found is None:
    raise errors.UserError(
      'num_classes=None follows the data set, which a plan does not open; set '
      '--config.num_classes'
    )
  return schema.replace(c, num_classes=found)


def _before(path, topology):
  """Returns the plan to compare with; None if none is given."""
  if path is None:
    return None
  before = files.read_json(files.as_path(path))
  origins = before.get('origins') if isinstance(before, dict) else None
  if not isinstance(origins, dict) or not all(
    map(_is_cycles, origins.values())
  ):
    raise errors.UserError(
      f'--compare={path} is no plan for a TPU; give what --json wrote'
    )
  if before.get('topology') != topology.name:
    raise errors.UserError(
      f'--compare={path} is of {str(before.get("topology"))[:40]}, this is '
      f'{topology.name}; give one of the same --topology'
    )
  return before


def _is_cycles(value):
  return isinstance(value, (int, float)) and 0 <= value < 1e18


def _save(rows, path):
  """Writes the figures of the first batch size, and 'further' ones in it."""
  first, *further = rows
  content = json.dumps({**first, 'further': further}, indent=2) + '\n'
  files.write(files.as_path(path), content)


def _parse(argv):
  parser = command_line.make_parser('plan', __doc__)
  command_line.add_config(parser, required=True)
  parser.add_argument(
    '--topology',
    metavar='NAME',
    required=True,
    help='GENERATION:SIZE of a TPU slice (v4, v5e, v5p, v6e; e.g. v5e:4x4), what '
    'clouds call it (v5litepod-16), or cpu:N',
  )
  parser.add_argument(
    '--batch_sizes',
    type=command_line.positives,
    metavar='N,...',
    help='images per step (default: that of the config)',
  )
  parser.add_argument(
    '--largest_batch',
    action='store_true',
    help='compile the largest batch that should fit too, and smaller ones if it '
    'does not',
  )
  parser.add_argument(
    '--price_per_chip_hour',
    type=command_line.above_zero,
    metavar='PRICE',
    help='in any currency; the cost of num_steps follows',
  )
  parser.add_argument(
    '--json',
    metavar='FILE',
    help='write the figures there: of the first batch size, and of others '
    'under "further"',
  )
  parser.add_argument(
    '--compare',
    metavar='FILE',
    help='a --json of before: show both by origin, for the first batch size',
  )
  parser.add_argument(
    '--cache',
    metavar='DIR',
    help='where results are kept by config, versions and source code, or off '
    '(default: in ~/.cache/sagan_jax)',
  )
  return command_line.parse(parser, argv)


if __name__ == '__main__':
  command.run(main)
