cat > sagan-0.yaml <<'END_OF_FILE'
name: "sagan-0"
num_nodes: 4
resources:
  accelerators: "H100:8"
  infra: "gcp/us-central1"
  image_id: "docker:images/sagan:1"
  use_spot: true
  job_recovery:
    # A job that makes no progress between two restarts ends with 77.
    recover_on_exit_codes: [75, 76]
    max_restarts_on_errors: 0
workdir: "."
setup: |
  sudo apt-get update

  pip install .
run: |
  coordinator=$(head -n 1 <<< "$SKYPILOT_NODE_IPS")
  exec python -m sagan_jax.main --config=experiments/imagenet.py --workdir=gs://bucket/runs/1 --config.seed=1 \
    --coordinator_address="$coordinator:8476" \
    --num_processes="$SKYPILOT_NUM_NODES" \
    --process_id="$SKYPILOT_NODE_RANK"
END_OF_FILE

cat > sagan-1.yaml <<'END_OF_FILE'
name: "sagan-1"
num_nodes: 4
resources:
  accelerators: "H100:8"
  infra: "gcp/us-central1"
  image_id: "docker:images/sagan:1"
  use_spot: true
  job_recovery:
    # A job that makes no progress between two restarts ends with 77.
    recover_on_exit_codes: [75, 76]
    max_restarts_on_errors: 0
workdir: "."
setup: |
  sudo apt-get update

  pip install .
run: |
  coordinator=$(head -n 1 <<< "$SKYPILOT_NODE_IPS")
  exec python -m sagan_jax.main --config=experiments/imagenet.py --workdir=gs://bucket/runs/1 --config.seed=2 \
    --coordinator_address="$coordinator:8476" \
    --num_processes="$SKYPILOT_NUM_NODES" \
    --process_id="$SKYPILOT_NODE_RANK"
END_OF_FILE

sky jobs launch --yes --detach-run sagan-0.yaml

sky jobs launch --yes --detach-run sagan-1.yaml
