"""Options of a back end as flags of a command, for every command that launches."""

import dataclasses
import types
import typing


def add(parser, options_class):
  """Adds a flag for each field of a back end's `Options`.

  Args:
    parser: of argparse.
    options_class: a dataclass of `plan.option`s.
  """
  hints = typing.get_type_hints(options_class)
  for field in dataclasses.fields(options_class):
    _add(parser, field, hints[field.name])


def options(options_class, args):
  """Returns the `Options` that a parser with these flags has parsed.

  Args:
    options_class: as was given to `add`.
    args: the parser's namespace.
  """
  fields = dataclasses.fields(options_class)
  return options_class(
    **{field.name: getattr(args, field.name) for field in fields}
  )


def _add(parser, field, hint):
  kind = hint
  if isinstance(hint, types.UnionType):
    kind = next(t for t in typing.get_args(hint) if t is not types.NoneType)
  text = field.metadata['help'].replace('%', '%%')
  required = field.default is dataclasses.MISSING
  settings: dict = (
    {'required': True} if required else {'default': field.default}
  )
  if kind is bool:
    settings['action'] = 'store_true'
  else:
    settings |= {'type': kind, 'metavar': kind.__name__.upper()}
    if not required and field.default not in (None, ''):
      text += f' (default: {field.default})'
  parser.add_argument(f'--{field.name}', help=text, **settings)
