"""Config files: Python that is executed, found by path or by name.

A config file has a function `get_config()` that returns a ConfigDict or a dict.
Those of this package are in `experiments/`, and `sagan_jax.experiments` when it
is installed: import a base from there, which works in any directory. Files of
another `Kind` are found and executed in the same way.
"""

import contextlib
import dataclasses
import inspect
import pathlib
import re
import sys
import traceback
import types
from collections.abc import Callable
from typing import Any

from sagan_jax import errors, files
from sagan_jax.config import annotations, reader

SHIPPED = pathlib.Path(__file__).parents[1] / 'experiments'


@dataclasses.dataclass(frozen=True)
class Kind:
  """What a file is for, as its errors name it."""

  noun: str
  flag: str  # That names the file.
  function: str  # That the file defines, and that returns a dict.
  shipped: pathlib.Path  # The directory of those of this package.

  def names(self):
    """The names of those of this package."""
    stems = (path.stem for path in self.shipped.glob('*.py'))
    return sorted(stem for stem in stems if stem != '__init__')


CONFIG = Kind('config', '--config', 'get_config', SHIPPED)


def names():
  """The names of the configs of this package."""
  return CONFIG.names()


def load(name):
  """Executes a config file.

  Args:
    name: 'PATH.py', 'PATH.py:ARGUMENT' for `get_config(ARGUMENT)`, or a name
      of `names` instead of the path.

  Returns:
    {'section.leaf': value}, unchecked.

  Raises:
    UserError: if there is no such file or it fails, with its line.
  """
  return execute(CONFIG, name, reader.flatten)


def execute(kind, name, convert: Callable[[Any], dict] = dict):
  """Executes a file and returns the ConfigDict or dict of its function.

  Args:
    kind: a `Kind`.
    name: as of `load`.
    convert: what to make of it; it may meet the mistakes of the file.

  Raises:
    UserError: as `load`.
  """
  path, argument = find(name, kind)
  try:
    code = compile(path.read_bytes(), str(path), 'exec')
  except OSError as e:
    raise errors.UserError(
      f'cannot read the {kind.noun} file {path}: {e.strerror or e}; set '
      f'{kind.flag} to a file or one of {", ".join(kind.names())}'
    ) from e
  except SyntaxError as e:
    line = f':{e.lineno}' if e.lineno else ''
    text = f': {e.text.strip()!r}' if e.text else ''
    raise errors.UserError(f'{path}{line}: {e.msg}{text}; mend the file') from e
  module = types.ModuleType('_sagan_jax_config_file')
  module.__file__ = str(path)
  sys.modules[module.__name__] = module  # Where dataclasses look for it.
  with _telling(path), _importing_from(path.parent):
    exec(code, vars(module))
    function = _function(kind, path, module)
    tree = function(*_arguments(kind, path, function, argument))
    if not hasattr(tree, 'items'):
      code = function.__code__
      raise errors.UserError(
        f'{code.co_filename}:{code.co_firstlineno}: {kind.function}() returns '
        f'{tree!r}, not a ConfigDict or a dict; mend the file'
      )
    return convert(tree)


def find(name, kind=CONFIG):
  """Finds a config file, or one of another kind.

  Args:
    name: as of `load`.
    kind: a `Kind`.

  Returns:
    (path of the file, argument or None). The file of a path may not exist.

  Raises:
    UserError: if there is none of that name.
  """
  match = re.fullmatch(r'(.*\.py)(?::(.*))?', name, re.DOTALL)
  if match:
    return files.as_path(match[1]), match[2]
  stem, colon, argument = name.partition(':')
  names = kind.names()
  if stem in names:
    path = files.as_path(kind.shipped / f'{stem}.py')
    return path, argument if colon else None
  if files.as_path(f'{name}.py').exists():
    hint = f'; did you mean {f"{name}.py"!r}?'
  else:
    hint = annotations.nearest(pathlib.PurePath(stem).name, names)
  raise errors.UserError(
    f'there is no {kind.noun} {name!r}{hint}; set {kind.flag} to one of '
    f'{", ".join(names)}, or to the path of a .py file'
  )


def _function(kind, path, module):
  function = getattr(module, kind.function, None)
  if not isinstance(function, types.FunctionType):
    raise errors.UserError(
      f'{path} has no function {kind.function}(); define one that returns the '
      f'{kind.noun}'
    )
  return function


def _arguments(kind, path, function, argument):
  arguments = () if argument is None else (argument,)
  try:
    inspect.signature(function).bind(*arguments)
  except TypeError as e:
    given = 'no argument' if argument is None else f'the argument {argument!r}'
    raise errors.UserError(
      f'{path}: {kind.function}{inspect.signature(function)} was given {given} '
      f'({e}); set {kind.flag}=FILE'
      f'{":ARGUMENT" if argument is None else " alone"}'
    ) from e
  return arguments


@contextlib.contextmanager
def _telling(path):
  """Turns what a config file raises into one line that names its line."""
  try:
    yield
  except errors.UserError:
    raise
  except (Exception, SystemExit) as e:  # noqa: BLE001 - a person's code may raise anything.
    lines = [
      frame.lineno
      for frame in traceback.extract_tb(e.__traceback__)
      if frame.filename == str(path)
    ]
    line = f':{lines[-1]}' if lines else ''
    text = ' '.join(str(e).split())
    hint = 'mend the file'
    if (
      isinstance(e, ImportError)
      and (e.name or '').split('.')[0] == 'experiments'
    ):
      hint = 'import the base with `from sagan_jax.experiments import ...`'
    raise errors.UserError(
      f'{path}{line}: {type(e).__name__}: {text}; {hint}'
    ) from e


@contextlib.contextmanager
def _importing_from(directory):
  """Lets a config file import its neighbours, after everything else."""
  sys.path.append(str(directory))
  try:
    yield
  finally:
    sys.path.remove(str(directory))
