"""Tests that run what the back ends write, where stubs stand in for clouds."""

import json
import subprocess
import sys

import pytest
import yaml

from tests.support import stubs
from tests.support.launches import NASTY, smallest

pytestmark = pytest.mark.slow

# Says how it was called, and ends as CODES says of its process.
PROGRAM = """
import json, os, signal, sys
i = int(os.environ.get('SLURM_PROCID', os.environ.get('WORKER', 0)))
with open(os.environ['OUTPUT'], 'a') as file:
  file.write(json.dumps([i, *sys.argv[1:]]) + '\\n')
codes = json.loads(os.environ.get('CODES', '[0]'))
step = open(os.environ['OUTPUT']).read().count(f'[{i},') - 1
code = codes[min(step, len(codes) - 1)]
code = code[i] if isinstance(code, list) else code
if code > 128:
  os.kill(os.getpid(), code - 128)
sys.exit(code)
"""
COMMAND = [sys.executable, '-c', PROGRAM, *NASTY]


@pytest.fixture(name='run')
def make_run(tmp_path):
  """Runs a script with stubs; returns (exit code, output, calls of COMMAND)."""
  tools = stubs.Stubs(
    tmp_path,
    srun=stubs.SRUN,
    gcloud=stubs.GCLOUD,
    scontrol='',
    sleep='',
    flock='shift\nexec "$@"',
  )

  def run(text, **settings):
    output = tmp_path / 'output'
    settings = {'NUM_TASKS': 1, 'OUTPUT': output} | settings
    result = subprocess.run(
      ['bash', '-c', text],
      env=tools.environment(**settings),
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      timeout=60,
      check=False,
    )
    calls = output.read_text().splitlines() if output.exists() else []
    return result.returncode, result.stdout, list(map(json.loads, calls))

  run.tools = tools
  return run


def actions(run):
  """What gcloud was asked to do with queued resources and VMs."""
  return [call['arguments'][3] for call in run.tools.calls('gcloud')]


def states(tmp_path, *told):
  """A file of what the stub of gcloud is to tell."""
  path = tmp_path / 'states'
  path.write_text(''.join(f'{state}\n' for state in told))
  return path


def test_slurm_runs_the_command_in_every_task(run):
  text = smallest('slurm', [COMMAND]).files['sagan.sbatch']
  code, output, calls = run(text, NUM_TASKS=2)
  assert code == 0, output
  assert calls == [[0, *NASTY], [1, *NASTY]]
  assert run.tools.calls('scontrol') == []


def test_slurm_array(run):
  commands = [[*COMMAND[:3], f'run {i}', *NASTY] for i in range(3)]
  plan = smallest('slurm', commands)
  _, output, calls = run(plan.files['sagan.sbatch'], SLURM_ARRAY_TASK_ID=1)
  assert calls == [[0, 'run 1', *NASTY]], output
  assert '#SBATCH --array=0-2\n' in plan.files['sagan.sbatch']
  assert plan.commands == [['sbatch', 'sagan.sbatch']]


@pytest.mark.parametrize(
  'codes, told, requeued',
  [
    ([75, 75], 75, True),
    ([76, 75], 76, True),
    ([137, 76], 76, True),
    ([134, 75], 75, True),
    ([137, 0], 137, False),
    ([1, 76], 1, False),
    ([76, 2], 2, False),
    ([77, 76], 77, False),
    ([1, 2], 2, False),
    ([0, 0], 0, False),
  ],
)
def test_slurm_requeues_by_the_most_telling_code(run, codes, told, requeued):
  text = smallest('slurm', [COMMAND]).files['sagan.sbatch']
  settings = {'NUM_TASKS': 2, 'CODES': json.dumps([codes]), 'SLURM_JOB_ID': 7}
  code, output, _ = run(text, **settings)
  assert code == told, output
  assert f'exit code {told}\n' in output
  expected = [['requeue', '7']] if requeued else []
  assert [x['arguments'] for x in run.tools.calls('scontrol')] == expected


@pytest.mark.parametrize('count, requeued', [(2, True), (3, False)])
def test_slurm_requeues_up_to_a_limit(run, count, requeued):
  text = smallest('slurm', [COMMAND], restarts=3).files['sagan.sbatch']
  settings = {'SLURM_RESTART_COUNT': count, 'SLURM_JOB_ID': 7}
  code, output, _ = run(text, CODES='[75]', **settings)
  assert code == 75
  assert bool(run.tools.calls('scontrol')) is requeued
  assert ('not requeued again after 3 times' in output) is not requeued


def test_slurm_runs_the_setup_first(run):
  text = smallest('slurm', [COMMAND], setup='export CODES="[77]"').files
  assert run(text['sagan.sbatch'])[0] == 77


def test_slurm_waits_for_a_command_that_saves_on_a_signal(run):
  script = (
    'import os, signal, sys, time\n'
    'signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), sys.exit(75)))\n'
    'os.kill(os.getppid(), signal.SIGTERM); os.kill(os.getpid(), 15)\n'
    'time.sleep(30)'
  )
  command = [sys.executable, '-c', script]
  text = smallest('slurm', [command]).files['sagan.sbatch']
  assert run(text, SLURM_JOB_ID=7)[0] == 75


def test_tpu_vm_from_the_queue_to_the_end(run, tmp_path):
  plan = smallest('tpu-vm', [COMMAND], spot=True)
  told = states(tmp_path, 'ABSENT', 'WAITING_FOR_RESOURCES', 'ACTIVE')
  code, output, calls = run(plan.files['sagan.sh'], NUM_TASKS=2, STATES=told)
  assert code == 0, output
  assert calls == [[0, *NASTY], [1, *NASTY]]
  assert actions(run) == ['list', 'create', 'list', 'list', 'ssh', 'delete']
  create = run.tools.calls('gcloud')[1]['arguments']
  assert create[:5] == [
    'compute',
    'tpus',
    'queued-resources',
    'create',
    'sagan',
  ]
  assert set(create[5:]) == {
    *('--zone=us-west4-a', '--node-id=sagan', '--spot'),
    *('--accelerator-type=v5litepod-16',),
    *('--runtime-version=v2-alpha-tpuv5-lite',),
  }
  ssh = run.tools.calls('gcloud')[4]['arguments']
  assert ssh[:5] == ['compute', 'tpus', 'tpu-vm', 'ssh', 'sagan']
  assert '--worker=all' in ssh


def test_tpu_vm_comes_back_after_a_preemption(run, tmp_path):
  plan = smallest('tpu-vm', [COMMAND], restarts=0)
  told = states(
    tmp_path, 'ACTIVE', 'SUSPENDING', 'SUSPENDED', 'ABSENT', 'ACTIVE'
  )
  code, output, calls = run(
    plan.files['sagan.sh'], STATES=told, CODES='[143, 0]'
  )
  assert code == 0, output
  assert len(calls) == 2
  assert actions(run) == [
    *('list', 'ssh', 'list', 'list', 'delete', 'list', 'create'),
    *('list', 'ssh', 'delete'),
  ]


@pytest.mark.parametrize(
  'codes, told, starts',
  [
    ([75, 76, 0], 0, 3),
    ([137, 0], 0, 2),
    ([[76, 1]], 1, 1),
    ([[0, 2]], 2, 1),
    ([77], 77, 1),
    ([75], 75, 4),
  ],
)
def test_tpu_vm_restarts_by_the_most_telling_code(
  run, tmp_path, codes, told, starts
):
  plan = smallest('tpu-vm', [COMMAND], restarts=3)
  code, output, calls = run(
    plan.files['sagan.sh'],
    NUM_TASKS=2,
    CODES=json.dumps(codes),
    STATES=states(tmp_path, 'ACTIVE'),
  )
  assert code == told, output
  assert len(calls) == 2 * starts
  assert actions(run)[-1] == 'delete'


def test_tpu_vm_runs_again_when_the_connection_breaks(run, tmp_path):
  plan = smallest('tpu-vm', [COMMAND], restarts=2)
  told = states(tmp_path, 'ACTIVE')
  code, _, calls = run(plan.files['sagan.sh'], STATES=told, SSH_CODE=255)
  assert code == 255
  assert len(calls) == 3


def test_tpu_vm_gives_up_without_answers(run, tmp_path):
  plan = smallest('tpu-vm', [COMMAND])
  code, output, calls = run(
    plan.files['sagan.sh'], STATES=states(tmp_path, 'BROKEN')
  )
  assert (code, calls) == (1, [])
  assert output.count('cannot list queued resources') == 10


def test_tpu_vm_runs_several_commands_in_turn(run, tmp_path):
  commands = [[*COMMAND[:3], f'run {i}'] for i in range(3)]
  plan = smallest('tpu-vm', commands)
  code, _, calls = run(
    plan.files['sagan.sh'],
    STATES=states(tmp_path, 'ACTIVE'),
    CODES='[0, 2, 0]',
  )
  assert code == 2  # But the third was run.
  assert calls == [[0, f'run {i}'] for i in range(3)]
  assert actions(run).count('delete') == 1


@pytest.mark.parametrize(
  'setup, told', [('export CODES=[77]', 77), ('false', 1)]
)
def test_tpu_vm_runs_the_setup_first(run, tmp_path, setup, told):
  plan = smallest('tpu-vm', [COMMAND], setup=setup)
  told_states = states(tmp_path, 'ACTIVE')
  assert run(plan.files['sagan.sh'], STATES=told_states)[0] == told


def as_kubernetes(text):
  """What a container gets: $$ is a $, and $(NAME) is not in these."""
  plain = text.replace('$$', '')
  assert '$(' not in plain
  return text.replace('$$', '$')


def test_gke_command(run):
  del run
  text = smallest('gke', [COMMAND]).files['sagan.yaml']
  job = yaml.safe_load(text)['spec']['replicatedJobs'][0]['template']['spec']
  [container] = job['template']['spec']['containers']
  assert list(map(as_kubernetes, container['command'])) == COMMAND


def test_xpk_command(run):
  [arguments] = smallest('xpk', [COMMAND]).commands
  [flag] = [x for x in arguments if x.startswith('--command=')]
  line = flag.removeprefix('--command=')
  template = f'run: |\n  ({line}) & PID=$$!\n  wait $$PID\n  exit $$?\n'
  script = as_kubernetes(yaml.safe_load(template)['run'])
  code, output, calls = run(script, CODES='[76]')
  assert (code, calls) == (76, [[0, *NASTY]]), output


@pytest.mark.parametrize('nodes', [1, 3])
def test_skypilot_command(run, nodes):
  text = smallest('skypilot', [COMMAND], nodes=nodes).files['sagan.yaml']
  code, output, calls = run(
    yaml.safe_load(text)['run'],
    CODES='[75]',
    SKYPILOT_NODE_IPS='10.0.0.1\n10.0.0.2\n10.0.0.3',
    SKYPILOT_NUM_NODES=nodes,
    SKYPILOT_NODE_RANK=nodes - 1,
  )
  flags = [
    *('--coordinator_address=10.0.0.1:8476', '--num_processes=3'),
    *('--process_id=2',),
  ]
  assert code == 75, output
  assert calls == [[0, *NASTY, *(flags if nodes > 1 else [])]]
