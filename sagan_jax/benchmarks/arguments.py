"""The flags of the benchmark."""

import argparse
import sys

from sagan_jax.config import command_line
from sagan_jax.run import command, program_cache

PARTS = ('step', 'ceilings', 'evaluation', 'determinism', 'kernels', 'machine')


def parse(argv, description):
  """Returns the arguments and the config that they name.

  Args:
    argv: as `command_line.parse` takes it.
    description: of the command.

  Raises:
    UserError: if a flag is refused.
  """
  parser = command_line.make_parser('benchmark', description)
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
  _add_matrix(parser)
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


def _add_matrix(parser):
  parser.add_argument(
    '--part',
    choices=PARTS,
    metavar='PART',
    help='measure one of ' + ', '.join(PARTS) + ' alone, and print it as JSON',
  )
  parser.add_argument(
    '--matrix',
    action='store_true',
    help='measure all parts, and steps of all forms, dtypes, batch sizes and '
    'flags of XLA, each in a process of its own; the same command goes on '
    'where it was ended',
  )
  parser.add_argument(
    '--output',
    metavar='DIR',
    default='matrix',
    help='where the figures of the matrix go (default: matrix)',
  )
  parser.add_argument(
    '--budget_mins',
    type=command_line.positive,
    default=20,
    metavar='N',
    help='minutes after which the matrix ends (default: 20)',
  )
  parser.add_argument(
    '--xla_flags',
    action='append',
    metavar='FLAGS',
    help='measure steps with these XLA_FLAGS too; may be given several times',
  )
  parser.add_argument(
    '--biggan',
    metavar='DIR',
    help="measure BigGAN-PyTorch's own training function too",
  )
  parser.add_argument(
    '--biggan_python',
    metavar='FILE',
    default=sys.executable,
    help='the Python that has torch (default: this one)',
  )


def _list(text):
  return text.split(',')
