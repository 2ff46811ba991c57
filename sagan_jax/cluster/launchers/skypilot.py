"""SkyPilot: a managed job for each command, on any cloud.

SkyPilot replaces preempted machines by itself, and those of a job that ends
with 75 or 76; https://docs.skypilot.co, managed jobs.
"""

import dataclasses

from sagan_jax.cluster import exit_codes
from sagan_jax.cluster.launchers import plan

check_workdir = plan.check_remote_workdir
# Of the coordinator, on the first node.
_PORT = 8476


@dataclasses.dataclass(frozen=True)
class Options:
  """What to ask of SkyPilot."""

  accelerators: str = plan.option('e.g. H100:8 or tpu-v5litepod-16')
  nodes: int = plan.option('how many nodes; one for a TPU slice', 1)
  infra: str | None = plan.option(
    'cloud, or cloud/region/zone; by default the cheapest', None
  )
  image: str | None = plan.option('container image, e.g. docker:IMAGE', None)
  spot: bool = plan.option('run on spot machines', False)
  upload: str | None = plan.option(
    'directory to copy to the working directory of each node', None
  )
  setup: str = plan.option(
    "shell lines to run once on each node, e.g. 'pip install .'", ''
  )
  shared_workdir: bool = plan.shared_workdir_option()


def render(name, commands, options):
  """Returns a `plan.Plan` of one managed job for each command."""
  plan.check_at_least(1, nodes=options.nodes)
  texts, steps = {}, []
  for job, command in zip(plan.names(name, commands), commands, strict=True):
    texts[f'{job}.yaml'] = _task(job, command, options)
    steps.append(
      ['sky', 'jobs', 'launch', '--yes', '--detach-run', f'{job}.yaml']
    )
  return plan.Plan(texts, steps)


def _task(name, command, options):
  string = plan.yaml_string
  lines = [
    f'name: {string(name)}',
    f'num_nodes: {options.nodes}',
    'resources:',
    f'  accelerators: {string(options.accelerators)}',
  ]
  if options.infra:
    lines.append(f'  infra: {string(options.infra)}')
  if options.image:
    lines.append(f'  image_id: {string(options.image)}')
  lines += [
    f'  use_spot: {str(options.spot).lower()}',
    '  job_recovery:',
    '    # A job that makes no progress between two restarts ends with 77.',
    f'    recover_on_exit_codes: {list(exit_codes.RESTART)}',
    '    max_restarts_on_errors: 0',
  ]
  if options.upload:
    lines.append(f'workdir: {string(options.upload)}')
  text = ''.join(f'{line}\n' for line in lines)
  if options.setup:
    text += f'setup: |\n{plan.yaml_block(options.setup, 2)}'
  return f'{text}run: |\n{plan.yaml_block(_run(command, options), 2)}'


def _run(command, options):
  line = f'exec {plan.join(command)}'
  if options.nodes == 1:  # A TPU slice is found by jax.
    return line
  return (
    'coordinator=$(head -n 1 <<< "$SKYPILOT_NODE_IPS")\n'
    f'{line} \\\n'
    f'  --coordinator_address="$coordinator:{_PORT}" \\\n'
    '  --num_processes="$SKYPILOT_NUM_NODES" \\\n'
    '  --process_id="$SKYPILOT_NODE_RANK"'
  )
