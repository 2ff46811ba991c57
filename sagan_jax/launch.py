"""Starts a command on many processes: here, on TPU slices, on clusters.

  python -m sagan_jax.launch BACKEND [OPTIONS] -- COMMAND...

COMMAND is what one process would run, e.g. `python -m sagan_jax.main
--workdir=gs://BUCKET/RUN ...`. The back end `local` runs it on this machine as
several processes. The others print a shell script with what would start it:
files, and the commands that hand them to a scheduler. --output writes the
files, --submit runs the commands; without it nothing is submitted.

All restart the command when it ends with 75 (stopped and saved) or 76 (hung, or
a neighbor died), and not when it ends with 0 (finished), 1 (failed), 2
(refused) or 77 (no progress since the last restart).
"""

import shlex
import sys

from sagan_jax import errors
from sagan_jax.cluster import launchers
from sagan_jax.cluster.launchers import flags
from sagan_jax.config import command_line
from sagan_jax.run import command as boundary


def main(argv=None):
  """Runs the command; returns the exit code, of the processes if local.

  Args:
    argv: without the program; None for those of the process.

  Raises:
    UserError: if the arguments do not fit, or something cannot be started.
  """
  argv = list(sys.argv[1:] if argv is None else argv)
  own, command = _split(argv)
  if not own or own[0].startswith('-'):
    command_line.parse(_top_parser(), own)
    raise errors.UserError(
      f'no back end; choose one of {_names()}; see '
      'python -m sagan_jax.launch --help'
    )
  backend = own[0]
  module = launchers.load(backend)
  parser = _parser(backend, module)
  args = command_line.parse(parser, own[1:])
  if not command:
    raise errors.UserError(f'no command; put it after --: {parser.prog} -- ...')
  options = flags.options(module.Options, args)
  if backend == 'local':
    return module.launch(command, options)
  _hand_over(launchers.render(backend, args.name, [command], options), args)
  return 0


def _hand_over(plan, args):
  """Prints, writes or submits, as the arguments say."""
  if args.submit:
    plan.submit(args.output)
  elif args.output is None:
    print(plan.script(), end='')
  else:
    for command in plan.write(args.output):
      print(shlex.join(command))


def _split(argv):
  """Splits a command line at the first --."""
  if '--' not in argv:
    return argv, []
  at = argv.index('--')
  return argv[:at], argv[at + 1 :]


def _names():
  return ', '.join(['local', *launchers.BACKENDS])


def _top_parser():
  parser = command_line.make_parser('launch', __doc__)
  parser.usage = f'{parser.prog} BACKEND [OPTIONS] -- COMMAND...'
  parser.epilog = f'Back ends: {_names()}. BACKEND --help lists its options.'
  return parser


def _parser(backend, module):
  """Makes the parser of a back end from the fields of its `Options`."""
  parser = command_line.make_parser(f'launch {backend}', module.__doc__)
  parser.usage = f'{parser.prog} [OPTIONS] -- COMMAND...'
  if backend != 'local':
    parser.add_argument('--name', default='sagan', help='of the job')
    parser.add_argument(
      '--output',
      metavar='DIR',
      help='write the files there, and print the commands',
    )
    parser.add_argument(
      '--submit', action='store_true', help='write the files, run the commands'
    )
  flags.add(parser, module.Options)
  return parser


if __name__ == '__main__':
  # No handlers of `stop`: the signals of a local launch are its processes'.
  sys.exit(boundary.exit_code(main))
