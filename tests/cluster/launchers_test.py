"""Tests of the back ends that write files: what they refuse, how they quote."""

import itertools
import subprocess

import pytest
import yaml

from sagan_jax.cluster import launchers
from sagan_jax.cluster.launchers import plan, tpu_types
from sagan_jax.errors import UserError
from tests.support.launches import LARGEST, NASTY, TRAIN, render, smallest


@pytest.mark.parametrize(
  'tpu_type, chips_per_host, hosts, topology',
  [
    ('v5litepod-1', 1, 1, '1x1'),
    ('v5litepod-4', 4, 1, '2x2'),
    ('v5litepod-8', 8, 1, '2x4'),
    ('v5litepod-256', 4, 64, '16x16'),
    ('v6e-16', 4, 4, '4x4'),
    ('v4-8', 4, 1, '2x2x1'),
    ('v5p-4096', 4, 512, '8x16x16'),
  ],
)
def test_one_pod_per_host(tpu_type, chips_per_host, hosts, topology):
  files = smallest('gke', tpu_type=tpu_type).files
  job = yaml.safe_load(files['sagan.yaml'])
  job = job['spec']['replicatedJobs'][0]['template']['spec']
  assert job['parallelism'] == job['completions'] == hosts
  pod = job['template']['spec']
  limits = pod['containers'][0]['resources']['limits']
  assert limits == {'google.com/tpu': chips_per_host}
  assert pod['nodeSelector']['cloud.google.com/gke-tpu-topology'] == topology


def test_the_sizes_of_slices_are_their_numbers_of_chips():
  for generation, per_chip in (('v4', 2), ('v5p', 2), ('v5litepod', 1)):
    with pytest.raises(UserError) as refused:
      tpu_types.find(f'{generation}-3')
    sizes = [
      int(x) for x in str(refused.value).partition('sizes ')[2].split(',')
    ]
    for size in sizes:
      tpu = tpu_types.find(f'{generation}-{size}')
      assert tpu.num_hosts * tpu.chips_per_host * per_chip == size


def test_slurm_directives_come_first():
  text = render('slurm', [TRAIN], **LARGEST['slurm']).files['sagan.sbatch']
  lines = text.splitlines()
  directives = list(
    itertools.takewhile(lambda x: x.startswith('#SBATCH --'), lines[1:])
  )
  assert lines[0] == '#!/bin/bash'
  assert len(directives) == text.count('#SBATCH')
  for flag in ('requeue', 'signal=TERM@120', 'ntasks-per-node=8', 'mem=0'):
    assert f'#SBATCH --{flag}' in directives


@pytest.mark.parametrize(
  'options, tasks',
  [
    ({}, 1),
    ({'gpus_per_node': 4}, 4),
    ({'gpus_per_node': 4, 'processes_per_node': 1}, 1),
  ],
)
def test_a_process_per_gpu(options, tasks):
  text = smallest('slurm', **options).files['sagan.sbatch']
  assert f'#SBATCH --ntasks-per-node={tasks}\n' in text


REMOTE = [name for name in launchers.BACKENDS if name != 'slurm']


@pytest.mark.parametrize('backend', REMOTE)
@pytest.mark.parametrize(
  'arguments', [['--workdir=runs/1'], ['--workdir', '/runs/1']]
)
def test_a_local_workdir_is_refused(backend, arguments):
  with pytest.raises(UserError, match='runs/1 is local to each worker'):
    smallest(backend, [['x', *arguments]])
  assert smallest(backend, [['x', *arguments]], shared_workdir=True).commands
  assert smallest(backend, [['x', '--workdir=gs://b/r']]).commands
  assert smallest(backend, [['x']]).commands


@pytest.mark.parametrize('path', ['/tmp/run', '/dev/shm/run'])
def test_slurm_refuses_a_workdir_on_one_node(path):
  command = [['x', f'--workdir={path}']]
  with pytest.raises(UserError, match=f'{path} is on a disk of one node'):
    smallest('slurm', command)
  assert smallest('slurm', command, shared_workdir=True).commands
  assert smallest('slurm', [['x', '--workdir=/home/me/tmp']]).commands


@pytest.mark.parametrize(
  'backend, options',
  [
    ('slurm', {'nodes': 0}),
    ('slurm', {'processes_per_node': 0}),
    ('slurm', {'cpus_per_process': 0}),
    ('slurm', {'parallel': 0}),
    ('slurm', {'gpus_per_node': -1}),
    ('slurm', {'restarts': -1}),
    ('gke', {'chips_per_host': 0}),
    ('gke', {'restarts': -1}),
    ('gke', {'stop_secs': -1}),
    ('xpk', {'restarts': -1}),
    ('xpk', {'stop_secs': -1}),
    ('tpu-vm', {'restarts': -1}),
    ('tpu-vm', {'poll_secs': 0}),
    ('skypilot', {'nodes': 0}),
  ],
)
def test_numbers_out_of_range(backend, options):
  [(name, value)] = options.items()
  with pytest.raises(UserError, match=f'--{name}={value} must be . or more'):
    smallest(backend, **options)


@pytest.mark.parametrize(
  'tpu_type, words',
  [
    ('v3-8', '--tpu_type=v3-8 is not known; .*v4, v5litepod, v5p, v6e'),
    ('v5litepod-12', 'v5litepod has the sizes 1, 4, 8, 16'),
    ('v5p', 'v5p has the sizes 8, 16'),
  ],
)
@pytest.mark.parametrize('backend', ['gke', 'xpk', 'tpu-vm'])
def test_unknown_slices(backend, tpu_type, words):
  with pytest.raises(UserError, match=words):
    smallest(backend, tpu_type=tpu_type)


@pytest.mark.parametrize('name', ['', 'Run', 'run_1', '1run', 'run-', 'r' * 25])
def test_names(name):
  options = launchers.load('slurm').Options()
  with pytest.raises(UserError, match=f"'{name}' is no name of a job"):
    launchers.render('slurm', name, [TRAIN], options)


def test_unknown_back_end():
  with pytest.raises(UserError, match="'pbs'; choose one of local, tpu-vm"):
    launchers.load('pbs')


@pytest.mark.parametrize('argument', NASTY)
def test_quote_is_one_line_that_bash_reads(argument):
  quoted = plan.quote(argument)
  assert len(quoted.splitlines()) == 1
  output = subprocess.run(
    ['bash', '-c', f'printf "%s" {quoted}'], capture_output=True, check=True
  ).stdout
  assert output.decode() == argument


@pytest.mark.parametrize('text', NASTY)
def test_yaml_string(text):
  assert yaml.safe_load(plan.yaml_string(text)) == text


def test_a_disk_that_cannot_be_written(tmp_path):
  (tmp_path / 'file').touch()
  with pytest.raises(UserError, match='cannot write .*file'):
    smallest('slurm').write(tmp_path / 'file')
