"""GKE: a JobSet with one pod per host of a TPU slice.

No pod restarts alone. The whole set does, up to a limit, unless a process ends
with 1, 2 or 77: preemption, a stop (75), a hang (76) and a kill restart it. API:
https://github.com/kubernetes-sigs/jobset, v1alpha2.
"""

import dataclasses

from sagan_jax.cluster import exit_codes
from sagan_jax.cluster.launchers import plan, tpu_types

check_workdir = plan.check_remote_workdir


@dataclasses.dataclass(frozen=True)
class Options:
  """What to ask of a GKE cluster."""

  tpu_type: str = plan.option('TPU slice, e.g. v5litepod-16')
  image: str = plan.option('container image with this package')
  chips_per_host: int | None = plan.option(
    'chips of each host of the node pool, where they differ from the usual',
    None,
  )
  spot: bool = plan.option('run on spot nodes', False)
  cluster: str | None = plan.option(
    'cluster to fetch the credentials of; by default kubectl uses its own',
    None,
  )
  location: str | None = plan.option('zone or region of the cluster', None)
  project: str | None = plan.option('project of the cluster', None)
  namespace: str = plan.option('Kubernetes namespace', 'default')
  service_account: str | None = plan.option(
    'Kubernetes service account that may write the bucket of --workdir', None
  )
  queue: str | None = plan.option('Kueue queue', None)
  restarts: int = plan.option('how often to restart at most', 100)
  stop_secs: int = plan.option('seconds that a pod has to save and end', 60)
  shared_workdir: bool = plan.shared_workdir_option()


def render(name, commands, options):
  """Returns a `plan.Plan` of one JobSet for each command."""
  plan.check_at_least(1, chips_per_host=options.chips_per_host)
  plan.check_at_least(0, restarts=options.restarts, stop_secs=options.stop_secs)
  tpu = tpu_types.find(options.tpu_type)
  if options.chips_per_host:
    tpu = dataclasses.replace(tpu, chips_per_host=options.chips_per_host)
  steps = []
  if options.cluster:
    steps.append(
      ['gcloud', 'container', 'clusters', 'get-credentials', options.cluster]
      + _flag('location', options.location)
      + _flag('project', options.project)
    )
  texts = {}
  for job, command in zip(plan.names(name, commands), commands, strict=True):
    texts[f'{job}.yaml'] = _jobset(job, command, tpu, options)
    steps.append(['kubectl', 'apply', '-f', f'{job}.yaml'])
  return plan.Plan(texts, steps)


def _flag(name, value):
  return [f'--{name}={value}'] if value else []


def _jobset(name, command, tpu, options):
  string = plan.yaml_string
  arguments = ''.join(
    # Kubernetes replaces $(NAME) and $$.
    f'              - {string(argument.replace("$", "$$"))}\n'
    for argument in command
  )
  return _JOBSET.format(
    name=string(name),
    namespace=string(options.namespace),
    queue=_QUEUE.format(string(options.queue)) if options.queue else '',
    restarts=options.restarts,
    hosts=tpu.num_hosts,
    codes=', '.join(map(str, sorted(exit_codes.DO_NOT_RESTART))),
    stop_secs=options.stop_secs,
    account=(
      _ACCOUNT.format(string(options.service_account))
      if options.service_account
      else ''
    ),
    accelerator=string(tpu.accelerator),
    topology=string(tpu.topology),
    spot=_SPOT if options.spot else '',
    image=string(options.image),
    arguments=arguments,
    chips=tpu.chips_per_host,
  )


_QUEUE = """\
  labels:
    kueue.x-k8s.io/queue-name: {}
"""
_ACCOUNT = """\
            serviceAccountName: {}
"""
_SPOT = """\
              cloud.google.com/gke-spot: "true"
            tolerations:
            - key: cloud.google.com/gke-spot
              operator: Equal
              value: "true"
              effect: NoSchedule
"""
_JOBSET = """\
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: {name}
  namespace: {namespace}
  annotations:
    # All pods on one slice, and no other job on it.
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
{queue}spec:
  failurePolicy:
    maxRestarts: {restarts}
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
        parallelism: {hosts}
        completions: {hosts}
        completionMode: Indexed
        backoffLimit: 0
        podFailurePolicy:
          rules:
          - action: FailJob
            onExitCodes:
              containerName: run
              operator: In
              values: [{codes}]
        template:
          spec:
            restartPolicy: Never
            terminationGracePeriodSeconds: {stop_secs}
            hostNetwork: true
            dnsPolicy: ClusterFirstWithHostNet
{account}            nodeSelector:
              cloud.google.com/gke-tpu-accelerator: {accelerator}
              cloud.google.com/gke-tpu-topology: {topology}
{spot}            containers:
            - name: run
              image: {image}
              command:
{arguments}              resources:
                limits:
                  google.com/tpu: {chips}
"""
