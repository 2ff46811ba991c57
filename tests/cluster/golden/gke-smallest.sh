cat > sagan.yaml <<'END_OF_FILE'
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: "sagan"
  namespace: "default"
  annotations:
    # All pods on one slice, and no other job on it.
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
spec:
  failurePolicy:
    maxRestarts: 100
    rules:
    # A failure that matches no rule restarts the set.
    - name: doNotRestart
      action: FailJobSet
      onJobFailureReasons:
      - PodFailurePolicy
  replicatedJobs:
  - name: slice
    replicas: 1
    template:
      spec:
        parallelism: 4
        completions: 4
        completionMode: Indexed
        backoffLimit: 0
        podFailurePolicy:
          rules:
          - action: FailJob
            onExitCodes:
              containerName: run
              operator: In
              values: [1, 2, 77]
        template:
          spec:
            restartPolicy: Never
            terminationGracePeriodSeconds: 60
            hostNetwork: true
            dnsPolicy: ClusterFirstWithHostNet
            nodeSelector:
              cloud.google.com/gke-tpu-accelerator: "tpu-v5-lite-podslice"
              cloud.google.com/gke-tpu-topology: "4x4"
            containers:
            - name: run
              image: "images/sagan:1"
              command:
              - "python"
              - "-m"
              - "sagan_jax.main"
              - "--config=experiments/imagenet.py"
              - "--workdir=gs://bucket/runs/1"
              - "--config.seed=1"
              resources:
                limits:
                  google.com/tpu: 4
END_OF_FILE

kubectl apply -f sagan.yaml
