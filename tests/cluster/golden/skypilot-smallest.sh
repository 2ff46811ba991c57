cat > sagan.yaml <<'END_OF_FILE'
name: "sagan"
num_nodes: 1
resources:
  accelerators: "tpu-v5litepod-16"
  use_spot: false
  job_recovery:
    # A job that makes no progress between two restarts ends with 77.
    recover_on_exit_codes: [75, 76]
    max_restarts_on_errors: 0
run: |
  exec python -m sagan_jax.main --config=experiments/imagenet.py --workdir=gs://bucket/runs/1 --config.seed=1
END_OF_FILE

sky jobs launch --yes --detach-run sagan.yaml
