"""Slurm: a batch script that requeues itself; several commands are an array.

One task per process, found by jax from what srun sets. Slurm sends SIGTERM two
minutes before the time limit; the run saves, ends with 75 and is queued again.
"""

import dataclasses
import shlex

from sagan_jax import errors
from sagan_jax.cluster.launchers import plan

# Of one node alone, on every cluster.
_LOCAL_DISKS = ('/tmp', '/var/tmp', '/dev/shm', '/run')


@dataclasses.dataclass(frozen=True)
class Options:
  """What to ask of Slurm."""

  nodes: int = plan.option('how many nodes', 1)
  gpus_per_node: int = plan.option('GPUs of each node, one process for each', 0)
  processes_per_node: int | None = plan.option(
    'processes on each node; by default as many as GPUs, or one', None
  )
  cpus_per_process: int | None = plan.option('CPU cores of each process', None)
  time: str | None = plan.option('time limit, e.g. 24:00:00', None)
  partition: str | None = plan.option('partition', None)
  account: str | None = plan.option('account', None)
  sbatch: str = plan.option("further arguments of sbatch, e.g. '--mem=0'", '')
  setup: str = plan.option(
    "shell lines to run before, e.g. 'source venv/bin/activate'", ''
  )
  restarts: int = plan.option('how often to requeue at most', 100)
  parallel: int | None = plan.option('jobs of an array at a time', None)
  shared_workdir: bool = plan.shared_workdir_option()


def check_workdir(command, options):
  """Refuses a work directory that is surely on a disk of one node.

  A cluster's other file systems are shared, as is the one that sbatch is run
  on.

  Raises:
    UserError: if it is.
  """
  path = plan.workdir(command) or ''
  if options.shared_workdir or not path.startswith(
    tuple(f'{disk}/' for disk in _LOCAL_DISKS)
  ):
    return
  raise errors.UserError(
    f'--workdir={path} is on a disk of one node, so the processes would not '
    'share it and a requeued run could not resume; choose a directory on the '
    'file system that all nodes share, or set --shared_workdir if it is'
  )


def render(name, commands, options):
  """Returns a `plan.Plan` of one batch script."""
  plan.check_at_least(
    1,
    nodes=options.nodes,
    processes_per_node=options.processes_per_node,
    cpus_per_process=options.cpus_per_process,
    parallel=options.parallel,
  )
  plan.check_at_least(
    0, gpus_per_node=options.gpus_per_node, restarts=options.restarts
  )
  file = f'{name}.sbatch'
  directives = ''.join(
    f'#SBATCH {line}\n' for line in _directives(name, len(commands), options)
  )
  text = _SCRIPT.format(
    directives=directives,
    setup=f'{options.setup}\n' if options.setup else '',
    command=_command(commands),
    restarts=options.restarts,
    srun=_srun(options),
  )
  return plan.Plan({file: text}, [['sbatch', file]])


def _directives(name, num_commands, options):
  per_node = options.processes_per_node or options.gpus_per_node or 1
  lines = [
    f'--job-name={name}',
    f'--nodes={options.nodes}',
    f'--ntasks-per-node={per_node}',
  ]
  for flag, value in (
    ('gpus-per-node', options.gpus_per_node),
    ('cpus-per-task', options.cpus_per_process),
    ('time', options.time),
    ('partition', options.partition),
    ('account', options.account),
  ):
    if value:
      lines.append(f'--{flag}={value}')
  output = '%x-%j.out'
  if num_commands > 1:
    at_a_time = f'%{options.parallel}' if options.parallel else ''
    lines.append(f'--array=0-{num_commands - 1}{at_a_time}')
    output = '%x-%A_%a.out'
  lines += [
    f'--output={output}',
    '--open-mode=append',
    '--requeue',
    '--signal=TERM@120',
  ]
  return lines + [_directive(word) for word in shlex.split(options.sbatch)]


def _directive(word):
  flag, equals, value = word.partition('=')
  return f'{flag}={shlex.quote(value)}' if equals else shlex.quote(word)


def _srun(options):
  words = ['--kill-on-bad-exit=0', '--wait=300']
  if options.cpus_per_process:  # Which srun does not take over from sbatch.
    words.append(f'--cpus-per-task={options.cpus_per_process}')
  return ' '.join(words)


def _command(commands):
  if len(commands) == 1:
    return f'command=({plan.join(commands[0])})\n'
  cases = ''.join(
    f'  {i}) command=({plan.join(command)}) ;;\n'
    for i, command in enumerate(commands)
  )
  return f'case $SLURM_ARRAY_TASK_ID in\n{cases}esac\n'


_SCRIPT = """\
#!/bin/bash
{directives}
{setup}{command}
# srun returns the largest exit code of its tasks. So that the most telling one
# is the largest, a task reports 1 to 27 (do not restart) as 101 to 127, above
# 75 and 76 (restart), and death by signal n as n, below them.
# shellcheck disable=SC2016
task='
trap : TERM INT  # The command gets them too; wait for it.
"$@"
code=$?
if ((code >= 1 && code <= 27)); then
  code=$((code + 100))
elif ((code >= 129 && code <= 155)); then
  code=$((code - 128))
fi
exit "$code"
'
trap : TERM
# A task that fails leaves it to the others to end, for five minutes at most.
srun {srun} bash -c "$task" task "${{command[@]}}"
code=$?
if ((code >= 101 && code <= 127)); then
  code=$((code - 100))
elif ((code >= 1 && code <= 27)); then
  code=$((code + 128))
fi
echo "launch: the command ended with exit code $code"
if ((code == 75 || code == 76)); then
  if ((${{SLURM_RESTART_COUNT:-0}} < {restarts})); then
    scontrol requeue "$SLURM_JOB_ID"
  else
    echo "launch: not requeued again after {restarts} times"
  fi
fi
exit "$code"
"""
