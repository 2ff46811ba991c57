"""Runs a command by name: `sagan-jax COMMAND` is `python -m sagan_jax.COMMAND`.

A file at the top of the package that defines `main` is a command; the first
line of its docstring is what the list says. Nothing is imported before the
command is known.
"""

import ast
import difflib
import pathlib
import runpy
import sys


def commands():
  """Returns {name: first line of its docstring} of all commands."""
  found = {}
  for path in sorted(pathlib.Path(__file__).parent.glob('[!_]*.py')):
    tree = ast.parse(path.read_bytes())
    if any(
      isinstance(x, ast.FunctionDef) and x.name == 'main' for x in tree.body
    ):
      found[path.stem] = (ast.get_docstring(tree) or '').partition('\n')[0]
  return found


def main(argv=None):
  """Runs the command that the first argument names, with the others.

  Args:
    argv: arguments; None is those of the process.

  Returns:
    The exit code: 0, or 2 for a name that is no command. A command that ends
    the process itself does not return.
  """
  name, *rest = (sys.argv[1:] if argv is None else argv) or ['--help']
  known = commands()
  if name in ('-h', '--help'):
    width = max(map(len, known))
    print('usage: sagan-jax COMMAND [flags]; sagan-jax COMMAND --help\n')
    for command, purpose in known.items():
      print(f'  {command:{width}}  {purpose}')
    return 0
  if name not in known:
    near = difflib.get_close_matches(name, known, 1)
    hint = f'did you mean {near[0]!r}?' if near else f'there are {list(known)}'
    print(f'error: there is no command {name!r}; {hint}', file=sys.stderr)
    return 2
  sys.argv = [f'sagan-jax {name}', *rest]
  runpy.run_module(f'sagan_jax.{name}', run_name='__main__', alter_sys=True)
  return 0


if __name__ == '__main__':
  sys.exit(main())
