"""Measures a config on this machine: the step, its input, and both together.

  python -m sagan_jax.benchmark --config=experiments/imagenet.py

Runs on any backend and needs no TensorFlow unless the data set does. Rates are
images of a batch per second: a step counts its batch once, however many
discriminator updates it makes.
"""

import dataclasses
import functools
import itertools
import json
import pathlib

from sagan_jax import errors, files
from sagan_jax.benchmarks import arguments, tables
from sagan_jax.cluster import distributed
from sagan_jax.run import command


def main(argv=None):
  """Prints a table of figures, a row per variant of the config.

  Args:
    argv: arguments; None is those of the process.

  Raises:
    UserError: if the config, a variant of it or a file is refused; all variants
      are checked before the first is measured.
  """
  args = arguments.parse(argv, __doc__)
  if args.matrix:
    _matrix(args)
    return
  command.join(args)
  # Imported here so that --help answers at once.
  import jax

  from sagan_jax.cluster import sharding
  from sagan_jax.config import compatibility, schema
  from sagan_jax.gan import measure

  c = schema.load(args.config, args.overrides)
  mesh = sharding.make_mesh(c.num_devices)
  if args.part is not None:
    _part(args, c, mesh)
    return
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
    say(tables.table(report['rows'][-1:]))
    _save(report, args.json)
  if len(variants) > 1:
    say(tables.table(report['rows']))


def _part(args, c, mesh):
  """Measures one of `benchmarks.parts`."""
  from sagan_jax.benchmarks import parts
  from sagan_jax.config import compatibility

  c = _with_classes(c, *_open_source(c))
  (c,) = _variants(c, args)
  compatibility.check(c, mesh.size)
  found = parts.PARTS[args.part](c, mesh, args.steps, args.warmup)
  print(json.dumps(found, indent=2))
  _save(found, args.json)


def _matrix(args):
  """Measures all cells, each in a process of its own."""
  from sagan_jax.benchmarks import matrix
  from sagan_jax.config import schema
  from sagan_jax.models import resample

  if distributed.membership(args):
    raise errors.UserError(
      '--matrix is for one process; leave out the flags of several'
    )
  c = schema.load(args.config, args.overrides)
  c = _with_classes(c, *_open_source(c))
  output = pathlib.Path(files.as_path(args.output))
  plan = matrix.Plan(
    config=args.config,
    overrides=args.overrides | {'num_classes': str(c.num_classes)},
    forms=args.forms or list(resample.FORMS),
    dtypes=args.dtypes or ['bfloat16', 'float32'],
    batch_sizes=args.batch_sizes or [64, 128, 256, 512],
    flags=['', *(args.xla_flags or [])],
    steps=args.steps,
    warmup=args.warmup,
    programs=str(output / 'programs'),
    biggan=args.biggan,
    biggan_python=args.biggan_python,
    peer_settings=json.dumps(matrix.peer_settings(c)),
  )
  matrix.run(
    plan,
    dataclasses.asdict(c),
    output,
    args.budget_mins * 60,
    functools.partial(print, flush=True),
  )


def _say_nothing(text):
  del text


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


if __name__ == '__main__':
  command.run(main)
