"""Cloud TPU VMs: a script that queues for a slice and runs on all its workers.

The script runs on any machine with gcloud for as long as the run lasts, and can
be run again at any time. It makes the slice anew after a preemption, runs the
command again on 75 and 76, and deletes the slice at the end. Several commands
run one after another on one slice.
"""

import dataclasses
import shlex

from sagan_jax.cluster.launchers import plan, tpu_types

check_workdir = plan.check_remote_workdir


@dataclasses.dataclass(frozen=True)
class Options:
  """What to ask of Cloud TPU."""

  tpu_type: str = plan.option('TPU slice, e.g. v5litepod-16')
  zone: str = plan.option('zone, e.g. us-west4-a')
  project: str | None = plan.option("project; by default gcloud's own", None)
  runtime_version: str | None = plan.option(
    'image of the VMs, where it is not to be the usual one of the type', None
  )
  service_account: str | None = plan.option(
    'e-mail of the account that may write the bucket of --workdir', None
  )
  spot: bool = plan.option('run on spot capacity', False)
  setup: str = plan.option(
    "shell lines to run before on each worker, e.g. 'pip install jax[tpu]'", ''
  )
  restarts: int = plan.option(
    'how often to run again at most; preemptions do not count', 100
  )
  poll_secs: int = plan.option('seconds between looks at the queue', 60)
  shared_workdir: bool = plan.shared_workdir_option()


def render(name, commands, options):
  """Returns a `plan.Plan` of one script."""
  plan.check_at_least(0, restarts=options.restarts)
  plan.check_at_least(1, poll_secs=options.poll_secs)
  tpu = tpu_types.find(options.tpu_type)
  where = [f'--zone={options.zone}']
  if options.project:
    where.append(f'--project={options.project}')
  create = [
    f'--node-id={name}',
    f'--accelerator-type={options.tpu_type}',
    f'--runtime-version={options.runtime_version or tpu.runtime_version}',
  ]
  if options.service_account:
    create.append(f'--service-account={options.service_account}')
  if options.spot:
    create.append('--spot')
  text = _SCRIPT.format(
    name=name,
    where=shlex.join(where),
    create=shlex.join(create),
    setup=plan.quote(options.setup or ':'),
    commands=''.join(
      # Quoted twice: for the worker's shell, and for this script.
      f'  {plan.quote(plan.join(command))}\n'
      for command in commands
    ),
    restarts=options.restarts,
    poll_secs=options.poll_secs,
  )
  return plan.Plan({f'{name}.sh': text}, [['bash', f'{name}.sh']])


_SCRIPT = """\
#!/bin/bash
# Runs commands on all workers of a TPU slice, which it queues for, makes anew
# after a preemption, and deletes at the end. Run it again at any time. To give
# the run up, end this script and delete the slice:
#   gcloud compute tpus queued-resources delete {name} {where} --force
set -o pipefail
name={name}
where=({where})
create=({create})
setup={setup}
commands=(
{commands})

log() {{ echo "launch: $*" >&2; }}

# Prints the state of the queued resource, ABSENT if there is none.
state() {{
  gcloud compute tpus queued-resources list "${{where[@]}}" \\
    --format='value(name.basename(),state.state)' |
    awk -v name="$name" '
      $1 == name {{ found = $2 }}
      END {{ print found ? found : "ABSENT" }}'
}}

# Returns when the slice is there; makes it if need be.
acquire() {{
  local now failures=0
  while ((failures < 10)); do
    if ! now=$(state); then
      log "cannot list queued resources"
      failures=$((failures + 1))
      sleep {poll_secs}
      continue
    fi
    case $now in
      ACTIVE) return 0 ;;
      ABSENT)
        log "queueing for $name"
        gcloud compute tpus queued-resources create "$name" "${{where[@]}}" \\
          "${{create[@]}}" || failures=$((failures + 1))
        ;;
      SUSPENDED | FAILED)
        log "$name is $now; deleting it"
        release || failures=$((failures + 1))
        ;;
      *) log "$name is $now" ;;
    esac
    sleep {poll_secs}
  done
  return 1
}}

release() {{
  gcloud compute tpus queued-resources delete "$name" "${{where[@]}}" \\
    --force --quiet
}}

# Runs a command on all workers; returns the most telling of their exit codes,
# where gcloud returns that of the first worker.
run() {{
  local line="trap 'echo \\"launch: exit code \\$?\\"' EXIT; trap : TERM
set -e
$setup
$1"
  # A connection can break while the command lives on: wait for that to end.
  gcloud compute tpus tpu-vm ssh "$name" "${{where[@]}}" --worker=all \\
    --command="flock /tmp/$name.lock bash -c $(printf %q "$line")" 2>&1 |
    awk '
      {{ print; fflush() }}
      match($0, /launch: exit code [0-9]+/) {{
        code = substr($0, RSTART + 18, RLENGTH - 18) + 0
        seen[code] = 1
        if (code > 0) other = code
      }}
      END {{
        split("2 1 77 76 75", order)
        for (i = 1; i <= 5; i++) if (order[i] in seen) exit order[i]
        exit other + 0
      }}'
  local codes=("${{PIPESTATUS[@]}}")
  ((codes[1] == 0)) && return "${{codes[0]}}"  # Not all may have told.
  return "${{codes[1]}}"
}}

worst=0
for command in "${{commands[@]}}"; do
  restarts=0
  while true; do
    if ! acquire; then
      log "giving up; see the errors above"
      exit 1
    fi
    run "$command"
    code=$?
    log "the command ended with exit code $code"
    case $code in
      0 | 1 | 2 | 77) break ;;
    esac
    if [[ $(state) == ACTIVE ]]; then  # Else it was preempted.
      ((restarts < {restarts})) || break
      restarts=$((restarts + 1))
    fi
    sleep {poll_secs}
  done
  ((worst == 0)) && worst=$code
done
release
exit "$worst"
"""
