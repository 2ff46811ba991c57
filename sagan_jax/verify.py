"""Checks all checkpoints of a run against their checksums.

  python -m sagan_jax.verify --workdir=DIR

Prints a line for each, those in DIR/best included, and ends with code 2 if one
is damaged. It needs no data, changes nothing, and may look on while the run
trains.
"""

from sagan_jax import errors
from sagan_jax.config import command_line
from sagan_jax.run import command


def main(argv=None):
  """Runs the command.

  Args:
    argv: arguments; None is those of the process.

  Raises:
    UserError: if a checkpoint cannot be used, or there is no run.
  """
  parser = command_line.make_parser('verify', __doc__)
  parser.add_argument('--workdir', help='directory of the run, a path or gs://')
  args = command_line.parse(parser, argv)
  if not args.workdir:
    raise errors.UserError('no directory was given; set --workdir')
  # Not above: a command answers --help before jax is imported.
  from sagan_jax.run import verification
  from sagan_jax.run.run import Run

  verification.verify(Run.open(args.workdir))


if __name__ == '__main__':
  command.run(main)
