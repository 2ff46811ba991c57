r"""Scores checkpoints of a run, or one set of images against another.

  python -m sagan_jax.evaluate --workdir=DIR
  python -m sagan_jax.evaluate --workdir=DIR --step=best \
    --config.eval.num_fakes=50000
  python -m sagan_jax.evaluate --config=imagenet --real=SOURCE --fake=SOURCE

The first command scores every checkpoint, the second the one that the
evaluations of the training chose, by a protocol of its own. Scores go to
DIR/evaluations.jsonl and DIR/scores. The third needs no model: sources are
named as `--config.dataset.name` names them, and the config's section `eval` is
the protocol.
"""

from collections.abc import Sequence

from sagan_jax import errors
from sagan_jax.config import command_line
from sagan_jax.run import command


def main(argv: Sequence[str] | None = None) -> None:
  """Runs the command line.

  Args:
    argv: arguments; None is those of the process.

  Raises:
    UserError: if what is asked for cannot be scored.
  """
  parser = command_line.make_parser('evaluate', __doc__)
  parser.add_argument('--workdir', help='directory of the run')
  parser.add_argument(
    '--step',
    type=command_line.step('best', 'all'),
    help='checkpoint to score: a step, best, or all (default: all)',
  )
  parser.add_argument('--real', help='data source to score against')
  parser.add_argument('--fake', help='data source to score')
  command_line.add_config(parser)
  command.add_arguments(parser)
  args = command_line.parse(parser, argv)
  of_run = args.workdir is not None or args.step is not None
  of_sources = args.real is not None or args.fake is not None
  if of_run == of_sources:
    raise errors.UserError(
      'give either --workdir, to score checkpoints of a run, or --config, '
      '--real and --fake, to score two sets of images'
    )
  if of_run and (not args.workdir or args.config is not None):
    raise errors.UserError(
      'a run is scored by its own config: give --workdir without --config; '
      '--config.key=value changes single keys'
    )
  if of_sources and None in (args.config, args.real, args.fake):
    raise errors.UserError(
      'two sets of images need --config (its eval section is the protocol), '
      '--real and --fake'
    )
  command.join(args)
  if of_run:
    _evaluate_run(args)
  else:
    _evaluate_sources(args)


def _evaluate_run(args):
  # Not at import: --help waits for nothing.
  from sagan_jax.run import agreement, scoring
  from sagan_jax.run.run import Run

  run = Run.open(args.workdir, args.overrides)
  agreement.check_command(run.config, args.workdir, step=args.step)
  scoring.evaluate_checkpoints(run, 'all' if args.step is None else args.step)


def _evaluate_sources(args):
  from sagan_jax.config import schema
  from sagan_jax.run import agreement, scoring

  config = schema.load(args.config, args.overrides)
  agreement.check_command(config, None, real=args.real, fake=args.fake)
  scoring.evaluate_sources(config, args.real, args.fake)


if __name__ == '__main__':
  command.run(main)
