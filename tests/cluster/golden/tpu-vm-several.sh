cat > sagan.sh <<'END_OF_FILE'
#!/bin/bash
# Runs commands on all workers of a TPU slice, which it queues for, makes anew
# after a preemption, and deletes at the end. Run it again at any time. To give
# the run up, end this script and delete the slice:
#   gcloud compute tpus queued-resources delete sagan --zone=us-central2-b --project=gans --force
set -o pipefail
name=sagan
where=(--zone=us-central2-b --project=gans)
create=(--node-id=sagan --accelerator-type=v4-32 --runtime-version=tpu-vm-base --service-account=a@b.c --spot)
setup=$'cd sagan\x0apip install .'
commands=(
  'python -m sagan_jax.main --config=experiments/imagenet.py --workdir=gs://bucket/runs/1 --config.seed=1'
  'python -m sagan_jax.main --config=experiments/imagenet.py --workdir=gs://bucket/runs/1 --config.seed=2'
)

log() { echo "launch: $*" >&2; }

# Prints the state of the queued resource, ABSENT if there is none.
state() {
  gcloud compute tpus queued-resources list "${where[@]}" \
    --format='value(name.basename(),state.state)' |
    awk -v name="$name" '
      $1 == name { found = $2 }
      END { print found ? found : "ABSENT" }'
}

# Returns when the slice is there; makes it if need be.
acquire() {
  local now failures=0
  while ((failures < 10)); do
    if ! now=$(state); then
      log "cannot list queued resources"
      failures=$((failures + 1))
      sleep 5
      continue
    fi
    case $now in
      ACTIVE) return 0 ;;
      ABSENT)
        log "queueing for $name"
        gcloud compute tpus queued-resources create "$name" "${where[@]}" \
          "${create[@]}" || failures=$((failures + 1))
        ;;
      SUSPENDED | FAILED)
        log "$name is $now; deleting it"
        release || failures=$((failures + 1))
        ;;
      *) log "$name is $now" ;;
    esac
    sleep 5
  done
  return 1
}

release() {
  gcloud compute tpus queued-resources delete "$name" "${where[@]}" \
    --force --quiet
}

# Runs a command on all workers; returns the most telling of their exit codes,
# where gcloud returns that of the first worker.
run() {
  local line="trap 'echo \"launch: exit code \$?\"' EXIT; trap : TERM
set -e
$setup
$1"
  # A connection can break while the command lives on: wait for that to end.
  gcloud compute tpus tpu-vm ssh "$name" "${where[@]}" --worker=all \
    --command="flock /tmp/$name.lock bash -c $(printf %q "$line")" 2>&1 |
    awk '
      { print; fflush() }
      match($0, /launch: exit code [0-9]+/) {
        code = substr($0, RSTART + 18, RLENGTH - 18) + 0
        seen[code] = 1
        if (code > 0) other = code
      }
      END {
        split("2 1 77 76 75", order)
        for (i = 1; i <= 5; i++) if (order[i] in seen) exit order[i]
        exit other + 0
      }'
  local codes=("${PIPESTATUS[@]}")
  ((codes[1] == 0)) && return "${codes[0]}"  # Not all may have told.
  return "${codes[1]}"
}

worst=0
for command in "${commands[@]}"; do
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
      ((restarts < 3)) || break
      restarts=$((restarts + 1))
    fi
    sleep 5
  done
  ((worst == 0)) && worst=$code
done
release
exit "$worst"
END_OF_FILE

bash sagan.sh
