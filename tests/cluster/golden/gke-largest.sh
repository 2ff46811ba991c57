cat > sagan.yaml <<'END_OF_FILE_'
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: "sagan"
  namespace: "research"
  annotations:
    # All pods on one slice, and no other job on it.
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
  labels:
    kueue.x-k8s.io/queue-name: "night"
spec:
  failurePolicy:
    maxRestarts: 3
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
        parallelism: 2
        completions: 2
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
            terminationGracePeriodSeconds: 25
            hostNetwork: true
            dnsPolicy: ClusterFirstWithHostNet
            serviceAccountName: "writer"
            nodeSelector:
              cloud.google.com/gke-tpu-accelerator: "tpu-v5-lite-podslice"
              cloud.google.com/gke-tpu-topology: "2x4"
              cloud.google.com/gke-spot: "true"
            tolerations:
            - key: cloud.google.com/gke-spot
              operator: Equal
              value: "true"
              effect: NoSchedule
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
              - "two words"
              - "it's"
              - "\"quoted\""
              - "$$HOME $${HOME} $$(id) $$$$ `id`"
              - "new\nline\n"
              - "\ttab \\t \\\\ \u007f \u0085 \u2028 \ufeff"
              - "all 'of'\n\"them\" $$'x' \\"
              - "*"
              - ""
              - "~"
              - "#"
              - "-n"
              - "!x"
              - "{a,b}"
              - "%s"
              - "naïve ☃ 😀"
              - "END_OF_FILE"
              resources:
                limits:
                  google.com/tpu: 4
END_OF_FILE_

gcloud container clusters get-credentials pods --location=us-west4 --project=gans

kubectl apply -f sagan.yaml
