"""Breaks a run on purpose, and shows that nothing is lost.

  python -m sagan_jax.drill --config=quickstart --workdir=DIR

Trains a config for a few steps, here, as `sagan_jax.main` does, once without any
fault; then again and again with faults: kills, signals, flipped bits, a full
disk, NaN, data that stalls, a second writer, a hang. Each time the run must end
with the same last and best state to the bit, the same rows of the log, pictures
and scores; or be refused by name. Prints a line for each case.

DIR must be new, or that of an earlier drill, whose compiled programs it uses.
Networks, batches and evaluations are shrunk unless --no-shrink is given, the
number of steps in any case; --config.KEY=VALUE is taken as it is.

Exit codes: 0 all cases passed or were skipped; 1 one has failed, and its
directory and logs are left in DIR; 2 something that you can mend; 75 stopped.
"""

import argparse

from sagan_jax import errors, files
from sagan_jax.config import command_line
from sagan_jax.run import command

_MARK = 'drill.json'


def main(argv=None):
  """Runs the command.

  Args:
    argv: arguments; None is those of the process.

  Returns:
    The exit code: 1 if a case has failed.

  Raises:
    UserError: if something is refused, or the config does not train.
  """
  args = _parse(argv)
  # Not above: a command answers --help before jax is imported.
  import time

  import jax

  from sagan_jax.cluster import exit_codes
  from sagan_jax.drills import cases, drill, runner, shrink
  from sagan_jax.run import lease, stop

  names = cases.chosen(args.cases)
  workdir = files.as_path(args.workdir)
  cache = str(workdir / 'cache')
  overrides, _ = shrink.overrides(
    args.config, args.overrides, sizes=args.shrink, cache=cache
  )
  _check_directory(workdir)
  jax.config.update('jax_platforms', 'cpu')  # The device is for the runs.
  began = time.monotonic()
  with lease.Lease(workdir) as held:
    _clear(workdir)
    held.take()
    the_drill = drill.Drill(
      workdir,
      args.config,
      overrides,
      seed=args.seed,
      kills=args.kills,
      programs=workdir / 'programs',
    )
    stop.before_end(the_drill.kill_all)
    _say(
      f'drill of {args.config} in {workdir}, seed {args.seed}; first a run that '
      'nothing disturbs ...'
    )
    num = the_drill.undisturbed.count()
    _say(f'{num}, the same twice; {the_drill.secs:.1f} s a run')
    results = runner.run(the_drill, names, args.jobs, _say)
  secs = time.monotonic() - began
  print(runner.summary(results, secs))
  settings = {'config': args.config, 'overrides': overrides, 'seed': args.seed}
  settings['run_secs'] = the_drill.secs
  for path in filter(None, (workdir / _MARK, args.json)):
    runner.save(path, settings, results, secs)
  failed = any(r.outcome == runner.FAILED for r in results)
  return exit_codes.FAILED if failed else exit_codes.FINISHED


def _parse(argv):
  parser = command_line.make_parser('drill', __doc__)
  command_line.add_config(parser, default='quickstart')
  parser.add_argument('--workdir', help='local directory for all of it')
  parser.add_argument(
    '--cases', metavar='NAME,...', help='which to try (default: all)'
  )
  parser.add_argument(
    '--shrink',
    action=argparse.BooleanOptionalAction,
    default=True,
    help='make networks, batches and evaluations small',
  )
  parser.add_argument(
    '--kills',
    type=command_line.positive,
    default=3,
    metavar='N',
    help='kills at random moments (default: 3)',
  )
  parser.add_argument(
    '--seed',
    type=int,
    default=0,
    help='of random moments and places (default: 0)',
  )
  parser.add_argument(
    '--jobs',
    type=command_line.positive,
    default=1,
    metavar='N',
    help='cases at a time (default: 1, as they may need the same device)',
  )
  parser.add_argument('--json', metavar='FILE', help='write the card there')
  args = command_line.parse(parser, argv)
  if not args.workdir:
    raise errors.UserError('no directory was given; set --workdir')
  if files.is_remote(args.workdir):
    raise errors.UserError(
      f'{args.workdir} is not on this machine; set --workdir to a local directory'
    )
  return args


def _check_directory(workdir):
  """Refuses a directory that holds anything but an earlier drill."""
  if workdir.exists() and not (workdir / _MARK).exists():
    if not workdir.is_dir() or any(workdir.iterdir()):
      raise errors.UserError(
        f'{workdir} holds something else than an earlier drill; set --workdir '
        'to a new directory'
      )


def _clear(workdir):
  """Removes what an earlier drill has left, but for what it has compiled."""
  with files.writing(workdir):
    workdir.mkdir(parents=True, exist_ok=True)
    files.write(workdir / _MARK, '{}\n')
    for path in workdir.iterdir():
      if path.is_dir() and path.name not in ('programs', 'cache'):
        path.rmtree()


def _say(text):
  print(text, flush=True)


if __name__ == '__main__':
  command.run(main)
