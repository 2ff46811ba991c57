"""GKE through xpk: one workload for each command.

xpk restarts the whole workload on the exit codes that are named, and on 42 and
127 to 255, up to a limit; https://github.com/AI-Hypercomputer/xpk.
"""

import dataclasses

from sagan_jax.cluster import exit_codes
from sagan_jax.cluster.launchers import plan, tpu_types

check_workdir = plan.check_remote_workdir


@dataclasses.dataclass(frozen=True)
class Options:
  """What to ask of xpk."""

  cluster: str = plan.option('cluster that xpk has made or knows')
  tpu_type: str = plan.option('TPU slice, e.g. v5litepod-16')
  image: str = plan.option('container image with this package')
  zone: str | None = plan.option('zone of the cluster', None)
  project: str | None = plan.option('project of the cluster', None)
  spot: bool = plan.option(
    'let auto-provisioning take spot nodes; those of an existing pool are '
    'what they are',
    False,
  )
  restarts: int = plan.option('how often to restart at most', 100)
  stop_secs: int = plan.option('seconds that a pod has to save and end', 60)
  shared_workdir: bool = plan.shared_workdir_option()


def render(name, commands, options):
  """Returns a `plan.Plan` of one xpk command for each command."""
  plan.check_at_least(0, restarts=options.restarts, stop_secs=options.stop_secs)
  tpu_types.find(options.tpu_type)
  return plan.Plan(
    {},
    [
      _create(job, command, options)
      for job, command in zip(plan.names(name, commands), commands, strict=True)
    ],
  )


def _create(name, command, options):
  codes = ','.join(map(str, exit_codes.RESTART))
  # xpk puts the line into a bash script in a pod's YAML, where Kubernetes
  # replaces $(NAME) and $$; exec, so that SIGTERM reaches the command itself.
  line = f'exec {plan.join(command)}'.replace('$', '$$')
  arguments = [
    'xpk',
    'workload',
    'create',
    f'--cluster={options.cluster}',
    f'--workload={name}',
    f'--tpu-type={options.tpu_type}',
    '--num-slices=1',
    f'--docker-image={options.image}',
    f'--max-restarts={options.restarts}',
    f'--restart-on-exit-codes={codes}',
    f'--termination-grace-period-seconds={options.stop_secs}',
  ]
  if options.zone:
    arguments.append(f'--zone={options.zone}')
  if options.project:
    arguments.append(f'--project={options.project}')
  if options.spot:
    arguments.append('--spot')
  return [*arguments, f'--command={line}']
