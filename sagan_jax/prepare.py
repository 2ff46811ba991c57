r"""Writes a data set into a directory that `array:DIR` reads without decoding.

  python -m sagan_jax.prepare --source=tfds:imagenet2012 --data_dir=DATA \
    --image_size=128 --output=imagenet128
  python -m sagan_jax.prepare --source=cifar10_binary:cifar-10-batches-bin \
    --image_size=32 --output=cifar10
  python -m sagan_jax.prepare --verify=cifar10
  python -m sagan_jax.prepare --verify=folder:photos

A preparation that was stopped, even by kill -9, goes on where it was when the
same command is given again. Until it is complete the directory has no
dataset.json, and `array:DIR` refuses it.
"""

import argparse
from collections.abc import Sequence

from sagan_jax import errors
from sagan_jax.config import command_line
from sagan_jax.run import command

_FOLDER = 'folder:'


def main(argv: Sequence[str] | None = None) -> None:
  """Runs the command line.

  Args:
    argv: arguments; None is those of the process.

  Raises:
    UserError: if an argument is refused, data cannot be read, or the directory
      cannot be written.
  """
  parser = _parser()
  args = command_line.parse(parser, argv)
  _check(parser, args)
  print(_prepare(args) if args.verify is None else _verify(args))


def _parser() -> argparse.ArgumentParser:
  parser = command_line.make_parser('prepare', __doc__)
  parser.add_argument(
    '--source', help='a data set, as --config.dataset.name has it'
  )
  parser.add_argument(
    '--image_size',
    type=command_line.positive,
    help='pixels, of either side',
  )
  parser.add_argument('--output', help='directory to write')
  parser.add_argument(
    '--split', default='train', help='of the source (default: train)'
  )
  parser.add_argument(
    '--data_dir', help='where TFDS data is, a path or gs:// URL'
  )
  parser.add_argument(
    '--num_examples',
    type=command_line.positive,
    help='write only the first ones in stored order (default: all)',
  )
  parser.add_argument(
    '--verify',
    metavar='DIR',
    help='only compare a prepared directory with its checksums; with '
    'folder:DIR, decode every image of a folder',
  )
  return parser


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
  """Refuses arguments that are missing or have no effect."""
  if args.verify is None:
    for key in ('source', 'image_size', 'output'):
      if getattr(args, key) in (None, ''):
        parser.error(f'--{key} is needed (or --verify=DIR)')
    return
  used = {'verify'} | ({'split'} if args.verify.startswith(_FOLDER) else set())
  flags = [action.dest for action in parser._actions if action.dest != 'help']
  for key in flags:
    if key not in used and getattr(args, key) != parser.get_default(key):
      parser.error(f'--{key} has no effect with --verify={args.verify}')


def _prepare(args: argparse.Namespace) -> str:
  """Writes the directory; returns what to say of it."""
  from sagan_jax import data
  from sagan_jax.data import array_writer

  kwargs = {'data_dir': args.data_dir}
  if args.source == 'shapes':
    kwargs['num_examples'] = args.num_examples
  elif args.source.startswith(_FOLDER) and args.num_examples is not None:
    raise errors.UserError(
      f'--num_examples={args.num_examples} would take the first classes of '
      f'{args.source!r} only: a folder is in the order of its classes'
    )
  source = data.make_source(
    args.source, image_size=args.image_size, split=args.split, **kwargs
  )
  info = array_writer.write(
    source, args.output, split=args.split, num_examples=args.num_examples
  )
  return f'{args.output}: {_describe(info)}'


def _verify(args: argparse.Namespace) -> str:
  """Checks a prepared directory or a folder; returns what to say of it."""
  from sagan_jax.data import array, folder

  if args.verify.startswith(_FOLDER):
    directory = args.verify.removeprefix(_FOLDER)
    images, classes = folder.verify(directory, split=args.split)
    return (
      f'{args.verify}: all {images:,} images in {classes} classes, split '
      f'{args.split!r}, can be decoded'
    )
  return (
    f'{args.verify}: {_describe(array.verify(args.verify))}; checksums match'
  )


def _describe(info) -> str:
  return (
    f'{info.num_examples:,} images of {info.image_size} pixels in '
    f'{len(info.class_names)} classes, split {info.split!r}'
  )


if __name__ == '__main__':
  command.run(main)
