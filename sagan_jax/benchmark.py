"""Measures a config on this machine: the step, its input, and both together.

  python -m sagan_jax.benchmark --config=experiments/imagenet.py

Runs on any backend and needs no TensorFlow unless the data set does. Rates are
images of a batch per second: a step counts its batch once, however many
discriminator updates it makes.
"""

import argparse
import functools
import itertools
import json

from sagan_jax import errors, files
from sagan_jax.config import command_line
from sagan_jax.run import command, program_cache

COLUMNS = {
  'resample': '{}',
  'dtype': '{}',
  'batch_size': '{}',
  'compile_secs': '{:.0f}',
  'step_secs': '{:.4f}',
  'images_per_sec': '{:.2f}',
  'fed_images_per_sec': '{:.2f}',
  'gflop_per_image': '{:.1f}',
  'compiler_gflop_per_image': '{:.1f}',
  'matmul_tflops': '{:.3f}',
  'effective_mfu': '{:.1%}',
  'step_mib': '{:.0f}',
}


def main(argv=None):
  """Prints a table of figures, a row per variant of the config.

  Args:
    argv: arguments; None is those of the process.

  Raises:
    UserError: if the config, a variant of it or a file is refused; all variants
      are checked before the first is measured.
  """
  args = _parse(argv)
  command.join(args)
  # Imported here so that --help answers at once.
  import jax

  from sagan_jax.cluster import sharding
  from sagan_jax.config import compatibility, schema
  from sagan_jax.gan import measure

  c = schema.load(args.config, args.overrides)
  mesh = sharding.make_mesh(c.num_devices)
  source, why_not = _open_source(c) if args.input else (None, 'not asked for')
  c = _with_classes(c, source, why_not)
  variants = _variants(c, args)
  for variant in variants:
    compatibility.check(variant, mesh.size, jax.process_count())

  if jax.process_index():  # All measure, and the first tells.
    args.json = None
    say = _say_nothing
  else:
    say = functools.partial(print, flush=True)
  report = {'machine': measure.machine(mesh), 'rows': []}
  # Refused now rather than after the work.
  _save(report, args.json)
  if args.profile is not None:
    with files.writing(args.profile):
      files.as_path(args.profile).mkdir(parents=True, exist_ok=True)
  say(json.dumps(report['machine']))
  if source is None:
    say(f'input: not measured: {why_not}')
  else:
    rate = report['input_images_per_sec'] = measure.measure_input(source, c)
    say(f'{source.name}: {rate:.0f} images/s')
  for variant in variants:
    profile = args.profile if variant is variants[-1] else None
    report['rows'].append(_measure(variant, mesh, source, args, profile))
    say(table(report['rows'][-1:]))
    _save(report, args.json)
  if len(variants) > 1:
    say(table(report['rows']))


def _say_nothing(text):
  del text


def table(rows):
  """Formats rows of figures as a Markdown table; what is absent is a dash."""
  lines = [
    '| ' + ' | '.join(COLUMNS) + ' |',
    '| ' + ' | '.join('---' for _ in COLUMNS) + ' |',
  ]
  for row in rows:
    cells = [
      '-' if row.get(name) is None else form.format(row[name])
      for name, form in COLUMNS.items()
    ]
    lines.append('| ' + ' | '.join(cells) + ' |')
  return '\n'.join(lines)


def _measure(c, mesh, source, args, profile):
  """Returns the row of one variant."""
  from sagan_jax.gan import measure

  row = {'resample': c.resample, 'dtype': c.dtype, 'batch_size': c.batch_size}
  row |= measure.measure_step(
    c,
    mesh,
    steps=args.steps,
    warmup=args.warmup,
    source=source,
    profile=profile,
  )
  peak = measure.matmul_flops(mesh, c.dtype)
  row['matmul_tflops'] = peak / 1e12
  row['effective_mfu'] = (
    row['images_per_sec'] * row['gflop_per_image'] * 1e9 / peak
  )
  return row


def _variants(c, args):
  """Returns the configs to measure, in the order of the table."""
  from sagan_jax.config import schema

  return [
    schema.replace(c, resample=form, dtype=dtype, batch_size=batch_size)
    for form, dtype, batch_size in itertools.product(
      args.forms or [c.resample],
      args.dtypes or [c.dtype],
      args.batch_sizes or [c.batch_size],
    )
  ]


def _open_source(c):
  """Returns the data set and None, or None and why it cannot be read."""
  from sagan_jax import data

  try:
    source = data.make_source(image_size=c.image_size, **vars(c.dataset))
  except errors.UserError as e:
    return None, str(e)
  return (data.unlabelled(source) if c.num_classes == 1 else source), None


def _with_classes(c, source, why_not):
  """Returns the config with its number of classes known."""
  from sagan_jax.config import schema

  if c.num_classes is not None:
    return c
  if source is None:
    raise errors.UserError(
      'num_classes=None follows the data set, which is not there '
      f'({why_not}); set --config.num_classes'
    )
  return schema.replace(c, num_classes=source.num_classes)


def _save(report, path):
  if path is not None:
    files.write(files.as_path(path), json.dumps(report, indent=2) + '\n')


def _parse(argv):
  """Returns the arguments and the config that they name."""
  parser = command_line.make_parser('benchmark', __doc__)
  command_line.add_config(parser, required=True)
  parser.add_argument(
    '--forms',
    type=_list,
    metavar='FORM,...',
    help='resampling forms (default: that of the config)',
  )
  parser.add_argument(
    '--dtypes',
    type=_list,
    metavar='DTYPE,...',
    help='activation dtypes (default: that of the config)',
  )
  parser.add_argument(
    '--batch_sizes',
    type=command_line.positives,
    metavar='N,...',
    help='images per batch (default: that of the config)',
  )
  parser.add_argument(
    '--steps',
    type=command_line.positive,
    default=50,
    help='steps whose median is reported (default: 50)',
  )
  parser.add_argument(
    '--warmup',
    type=command_line.positive,
    default=10,
    help='steps before these (default: 10)',
  )
  parser.add_argument(
    '--input',
    action=argparse.BooleanOptionalAction,
    default=True,
    help='measure the data set too, and the step fed from it',
  )
  parser.add_argument('--json', metavar='FILE', help='write the figures there')
  parser.add_argument(
    '--profile',
    metavar='DIR',
    help='write a trace of three steps of the last variant there',
  )
  command.add_arguments(parser)
  # A program out of a cache would tell nothing of compiling.
  parser.set_defaults(compilation_cache=program_cache.OFF)
  return command_line.parse(parser, argv)


def _list(text):
  return text.split(',')


if __name__ == '__main__':
  command.run(main)
