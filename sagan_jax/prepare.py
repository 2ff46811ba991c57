r"""Writes a data set into a directory that `array:DIR` reads without decoding.

  python -m sagan_jax.prepare --source=tfds:imagenet2012 --data_dir=DATA \
    --image_size=128 --output=imagenet128
  python -m sagan_jax.prepare --source=cifar10_binary:cifar-10-batches-bin \
    --image_size=32 --output=cifar10
  python -m sagan_jax.prepare --verify=cifar10

A preparation that was stopped, even by kill -9, goes on where it was when the
same command is given again. Until it is complete the directory has no
dataset.json, and `array:DIR` refuses it.
"""

import argparse
from collections.abc import Sequence

from sagan_jax import data
from sagan_jax.data import array, array_writer


def main(argv: Sequence[str] | None = None) -> None:
  """Runs the command line.

  Args:
    argv: arguments; None is those of the process.
  """
  parser = argparse.ArgumentParser(
    prog='python -m sagan_jax.prepare',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument(
    '--source',
    help='shapes, tfds:NAME, folder:DIR, cifar10_binary:DIR_OR_FILE, array:DIR',
  )
  parser.add_argument('--image_size', type=int, help='pixels, of either side')
  parser.add_argument('--output', help='directory to write')
  parser.add_argument(
    '--split', default='train', help='of the source (default: train)'
  )
  parser.add_argument(
    '--data_dir', help='where TFDS data is, a path or gs:// URL'
  )
  parser.add_argument(
    '--num_examples',
    type=int,
    help='write only the first ones in stored order (default: all)',
  )
  parser.add_argument(
    '--verify',
    metavar='DIR',
    help='only compare a prepared directory with its checksums',
  )
  args = parser.parse_args(argv)
  try:
    if args.verify is not None:
      _refuse_others(parser, args)
      info = array.verify(args.verify)
      print(f'{args.verify}: {_describe(info)}; checksums match')
      return
    for key in ('source', 'image_size', 'output'):
      if getattr(args, key) is None:
        parser.error(f'--{key} is needed (or --verify=DIR)')
    source, count = _open_source(args)
    info = array_writer.write(
      source, args.output, split=args.split, num_examples=count
    )
  except ValueError as e:
    parser.exit(1, f'prepare: {e}\n')
  print(f'{args.output}: {_describe(info)}')


def _open_source(args: argparse.Namespace) -> tuple[data.Source, int | None]:
  """Returns the source and how many of its examples to write."""
  kwargs = {'image_size': args.image_size, 'split': args.split}
  kwargs['data_dir'] = args.data_dir
  if args.source == 'shapes':
    kwargs['num_examples'] = args.num_examples
  elif args.source.startswith('folder:') and args.num_examples is not None:
    raise ValueError(
      f'--num_examples={args.num_examples} would take the first classes of '
      f'{args.source!r} only: a folder is in the order of its classes'
    )
  return data.make_source(args.source, **kwargs), args.num_examples


def _refuse_others(
  parser: argparse.ArgumentParser, args: argparse.Namespace
) -> None:
  """Ends the program if `--verify` comes with arguments it does not use."""
  for key, value in vars(args).items():
    if key != 'verify' and value != parser.get_default(key):
      parser.error(f'--{key} has no effect with --verify')


def _describe(info: array.Info) -> str:
  return (
    f'{info.num_examples:,} images of {info.image_size} pixels in '
    f'{len(info.class_names)} classes, split {info.split!r}'
  )


if __name__ == '__main__':
  main()
