r"""Weights of a run as files for other programs, and runs from such files.

  python -m sagan_jax.export --workdir=DIR --output=OUT
  python -m sagan_jax.export --workdir=DIR --step=best --output=OUT \
    --format=stablehlo --truncation=0.7
  python -m sagan_jax.export --import=OUT --workdir=NEW

Formats: safetensors, both networks with all that belongs to them; stablehlo,
the generator as a program that needs nothing but jax; biggan, a directory that
BigGAN-PyTorch loads. Beside the files lies a card, JSON, that says what they
are. The third command makes a run that can be sampled, scored and trained on;
the moments of its optimisers are zero. python -m sagan_jax.main --init_from=OUT
begins another run with the weights.
"""

from sagan_jax import errors, files
from sagan_jax.config import command_line
from sagan_jax.run import command

FORMATS = ('safetensors', 'stablehlo', 'biggan')
# {flag of --format=stablehlo: what is meant without it}.
_PROGRAM = {
  'weights': 'ema',
  'statistics': 'standing',
  'truncation': None,
  'images': 'uint8',
}


def main(argv=None):
  """Runs the command; see the module.

  Args:
    argv: arguments; None is those of the process.

  Raises:
    UserError: if what is asked for cannot be exported or imported.
  """
  args = command_line.parse(_parser(), argv)
  if not args.workdir:
    raise errors.UserError('no run was given; set --workdir')
  exports = getattr(args, 'import') is None
  given = vars(args) | {f'config.{key}': True for key in args.overrides}
  del given['overrides']
  for flag, value in given.items():
    known = flag.startswith('config') if exports else flag in _EXPORTS
    if known and value is not None:
      raise errors.UserError(
        f'--{flag} has no effect on an {"export" if exports else "import"}; '
        'leave it out'
      )
  if exports:
    _export(args)
  else:
    _import(args)


def _parser():
  parser = command_line.make_parser('export', __doc__)
  parser.add_argument('--workdir', help='directory of the run')
  parser.add_argument(
    '--step',
    type=command_line.step('best'),
    help='checkpoint: a step, or best (default: the last)',
  )
  parser.add_argument(
    '--output', help='directory to write to, or a file by the name of a format'
  )
  parser.add_argument(
    '--format',
    choices=FORMATS,
    help=f'what to write (default: {FORMATS[0]})',
  )
  program = parser.add_argument_group('for --format=stablehlo')
  program.add_argument(
    '--weights', choices=('ema', 'raw'), help='of the generator (default: ema)'
  )
  program.add_argument(
    '--statistics',
    choices=('standing', 'running'),
    help='of batch norm: recomputed for these weights, or those of the training'
    ' (default: standing)',
  )
  program.add_argument(
    '--truncation',
    type=command_line.above_zero,
    metavar='T',
    help='cut the latents at T deviations (default: no cut)',
  )
  program.add_argument(
    '--images',
    choices=('uint8', 'float32'),
    help='what the program returns (default: uint8)',
  )
  parser.add_argument(
    '--import',
    metavar='FILE',
    help='make the run in --workdir from what was exported, here or by '
    'BigGAN-PyTorch: a file or its directory. --config.KEY=VALUE sets keys of '
    'its config, such as --config.dataset.name=folder:DIR; what files of '
    'BigGAN-PyTorch do not say is as in --config (default: imagenet)',
  )
  command_line.add_config(parser)
  return parser


_EXPORTS = ('output', 'format', 'step', *_PROGRAM)


def _import(args):
  from sagan_jax.config import schema  # Not at import: --help is fast.
  from sagan_jax.run import exported, initial
  from sagan_jax.run.run import Run

  config = schema.load(args.config) if args.config else None
  asked = []

  def base():
    asked.append(True)
    return config or schema.load('imagenet')

  found = exported.read(getattr(args, 'import'), Run.open, base)
  if config and not asked:
    raise errors.UserError(
      f'{found.where} has a config of its own: leave --config out; '
      '--config.KEY=VALUE changes single keys'
    )
  if found.note:
    print(found.note)
  run = initial.make_run(found, Run.open, args.workdir, args.overrides)
  print(
    f'{run.workdir} is now a run of {found.where} at step '
    f'{found.card["step"]}, with fresh moments of the optimisers; next: python '
    f'-m sagan_jax.evaluate --workdir={args.workdir}'
  )


def _export(args):
  from sagan_jax.run import exporting
  from sagan_jax.run.run import Run

  kind = args.format or FORMATS[0]
  chosen = {k: getattr(args, k) for k in _PROGRAM if getattr(args, k)}
  if chosen and kind != 'stablehlo':
    raise errors.UserError(
      f'--{next(iter(chosen))} is for --format=stablehlo only; leave it out'
    )
  if not args.output:
    raise errors.UserError('nowhere to write to was given; set --output')
  path = _file(args.output, kind)
  run = Run.open(args.workdir)
  state = run.restore(args.step)
  if kind == 'biggan':
    beside = exporting.write_biggan(run, state, path)
  else:
    content, card = (
      exporting.as_safetensors(run, state)
      if kind == 'safetensors'
      else exporting.as_program(run, state, **_PROGRAM | chosen)
    )
    beside = exporting.write(path, content, card)
  run.checkpointer.close()
  print(f'{path}: step {int(state.step)}; {beside} says what it is')


def _file(output, kind):
  """The file to write, named itself or by its directory; or a directory."""
  path = files.as_path(output)
  if kind == 'biggan':
    return path
  if path.suffix == f'.{kind}':
    return path
  if path.suffix and not path.is_dir():
    raise errors.UserError(
      f'--output={output} is neither a directory nor a file named '
      f'*.{kind}; change it, or --format'
    )
  stem = {'safetensors': 'weights', 'stablehlo': 'generator'}[kind]
  return path / f'{stem}.{kind}'


if __name__ == '__main__':
  command.run(main)
