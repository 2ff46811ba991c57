r"""Makes images with a trained generator; needs no data set.

  python -m sagan_jax.sample --workdir=DIR --output=OUT
  python -m sagan_jax.sample --workdir=DIR --output=OUT --as=files \
    --classes=ring,star --num=100
  python -m sagan_jax.sample --workdir=DIR --output=OUT --interpolate=class \
    --classes=ring,star
  python -m sagan_jax.sample --workdir=DIR --output=OUT --nearest=5

The first writes grid.png, a row per class. The second writes single PNG files,
and samples.csv, which says what each of them is. The third writes class.png, a
strip, and class.gif, which goes from one class to the next and back to the
first; --interpolate=latent does so with latents. The last sets the training
images that are nearest to each sample beside it, in the feature space of the
evaluation; it alone needs the data.

The same seed gives the same bytes, however many images are made at once and on
any number of devices of a kind. An image depends on its class, its number and
the seed, not on what else was asked for.
"""

import argparse
from collections.abc import Sequence

from sagan_jax.config import command_line
from sagan_jax.run import command

_NUM = {'files': 8, 'grid': 8, 'latent': 4, 'class': 4, 'nearest': 2}


def main(argv: Sequence[str] | None = None) -> None:
  """Runs the command line.

  Args:
    argv: arguments; None is those of the process.

  Raises:
    UserError: if what is asked for cannot be made, or not be written.
  """
  parser = _parser()
  args = command_line.parse(parser, argv)
  what = _what(parser, args)
  _sample(args, what, args.num or _NUM[what])


def _parser() -> argparse.ArgumentParser:
  parser = command_line.make_parser('sample', __doc__)
  add = parser.add_argument
  add('--workdir', help='directory of the run')
  add('--output', help='directory to write; no other files are replaced')
  add(
    '--as',
    dest='form',
    choices=('grid', 'files'),
    help='one grid, a row per class, or single files (default: grid)',
  )
  add(
    '--interpolate',
    choices=('latent', 'class'),
    help='from one latent, or class, to the next, as a strip and an animation',
  )
  add(
    '--nearest',
    type=command_line.positive,
    metavar='K',
    help='the K nearest training images beside each sample',
  )
  add(
    '--classes',
    action='append',
    metavar='CLASS,...',
    help='names or numbers, or all; may be repeated, as a name that holds a '
    'comma must be (default: all)',
  )
  add(
    '--num',
    type=command_line.positive,
    help='images per class; with --interpolate, latents (default: 8; 4 with '
    '--interpolate, 2 with --nearest)',
  )
  add(
    '--frames',
    type=command_line.positive,
    help='of --interpolate, from one latent or class to the next (default: 12)',
  )
  _add_generator(parser)
  command_line.add_config(parser)
  return parser


def _add_generator(parser: argparse.ArgumentParser) -> None:
  """Adds the flags that say which generator and which latents."""
  add = parser.add_argument
  add(
    '--step',
    type=command_line.step('best'),
    help='checkpoint: a step, or best (default: last)',
  )
  add(
    '--weights',
    choices=('ema', 'raw'),
    default='ema',
    help='averaged, or of the last step (default: ema)',
  )
  add(
    '--statistics',
    choices=('standing', 'running', 'batch'),
    default='standing',
    help='of the batch norms: computed anew for these weights, averaged in '
    'training, or of each batch of images, which then depend on each other '
    '(default: standing)',
  )
  add(
    '--truncation',
    type=command_line.above_zero,
    metavar='T',
    help='cut the distribution of the latents at T deviations: better and more '
    'alike images (default: not)',
  )
  add('--seed', type=_seed, default=0, help='of the latents (default: 0)')


def _what(parser: argparse.ArgumentParser, args: argparse.Namespace) -> str:
  """What is to be made; refuses flags that are missing or contradict."""
  for flag in ('workdir', 'output'):
    if not getattr(args, flag):
      parser.error(f'--{flag} is needed')
  if args.config is not None:
    parser.error(
      'a run has its own config: give --workdir without --config; '
      '--config.key=value changes single keys'
    )
  given = {
    '--as': args.form,
    '--interpolate': args.interpolate,
    '--nearest': args.nearest and 'nearest',
  }
  given = {flag: value for flag, value in given.items() if value}
  if len(given) > 1:
    parser.error(f'give one of {" and ".join(given)}: each is a picture')
  if args.frames and not args.interpolate:
    parser.error('--frames has no effect without --interpolate')
  return next(iter(given.values()), 'grid')


def _sample(args: argparse.Namespace, what: str, num: int) -> None:
  # Not at import: --help waits for nothing.
  from sagan_jax.gallery import interpolations, nearest, outputs, samples
  from sagan_jax.run import labels
  from sagan_jax.run.run import Run

  run = Run.open(args.workdir, args.overrides)
  request = samples.Request(
    run,
    labels.chosen(args.classes or ['all'], run.class_names),
    num,
    args.seed,
    args.truncation,
    args.step,
    args.weights,
    args.statistics,
  )
  output = outputs.Output(args.output)
  frames = args.frames or 12
  if what == 'files':
    samples.write_files(request, output)
  elif what == 'grid':
    samples.write_grid(request, output)
  elif what == 'latent':
    interpolations.write_latent(request, frames, output)
  elif what == 'class':
    interpolations.write_class(request, frames, output)
  else:
    nearest.write(request, args.nearest, output)
  if len(output.written) > 2:
    print(f'{output.directory}: {len(output.written):,} files')
  else:
    for name in output.written:
      print(output.directory / name)


def _seed(text: str) -> int:
  if not text.isdecimal() or len(text) > 10 or int(text) >= 2**31:
    raise argparse.ArgumentTypeError(
      f'{text[:40]!r} is not an integer from 0 to 2147483647'
    )
  return int(text)


if __name__ == '__main__':
  command.run(main)
