"""Command lines: argparse, with --config.KEY=VALUE for any key of a config.

Imports nothing heavy, so that `--help` answers at once.
"""

import argparse
import difflib

from sagan_jax import errors

_PREFIX = '--config.'


class Parser(argparse.ArgumentParser):
  """Of a command of this package; a mistake is a `UserError`.

  Args:
    name: of the command, e.g. 'main'.
    description: the docstring of its module.
  """

  def __init__(self, name, description):
    super().__init__(
      prog=f'python -m sagan_jax.{name}',
      description=description.replace('%', '%%'),
      formatter_class=argparse.RawDescriptionHelpFormatter,
      allow_abbrev=False,
    )

  def error(self, message):
    """Refuses a command line."""
    raise errors.UserError(f'{message}; see {self.prog} --help')


def add_config(parser, **options):
  """Adds --config, and with it --config.KEY=VALUE.

  Args:
    parser: a `Parser`.
    **options: of `add_argument`, e.g. required=True.
  """
  parser.add_argument(
    '--config',
    metavar='NAME',
    help='a config file (PATH.py, or PATH.py:ARGUMENT), or the name of one of '
    'this package, e.g. quickstart; --config.KEY=VALUE sets a key of it, e.g. '
    '--config.generator.ch=32',
    **options,
  )


def parse(parser, argv=None):
  """Parses a command line.

  Args:
    parser: a `Parser`.
    argv: without the program; None for those of the process.

  Returns:
    A namespace. Where the parser has --config, `config` is its value or None,
    and `overrides` is {'section.leaf': text} of --config.KEY=VALUE.

  Raises:
    UserError: if a flag is unknown or its value is refused.
  """
  if argv is None:
    import sys

    argv = sys.argv[1:]
  overrides, rest = {}, list(argv)
  flags = [flag for action in parser._actions for flag in action.option_strings]
  if '--config' in flags:
    overrides, rest = _split(rest)
  args, unknown = parser.parse_known_args(rest)
  if unknown:
    parser.error(_describe(unknown, flags))
  args.overrides = overrides
  return args


def _split(argv):
  """Takes --config.KEY=VALUE, or --config.KEY VALUE, out of a command line."""
  overrides, rest = {}, []
  tokens = iter(argv)
  for token in tokens:
    if not token.startswith(_PREFIX):
      rest.append(token)
      continue
    flag, equals, value = token.partition('=')
    if not equals:
      value = next(tokens, None)
      if value is None or value.startswith('--'):
        raise errors.UserError(f'{flag} needs a value; set {flag}=VALUE')
    overrides[flag.removeprefix(_PREFIX)] = value
  return overrides, rest


def _describe(unknown, flags):
  names = [x.partition('=')[0] for x in unknown if x.startswith('-')]
  if not names:
    return f'unexpected argument {unknown[0]!r}'
  name = names[0]
  if '--config' in flags:
    from sagan_jax.config import schema  # Takes seconds, so only now.

    if name.lstrip('-') in schema.KEYS:
      return f'unknown flag {name}; did you mean {_PREFIX}{name.lstrip("-")}?'
  close = difflib.get_close_matches(name, flags, 1)
  return f'unknown flag {name}' + (
    f'; did you mean {close[0]}?' if close else ''
  )
