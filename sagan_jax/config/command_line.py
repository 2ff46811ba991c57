"""Command lines: argparse, with --config.KEY=VALUE for any key of a config.

Imports nothing heavy, so that `--help` answers at once.
"""

import argparse
import difflib
import math
import sys

from sagan_jax import errors

_PREFIX = '--config.'
_MAX = 2**31 - 1


def make_parser(name, description):
  """Returns the parser of a command of this package.

  Args:
    name: of the command's module, e.g. 'main'.
    description: the docstring of that module.
  """
  return argparse.ArgumentParser(
    prog=f'python -m sagan_jax.{name}',
    description=description,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )


def add_config(parser, **options):
  """Adds --config, and with it --config.KEY=VALUE.

  Args:
    parser: of argparse.
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


def positive(text):
  """The type of an argument that counts something."""
  if not text.isdecimal() or not 1 <= int(text) <= _MAX:
    raise argparse.ArgumentTypeError(
      f'{text[:40]!r} is not an integer from 1 to {_MAX}'
    )
  return int(text)


def positives(text):
  """The type of an argument that lists counts: 'N,...'."""
  return [positive(part) for part in text.split(',')]


def step(*words):
  """The type of an argument that is a step, or one of some words."""

  def read(text):
    if text in words:
      return text
    if not text.isdecimal() or len(text) > 10:
      raise argparse.ArgumentTypeError(
        f'{text[:40]!r} is no step' + ''.join(f', nor {x}' for x in words)
      )
    return int(text)

  return read


def above_zero(text):
  """The type of an argument that is a finite number > 0."""
  try:
    value = float(text)
  except ValueError:
    value = math.nan
  if not 0 < value < math.inf:
    raise argparse.ArgumentTypeError(f'{text[:40]!r} is no number above 0')
  return value


def parse(parser, argv=None):
  """Parses a command line.

  Args:
    parser: of argparse, made without abbreviations.
    argv: without the program; None for those of the process.

  Returns:
    A namespace, with `overrides` = {'section.leaf': text} of --config.KEY=VALUE
    where the parser has --config.

  Raises:
    UserError: if a flag is unknown or its value is refused. Of a flag that is
      there twice the last counts, so that a command can be extended.
  """

  def refuse(message):
    raise errors.UserError(f'{message}; see {parser.prog} --help')

  parser.error = refuse  # Else argparse ends the process by itself.
  flags = list(parser._option_string_actions)
  rest = list(sys.argv[1:] if argv is None else argv)
  overrides = {}
  if '--config' in flags:
    overrides, rest = _split(rest)
  args, unknown = parser.parse_known_args(rest)
  if unknown:
    refuse(_describe(unknown, flags))
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
  """Says what is wrong with the first argument that the parser left."""
  names = [x.partition('=')[0] for x in unknown if x.startswith('-')]
  if not names:
    return f'unexpected argument {unknown[0]!r}'
  name = names[0]
  if '--config' in flags:
    from sagan_jax.config import schema  # Takes seconds, so only now.

    if name.lstrip('-') in schema.KEYS:
      return f'unknown flag {name}; did you mean {_PREFIX}{name.lstrip("-")}?'
  close = difflib.get_close_matches(name, flags, 1)
  hint = f'; did you mean {close[0]}?' if close else ''
  return f'unknown flag {name}{hint}'
