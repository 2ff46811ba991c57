"""Trains a self-attention GAN.

  python -m sagan_jax.main --config=experiments/imagenet.py --workdir=DIR
  python -m sagan_jax.main --workdir=DIR

The first command starts a run or goes on with it; the second goes on with the
config that the directory holds. Any leaf of the config can be set:
--config.optim.generator.b2=0.9. Ctrl-C and SIGTERM save the state and end with
code 75.

Exit codes: 0 finished; 75 stopped with the state saved; 76 hung, or another
process of the run died: run the same command again; 77 no progress since the
last restarts; 2 something that you can mend (config, data, directory, disk,
losses that are not finite); 1 a fault of the program.
"""

from sagan_jax import errors
from sagan_jax.config import command_line
from sagan_jax.run import command


def main(argv=None):
  """Runs the command; see the module."""
  parser = command_line.make_parser('main', __doc__)
  command_line.add_config(parser)
  parser.add_argument('--workdir', help='directory of the run, a path or gs://')
  parser.add_argument(
    '--allow_changes',
    metavar='KEY,...',
    default='',
    help='config keys that may differ from those of the run',
  )
  parser.add_argument(
    '--init_from',
    metavar='FILE_OR_RUN',
    help='weights to begin a new run with: what sagan_jax.export has written, '
    'or a run; short for --config.init.weights. Where the classes are others, '
    '--config.init.classes says what becomes of their rows',
  )
  command.add_arguments(parser)
  args = command_line.parse(parser, argv)
  if not args.workdir:
    raise errors.UserError('no directory was given; set --workdir')
  if args.init_from is not None:
    args.overrides['init.weights'] = args.init_from
  command.join(args)
  # Not above: a command answers --help, and a stop, before jax is imported.
  from sagan_jax.cluster import agree
  from sagan_jax.config import schema
  from sagan_jax.run import agreement, lease, trainer
  from sagan_jax.run.run import Run

  if args.config is None:
    config = Run.open(args.workdir, args.overrides).config
  else:
    config = schema.load(args.config, args.overrides)
  allowed = [key for key in args.allow_changes.split(',') if key]
  agreement.check_command(config, args.workdir, allow_changes=allowed)
  with lease.Lease(args.workdir, is_main=agree.is_first()) as held:
    run = Run.for_training(args.workdir, config, allowed, held)
    trainer.Trainer(run).train()


if __name__ == '__main__':
  command.run(main)
