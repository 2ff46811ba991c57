r"""Trains one config many times: grids, lists and seeds of changes.

  python -m sagan_jax.sweep --config=quickstart --output=DIR --jobs=2 \
    --grid optim.generator.learning_rate=1e-4,2e-4 --seeds=3
  python -m sagan_jax.sweep --sweep=experiments/sweeps/attention.py --output=DIR
  python -m sagan_jax.sweep --output=DIR --status
  python -m sagan_jax.sweep --sweep=attention --output=/shared/DIR \
    --backend=slurm --submit -- --gpus_per_node=1 --time=4:00:00

Every run has a directory in DIR, named after its changes. The same command
again runs what is missing, goes on with what was stopped or killed, and tries
again what failed; it may have more values or seeds. An edited base is refused
where runs have been trained with another.

--status may be asked at any time; it prints DIR/sweep.md and writes it anew,
with DIR/sweep.csv and the curves DIR/sweep.png. Scores of different protocols
are kept apart.

A list for --list has a setting per line, KEY=VALUE KEY=VALUE, with quotes as in
a shell. Commas inside brackets do not split the values of --grid:
generator.attention=(8,),(8,16).

--halving='steps=1000,2000 keep=0.5 metric=fid_random' compares the settings at
each of these steps, by the mean over seeds, and goes on with the best share.

--backend hands all runs that are neither done nor running to a scheduler, as a
job or an array of jobs, with the options of `python -m sagan_jax.launch
BACKEND` after `--`. Without --submit it only prints what would be handed over.
Jobs that still wait there are not known here: submit no run twice.

A run that stops (code 75), hangs (76) or is killed by a signal goes on, up to
--restarts times; one that fails is recorded, and ends no other. Ctrl-C and
SIGTERM stop all runs, which save their states.

Exit codes: 0 all runs finished or were halted, 1 some failed (they are listed),
75 stopped, or some runs had no restarts left; 2 something that you can mend
(config, values, directory).
"""

import functools
import shlex
import sys
import time

from sagan_jax import errors
from sagan_jax.cluster import launchers
from sagan_jax.cluster.launchers import flags
from sagan_jax.config import command_line
from sagan_jax.run import command, stop

TRAINER = (sys.executable, '-m', 'sagan_jax.main')
_ELSEWHERE = ('python', '-m', 'sagan_jax.main')  # Whatever that is there.
_print = functools.partial(print, flush=True)


def main(argv=None, trainer=TRAINER):
  """Runs the command; see the module.

  Args:
    argv: arguments; None is those of the process.
    trainer: the command that trains; --workdir is added.

  Returns:
    The exit code.
  """
  argv = list(sys.argv[1:] if argv is None else argv)
  own, options = argv, []
  if '--' in argv:
    own, options = argv[: argv.index('--')], argv[argv.index('--') + 1 :]
  args = command_line.parse(_parser(), own)
  launch = _launcher(args, options)
  if args.output is None:
    raise errors.UserError('no directory was given; set --output')
  # Not above: a command answers --help, and a stop, before jax is imported.
  from sagan_jax import files
  from sagan_jax.sweeps import definition, manifest

  output = files.as_path(args.output)
  if args.status:
    _print(_report(output))
    return 0
  given = _definition(args)
  members = definition.members(given)
  halving = _halving(args, members)
  if files.is_remote(output) and not (args.print_commands or launch):
    raise errors.UserError(
      f'--output={args.output} is no directory of this machine, which runs '
      'started here need; set another, or --backend, or --print_commands'
    )
  places = manifest.place(output, members)
  manifest.record(output, given.config, members, places)
  tasks = _tasks(members, places)
  if launch:
    launch(_commands(tasks, _ELSEWHERE))
    return 0
  if args.print_commands:
    for each in _commands(tasks, trainer):
      _print(shlex.join(each))
    return 0
  return _train(args, halving, tasks, output, trainer)


def _parser():
  parser = command_line.make_parser('sweep', __doc__)
  command_line.add_config(parser)
  add = parser.add_argument
  add('--sweep', metavar='NAME', help='a sweep file, or its name')
  add('--output', metavar='DIR', help='directory of the sweep')
  add(
    '--grid',
    action='append',
    default=[],
    metavar='KEY=VALUE,VALUE',
    help='values of a key; repeat it for all combinations of several keys',
  )
  add('--list', metavar='FILE', help='a file of settings, one per line')
  add('--seeds', type=int, metavar='N', help='seeds 0 to N-1 of each setting')
  add(
    '--jobs',
    type=int,
    default=1,
    help='runs at a time, which share the machine (default: 1)',
  )
  add(
    '--restarts',
    type=int,
    default=3,
    help='of a run that stops or is killed (default: 3)',
  )
  add('--halving', metavar='RUNGS', help='stop bad settings early')
  add(
    '--status',
    action='store_true',
    help='only tell how far all runs are; needs only --output',
  )
  add(
    '--print_commands',
    action='store_true',
    help='only write the configs of the runs and print the commands of those '
    'that are not done, for any scheduler: code 75 means run it again',
  )
  names = ', '.join(launchers.BACKENDS)
  add('--backend', metavar='NAME', help=f'run elsewhere: {names}')
  add('--submit', action='store_true', help='with --backend: hand all over')
  return parser


def _launcher(args, options):
  """Returns what hands commands to a back end, or None to run them here."""
  if args.backend is None:
    if options or args.submit:
      raise errors.UserError(
        f'{options[0] if options else "--submit"} is for a scheduler; set '
        f'--backend to one of {", ".join(launchers.BACKENDS)}'
      )
    return None
  if args.backend not in launchers.BACKENDS:
    raise errors.UserError(
      f'--backend={args.backend} must be one of '
      f'{", ".join(launchers.BACKENDS)}; leave it out to run here'
    )
  module = launchers.load(args.backend)
  parser = command_line.make_parser('sweep ... --', module.__doc__)
  parser.add_argument('--name', default='sweep', help='of the jobs')
  flags.add(parser, module.Options)
  given = command_line.parse(parser, options)
  chosen = flags.options(module.Options, given)

  def launch(commands):
    if not commands:
      _print('all runs are done or running')
      return
    plan = launchers.render(args.backend, given.name, commands, chosen)
    if args.submit:
      plan.submit()
    else:
      _print(plan.script(), end='')

  return launch


def _definition(args):
  from sagan_jax.sweeps import definition

  for name, least in ('jobs', 1), ('restarts', 0):
    if getattr(args, name) < least:
      raise errors.UserError(
        f'--{name}={getattr(args, name)} must be an integer >= {least}'
      )
  flags = ('config', 'grid', 'list', 'seeds')
  if args.sweep is not None:
    both = [name for name in flags if getattr(args, name) not in (None, [])]
    if both:
      raise errors.UserError(
        f'--{both[0]} and --sweep={args.sweep} were given; the sweep file says '
        f'what is run: change it, or leave out --sweep'
      )
    return definition.from_file(args.sweep, args.overrides)
  if args.config is None:
    raise errors.UserError(
      'nothing says what to run; set --config and --grid, or --sweep'
    )
  return definition.from_flags(
    args.config, args.overrides, args.grid, args.list, args.seeds
  )


def _halving(args, members):
  if args.halving is None:
    return None
  from sagan_jax.sweeps import halving

  if args.print_commands or args.backend:
    raise errors.UserError(
      '--halving compares runs of this machine; leave it out, or --backend and '
      '--print_commands'
    )
  found = halving.parse(args.halving)
  halving.check(found, members)
  return found


def _tasks(members, places):
  from sagan_jax.sweeps import runner

  return [
    runner.Task(m.name, places[m.name], m.config, m.config.num_steps)
    for m in members
  ]


def _commands(tasks, trainer):
  """Writes the configs of the runs that are left; returns their commands.

  This is all that a scheduler needs: a run is a command that can be repeated.
  """
  from sagan_jax.sweeps import manifest, results

  left = [
    task
    for task in tasks
    if not (task.is_done() or results.is_running(task.directory))
  ]
  for task in left:
    manifest.configure(task.directory, task.config, task.num_steps)
  return [[*trainer, f'--workdir={task.directory}'] for task in left]


def _train(args, halving, tasks, output, trainer):
  """Runs what is not done; returns the exit code."""
  from sagan_jax.sweeps import halving as halving_lib
  from sagan_jax.sweeps import manifest, runner

  def say(text):
    _print(f'{time.strftime("%H:%M:%S")} {text}')

  done = sum(task.is_done() for task in tasks)
  say(f'{len(tasks)} runs in {output}, {done} of them are done')
  work = runner.Runner(trainer, jobs=args.jobs, restarts=args.restarts, say=say)
  if halving is None:
    work.run(tasks)
  else:
    entries = manifest.read(output)['members']
    halving_lib.run(halving, tasks, entries, output, work, say)
  _print(_report(output))
  for name, why in (work.failed | work.stopped).items():
    _print(f'{name}: {why}; see {output / name / "output.log"}')
  if work.failed:
    return 1
  return stop.EXIT_CODE if work.stopped else 0


def _report(output):
  """Writes the tables and the picture; returns the Markdown."""
  from sagan_jax import files
  from sagan_jax.sweeps import curves, manifest, results, tables

  entries = manifest.read(output)['members']
  found = [results.read(output, entry) for entry in entries]
  text = tables.markdown(found)
  files.write(output / 'sweep.md', text)
  files.write(output / 'sweep.csv', tables.csv_text(found))
  picture = curves.png(found)
  if picture is not None:
    files.write(output / 'sweep.png', picture)
  return text


if __name__ == '__main__':
  command.run(main)
