"""What starts a command on all processes: here, on pods and on clusters.

`local` runs processes on this machine. Each of the other back ends writes what
an existing scheduler needs (`render`): files, and the commands that hand them
over. All of them restart by exit code (`cluster.exit_codes`), and resume by
running the same command again.

Another back end is a module with `Options`, a frozen dataclass of
`plan.option`s, and `render(name, commands, options)`, plus its line here.
"""

import importlib

from sagan_jax import errors
from sagan_jax.cluster.launchers import plan

# {name on the command line: module}, of the back ends that write files.
BACKENDS = {
  'tpu-vm': 'tpu_vm',
  'xpk': 'xpk',
  'gke': 'gke',
  'slurm': 'slurm',
  'skypilot': 'skypilot',
}


def load(backend):
  """Returns the module of a back end, by its name on the command line.

  Raises:
    UserError: if there is none of that name.
  """
  known = {'local': 'local', **BACKENDS}
  if backend not in known:
    raise errors.UserError(
      f'unknown back end {backend!r}; choose one of {", ".join(known)}'
    )
  return importlib.import_module(f'{__name__}.{known[backend]}')


def render(backend, name, commands, options):
  """Writes down what runs one command, or each of several, on a back end.

  Several become a job array on Slurm, and otherwise one job each, except on a
  TPU VM, where one slice runs one after another.

  Args:
    backend: a key of `BACKENDS`.
    name: of the job; the i-th of several is called NAME-i.
    commands: a list of commands, each a list of arguments.
    options: an `Options` of the back end's module.

  Returns:
    A `plan.Plan`. Nothing is written or run.

  Raises:
    UserError: if the name, an option or a work directory does not fit.
  """
  module = load(backend)
  plan.check_name(name)
  for command in commands:
    module.check_workdir(command, options)
  return module.render(name, commands, options)
