"""Config files: Python that is executed, found by path or by name.

A config file has a function `get_config()` that returns a ConfigDict or a dict.
Those of this package are in `experiments/`, and `sagan_jax.experiments` when it
is installed: import a base from there, which works in any directory.
"""

import contextlib
import inspect
import pathlib
import re
import sys
import traceback
import types

from sagan_jax import errors, files
from sagan_jax.config import annotations, reader

SHIPPED = pathlib.Path(__file__).parents[1] / 'experiments'


def names():
  """The names of the configs of this package."""
  return sorted(p.stem for p in SHIPPED.glob('*.py') if p.stem != '__init__')


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
  path, argument = find(name)
  try:
    code = compile(path.read_bytes(), str(path), 'exec')
  except OSError as e:
    raise errors.UserError(
      f'cannot read the config file {path}: {e.strerror or e}; set --config to '
      f'a file or one of {", ".join(names())}'
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
    get_config = _function(path, module)
    tree = get_config(*_arguments(path, get_config, argument))
    if not hasattr(tree, 'items'):
      code = get_config.__code__
      raise errors.UserError(
        f'{code.co_filename}:{code.co_firstlineno}: get_config() returns '
        f'{tree!r}, not a ConfigDict or a dict; mend the file'
      )
    return reader.flatten(tree)


def find(name):
  """Finds a config file.

  Args:
    name: as of `load`.

  Returns:
    (path of the file, argument or None). The file of a path may not exist.

  Raises:
    UserError: if there is no config of that name.
  """
  match = re.fullmatch(r'(.*\.py)(?::(.*))?', name, re.DOTALL)
  if match:
    return files.as_path(match[1]), match[2]
  stem, colon, argument = name.partition(':')
  if stem in names():
    return files.as_path(SHIPPED / f'{stem}.py'), argument if colon else None
  if files.as_path(f'{name}.py').exists():
    hint = f'; did you mean {f"{name}.py"!r}?'
  else:
    hint = annotations.nearest(pathlib.PurePath(stem).name, names())
  raise errors.UserError(
    f'there is no config {name!r}{hint}; set --config to one of '
    f'{", ".join(names())}, or to the path of a .py file'
  )


def _function(path, module):
  get_config = getattr(module, 'get_config', None)
  if not isinstance(get_config, types.FunctionType):
    raise errors.UserError(
      f'{path} has no function get_config(); define one that returns the config'
    )
  return get_config


def _arguments(path, get_config, argument):
  arguments = () if argument is None else (argument,)
  try:
    inspect.signature(get_config).bind(*arguments)
  except TypeError as e:
    given = 'no argument' if argument is None else f'the argument {argument!r}'
    raise errors.UserError(
      f'{path}: get_config{inspect.signature(get_config)} was given {given} '
      f'({e}); set --config=FILE{":ARGUMENT" if argument is None else " alone"}'
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
