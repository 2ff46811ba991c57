"""Makes a page about one run or several, to open in a browser.

  python -m sagan_jax.report RUN
  python -m sagan_jax.report RUN RUN ... --output=FILE.html

The page holds all that it shows: curves to point at, scores with their
protocols, sample grids over the steps, what the configs differ in, and what to
make of it. It needs no network. Without --output the page of one run is
RUN/report.html, beside which RUN/scores/curves.png is written, and that of
several is report.html in the working directory. A run may be training
meanwhile.
"""

import sys

from sagan_jax import errors
from sagan_jax.config import command_line
from sagan_jax.run import command


def main(argv=None):
  """Runs the command.

  Args:
    argv: arguments; None is those of the process.

  Raises:
    UserError: if a directory holds no run, or the page cannot be written.
  """
  parser = command_line.make_parser('report', __doc__)
  parser.add_argument(
    'runs', nargs='*', metavar='RUN', help='directory of a run, a path or gs://'
  )
  parser.add_argument('--output', metavar='FILE', help='the page to write')
  args = command_line.parse(parser, argv)
  if not args.runs:
    raise errors.UserError('no run was named; give the directory of one')
  # Not above: a command answers --help before jax is imported.
  from sagan_jax import files
  from sagan_jax.run import reporting

  if len(args.runs) == 1 and args.output is None:
    path = reporting.write(args.runs[0], _warn).page
  else:
    path = files.as_path(reporting.PAGE if args.output is None else args.output)
    reporting.write_to(path, args.runs, _warn)
  print(path)


def _warn(text):
  print(f'warning: {text}', file=sys.stderr)


if __name__ == '__main__':
  command.run(main)
