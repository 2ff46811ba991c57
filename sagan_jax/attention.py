r"""Shows what the attention of a run's networks looks at, and measures it.

  python -m sagan_jax.attention --workdir=RUN --output=DIR
  python -m sagan_jax.attention --workdir=RUN --output=DIR --steps=all \
    --classes=ring,star --num=3

Neither the training data nor its devices are needed; where the data is, the
discriminator is shown real images too. DIR gets

  attention.html   a page to explore: point at a pixel, see where it looks
  statistics.csv   what the blocks do, per checkpoint, network and images
  maps_STEP.npz    the arrays: IMAGES/images uint8 [n, S, S, 3], IMAGES/labels,
                   and NETWORK/IMAGES/BLOCK/rows float32 [n, H, W, h, w],
                   .../share float32 [n] and .../gate, where IMAGES is ema, raw
                   (made by these weights of the generator) or real
  *.png            figures: some queries of some images with their maps
"""

import argparse

from sagan_jax import errors
from sagan_jax.config import command_line
from sagan_jax.run import command


def main(argv=None):
  """Runs the command line.

  Args:
    argv: arguments; None is those of the process.

  Raises:
    UserError: if what is asked for cannot be shown.
  """
  args = command_line.parse(_parser(), argv)
  if args.config is not None:
    raise errors.UserError(
      'a run is shown by its own config: give --workdir without --config; '
      '--config.key=value changes single keys'
    )
  # Not at import: --help waits for nothing.
  from sagan_jax.gallery import attention_files
  from sagan_jax.run.run import Run

  run = Run.open(args.workdir, args.overrides)
  attention_files.write(
    run,
    args.output,
    steps=args.steps,
    classes=args.classes,
    num=args.num,
    seed=args.seed,
    weights=args.weights,
    real=not args.no_real,
    count=args.measure,
    points=args.points,
  )


def _parser():
  parser = command_line.make_parser('attention', __doc__)
  add = parser.add_argument
  add('--workdir', required=True, help='directory of the run')
  add('--output', required=True, metavar='DIR', help='where the files go')
  add(
    '--steps',
    type=_steps,
    default='last',
    help='checkpoints: last, best, all, or steps with commas (default: last)',
  )
  add(
    '--classes',
    metavar='A,B',
    help='names or numbers of classes, with commas, or all (default: up to ten,'
    ' evenly spaced)',
  )
  add(
    '--num',
    type=command_line.positive,
    default=1,
    help='images of each class to show (default: 1)',
  )
  add('--seed', type=int, default=0, help='of the latents (default: 0)')
  add(
    '--weights',
    type=_weights,
    default=('ema', 'raw'),
    help='of the generator: ema, raw, or both (default: ema,raw)',
  )
  add('--no_real', action='store_true', help='show no real images')
  add(
    '--measure',
    type=command_line.positive,
    default=200,
    metavar='N',
    help='images of each kind for the statistics (default: 200)',
  )
  add(
    '--points',
    type=_points,
    metavar='Y,X;Y,X',
    help='queries of the figures, in pixels of the map (default: chosen by '
    'colour and place)',
  )
  command_line.add_config(parser)
  return parser


def _steps(text):
  if text in ('last', 'best', 'all'):
    return text
  parts = text.split(',')
  if not all(part.isdecimal() for part in parts):
    raise argparse.ArgumentTypeError(
      f'{text!r} is neither last, best, all nor steps with commas'
    )
  return sorted({int(part) for part in parts})


def _weights(text):
  parts = tuple(dict.fromkeys(text.split(',')))
  if not set(parts) <= {'ema', 'raw'}:
    raise argparse.ArgumentTypeError(f'{text!r} is not ema, raw or ema,raw')
  return parts


def _points(text):
  points = [part.split(',') for part in text.split(';')]
  if not all(len(p) == 2 and all(x.isdecimal() for x in p) for p in points):
    raise argparse.ArgumentTypeError(
      f"{text!r} are no points; give them as '8,8;2,13'"
    )
  return [(int(y), int(x)) for y, x in points]


if __name__ == '__main__':
  command.run(main)
