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
  return reader.flatten(execute(CONFIG, name))


def execute(kind, name):
  """Executes a file and returns the ConfigDict or dict of its function.

  Args:
    kind: a `Kind`.
    name: as `load`.

  Raises:
    UserError: as `load`.
  """
  path, argument = _find(kind, name)
  try:
    code = compile(path.read_bytes(), str(path), 'exec')
  except OSError as e:
    raise errors.UserError(
      f'cannot read the {kind.noun} file {path}: {e.strerror or e}; set '
      f'{kind.flag} to a file or one of {", ".join(kind.names())}'
    ) from e
  except SyntaxError as e:
    raise errors.UserError(
      f'{path}:{e.lineno}: {e.msg}: {(e.text or "").strip()!r}; mend the file'
    ) from e
  except ValueError as e:  # Null bytes, before Python 3.12.
    raise errors.UserError(f'{path} is not Python: {e}; mend the file') from e
  # Not in `sys.modules`: nothing imports it.
  module = types.ModuleType(path.stem)
  module.__file__ = str(path)
  with _telling(path), _importing_from(path.parent):
    exec(code, vars(module))
    function = getattr(module, kind.function, None)
    tree = function(*_arguments(kind, path, function, argument))
    if not hasattr(tree, 'items'):
      line = function.__code__.co_firstlineno
      raise errors.UserError(
        f'{path}:{line}: {kind.function}() returns {tree!r}, not a ConfigDict '
        'or a dict; mend the file'
      )
    return tree


def _find(kind, name):
  """Returns (path of the file, argument or None)."""
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


def _arguments(kind, path, function, argument):
  if not callable(function):
    raise errors.UserError(
      f'{path} has no function {kind.function}(); define one that returns the '
      f'{kind.noun}'
    )
  arguments = () if argument is None else (argument,)
  try:
    inspect.signature(function).bind(*arguments)
  except TypeError as e:
    given = 'no argument' if argument is None else f'the argument {argument!r}'
    raise errors.UserError(
      f'{path}: {kind.function}{inspect.signature(function)} was given {given} '
      f'({e}); set {kind.flag}={path.name}'
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
  except Exception as e:  # noqa: BLE001 - a person's code may raise anything.
    lines = [
      frame.lineno
      for frame in traceback.extract_tb(e.__traceback__)
      if frame.filename == str(path)
    ]
    line = f':{lines[-1]}' if lines else ''
    text = ' '.join(str(e).split())
    hint = 'mend the file'
    if isinstance(e, ImportError) and (e.name or '').startswith('experiments'):
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
