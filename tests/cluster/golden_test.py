"""Tests of what the back ends write, against copies in golden/.

`python -m tests.cluster.golden_test` writes the copies anew; read the
difference before you commit it.
"""

import pathlib
import shutil
import subprocess

import pytest
import yaml

from tests.support.launches import CASES, LARGEST, TRAIN, render

GOLDEN = pathlib.Path(__file__).parent / 'golden'


def golden(case):
  backend, options, commands = CASES[case]
  return render(backend, commands, **options).script()


@pytest.mark.parametrize('case', CASES)
def test_golden_copies(case):
  assert golden(case) == (GOLDEN / f'{case}.sh').read_text()


def test_there_is_no_other_copy():
  assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)


@pytest.mark.parametrize('case', CASES)
def test_scripts_parse(case, tmp_path):
  backend, options, commands = CASES[case]
  made = render(backend, commands, **options)
  (tmp_path / 'all.sh').write_text(made.script())
  made.write(tmp_path)
  for path in tmp_path.iterdir():
    if path.suffix in ('.sh', '.sbatch'):
      subprocess.run(['bash', '-n', path], check=True)


@pytest.mark.parametrize('backend', ['slurm', 'tpu-vm'])
@pytest.mark.skipif(not shutil.which('shellcheck'), reason='no shellcheck')
def test_shellcheck_finds_nothing(backend, tmp_path):
  render(backend, [TRAIN], **LARGEST[backend]).write(tmp_path)
  # 1091: what a user's setup sources is not here.
  subprocess.run(
    ['shellcheck', '--exclude=SC1091', *tmp_path.iterdir()], check=True
  )


def yaml_files(case):
  """{name: parsed} of the YAML files of a case."""
  backend, options, commands = CASES[case]
  files = render(backend, commands, **options).files
  return {name: yaml.safe_load(text) for name, text in files.items()}


JOB = 'spec.replicatedJobs[].template.spec'
POD = f'{JOB}.template.spec'
# Of jobset.x-k8s.io/v1alpha2 and, below a replicated job, of batch/v1 and
# core/v1: what is required, with its type, and what else is used.
REQUIRED = {
  'apiVersion': str,
  'kind': str,
  'metadata.name': str,
  'spec.replicatedJobs[].name': str,
  'spec.failurePolicy.rules[].name': str,
  'spec.failurePolicy.rules[].action': str,
  f'{JOB}.podFailurePolicy.rules[].action': str,
  f'{JOB}.podFailurePolicy.rules[].onExitCodes.operator': str,
  f'{JOB}.podFailurePolicy.rules[].onExitCodes.values[]': int,
  f'{POD}.restartPolicy': str,
  f'{POD}.containers[].name': str,
  f'{POD}.containers[].image': str,
}
OPTIONAL = {
  'metadata.namespace': str,
  'metadata.annotations.alpha.jobset.sigs.k8s.io/exclusive-topology': str,
  'metadata.labels.kueue.x-k8s.io/queue-name': str,
  'spec.failurePolicy.maxRestarts': int,
  'spec.failurePolicy.rules[].onJobFailureReasons[]': str,
  'spec.replicatedJobs[].replicas': int,
  f'{JOB}.parallelism': int,
  f'{JOB}.completions': int,
  f'{JOB}.completionMode': str,
  f'{JOB}.backoffLimit': int,
  f'{JOB}.podFailurePolicy.rules[].onExitCodes.containerName': str,
  f'{POD}.terminationGracePeriodSeconds': int,
  f'{POD}.hostNetwork': bool,
  f'{POD}.dnsPolicy': str,
  f'{POD}.serviceAccountName': str,
  f'{POD}.nodeSelector.cloud.google.com/gke-tpu-accelerator': str,
  f'{POD}.nodeSelector.cloud.google.com/gke-tpu-topology': str,
  f'{POD}.nodeSelector.cloud.google.com/gke-spot': str,
  f'{POD}.tolerations[].key': str,
  f'{POD}.tolerations[].operator': str,
  f'{POD}.tolerations[].value': str,
  f'{POD}.tolerations[].effect': str,
  f'{POD}.containers[].command[]': str,
  f'{POD}.containers[].resources.limits.google.com/tpu': int,
}


def values(tree, path=''):
  """{path: [values]} of all leaves."""
  found = {}
  if isinstance(tree, (dict, list)):
    items = (
      tree.items() if isinstance(tree, dict) else ((None, x) for x in tree)
    )
    for key, value in items:
      below = f'{path}[]' if key is None else f'{path}.{key}'.lstrip('.')
      for name, more in values(value, below).items():
        found.setdefault(name, []).extend(more)
    return found
  return {path: [tree]}


@pytest.mark.parametrize('case', [case for case in CASES if 'gke' in case])
def test_job_sets_follow_the_schema(case):
  trees = yaml_files(case)
  assert len(trees) == len(CASES[case][2])
  for name, tree in trees.items():
    leaves = values(tree)
    assert set(REQUIRED) <= set(leaves) <= set(REQUIRED | OPTIONAL)
    for path, found in leaves.items():
      kind = (REQUIRED | OPTIONAL)[path]
      assert all(type(value) is kind for value in found), path
    assert tree['apiVersion'] == 'jobset.x-k8s.io/v1alpha2'
    assert tree['kind'] == 'JobSet'
    assert f'{tree["metadata"]["name"]}.yaml' == name
    assert leaves['spec.failurePolicy.rules[].action'] == ['FailJobSet']
    # A policy by exit codes needs pods that do not restart.
    assert leaves[f'{POD}.restartPolicy'] == ['Never']
    assert (
      leaves[f'{JOB}.podFailurePolicy.rules[].onExitCodes.containerName']
      == leaves[f'{POD}.containers[].name']
    )


@pytest.mark.parametrize('case', [case for case in CASES if 'skypilot' in case])
def test_tasks_of_skypilot_follow_the_schema(case):
  for name, tree in yaml_files(case).items():
    assert set(tree) - {'workdir', 'setup'} == {
      *('name', 'num_nodes', 'resources', 'run')
    }
    assert f'{tree["name"]}.yaml' == name
    resources = tree['resources']
    assert set(resources) - {'infra', 'image_id'} == {
      *('accelerators', 'use_spot', 'job_recovery')
    }
    assert resources['job_recovery'] == {
      'recover_on_exit_codes': [75, 76],
      'max_restarts_on_errors': 0,
    }
    assert all(isinstance(tree[key], str) for key in ('name', 'run'))


if __name__ == '__main__':
  GOLDEN.mkdir(exist_ok=True)
  for path in GOLDEN.iterdir():
    path.unlink()
  for case in CASES:
    (GOLDEN / f'{case}.sh').write_text(golden(case))
