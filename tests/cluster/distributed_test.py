"""Whether a process is alone, by its flags and its environment."""

import argparse

import pytest

from sagan_jax import errors
from sagan_jax.cluster import distributed

SLURM = {
  'SLURM_JOB_ID': '7',
  'SLURM_STEP_NODELIST': 'a,b',
  'SLURM_NTASKS': '2',
  'SLURM_PROCID': '1',
}
OPEN_MPI = {
  'OMPI_MCA_orte_hnp_uri': '1.0;tcp://10.0.0.1:7',
  'OMPI_COMM_WORLD_SIZE': '3',
  'OMPI_COMM_WORLD_RANK': '2',
}
SLICES = {
  'MEGASCALE_NUM_SLICES': '2',
  'MEGASCALE_COORDINATOR_ADDRESS': 'a:8080',
  'MEGASCALE_SLICE_ID': '0',
  'TPU_WORKER_HOSTNAMES': 'a',
}


def _membership(environment, *flags):
  parser = argparse.ArgumentParser()
  distributed.add_arguments(parser)
  return distributed.membership(parser.parse_args(flags), environment)


@pytest.fixture
def tpu(monkeypatch):
  monkeypatch.setattr(distributed, '_has_tpu', lambda: True)
  monkeypatch.setattr(distributed, '_worker_endpoints', lambda: '')


def test_a_process_is_alone_by_default():
  assert _membership({}) is None


def test_flags_say_all():
  found = _membership(
    SLURM,
    '--coordinator_address=host:1234',
    '--num_processes=3',
    '--process_id=2',
  )
  assert (found.address, found.count, found.index) == ('host:1234', 3, 2)
  assert '--num_processes=3' in found.evidence


def test_one_process_by_flags_is_alone():
  flags = '--coordinator_address=h:1', '--num_processes=1', '--process_id=0'
  assert _membership({}, *flags) is None


@pytest.mark.parametrize(
  'environment, count, index', [(SLURM, 2, 1), (OPEN_MPI, 3, 2)]
)
def test_tasks_of_a_cluster_are_found(environment, count, index):
  found = _membership(environment)
  assert (found.address, found.count, found.index) == (None, count, index)
  assert any(f'={count}' in text for text in found.evidence)


@pytest.mark.parametrize(
  'environment',
  [
    {k: v for k, v in SLURM.items() if k != 'SLURM_STEP_NODELIST'},  # A shell.
    SLURM | {'SLURM_NTASKS': '1', 'SLURM_PROCID': '0'},
    OPEN_MPI | {'OMPI_COMM_WORLD_SIZE': '1', 'OMPI_COMM_WORLD_RANK': '0'},
    {'TPU_WORKER_HOSTNAMES': 'a,b', 'TPU_WORKER_ID': '0'},  # Without a TPU.
    {'MEGASCALE_NUM_SLICES': '1'},
  ],
)
def test_what_is_no_evidence(environment):
  assert _membership(environment) is None


@pytest.mark.usefixtures('tpu')
def test_hosts_of_a_tpu_are_found():
  found = _membership({'TPU_WORKER_HOSTNAMES': 'a,b', 'TPU_WORKER_ID': '0'})
  assert found.evidence == ('TPU_WORKER_HOSTNAMES=a,b', 'TPU_WORKER_ID=0')
  assert _membership({'TPU_WORKER_HOSTNAMES': 'a'}) is None
  assert _membership({}) is None
  assert _membership(SLICES).evidence[0] == 'TPU_WORKER_HOSTNAMES=a'


@pytest.mark.usefixtures('tpu')
def test_hosts_of_a_tpu_are_found_in_its_metadata(monkeypatch):
  monkeypatch.setattr(distributed, '_worker_endpoints', lambda: 'a:1:b,c:2:d')
  found = _membership({})
  assert found.evidence[0].endswith('worker-network-endpoints=a:1:b,c:2:d')
  assert _membership({'TPU_SKIP_MDS_QUERY': '1'}) is None


@pytest.mark.parametrize(
  'environment, flags, message',
  [
    (
      {},
      ['--num_processes=2'],
      '--coordinator_address and --process_id is not',
    ),
    (
      {},
      ['--coordinator_address=h', '--num_processes=2', '--process_id=0'],
      '--coordinator_address=h must be HOST:PORT',
    ),
    (
      {},
      ['--coordinator_address=h:1', '--num_processes=2', '--process_id=2'],
      r'--process_id=2 must be in \[0, --num_processes=2\)',
    ),
    (
      SLURM | {'SLURM_PROCID': '2'},
      [],
      'SLURM_NTASKS=2, SLURM_PROCID=2 contradict',
    ),
    (
      SLURM | {'SLURM_PROCID': 'x'},
      [],
      'SLURM_PROCID=x does not say which process this is',
    ),
    (SLICES, [], 'MEGASCALE_NUM_SLICES=2, .* this machine has no TPU'),
  ],
)
def test_contradictions_are_refused(environment, flags, message):
  with pytest.raises(errors.UserError, match=message):
    _membership(environment, *flags)


@pytest.mark.usefixtures('tpu')
@pytest.mark.parametrize(
  'changes, message',
  [
    ({'MEGASCALE_SLICE_ID': ''}, 'MEGASCALE_SLICE_ID is not set'),
    ({'MEGASCALE_COORDINATOR_ADDRESS': ''}, 'COORDINATOR_ADDRESS is not set'),
    ({'MEGASCALE_NUM_SLICES': 'two'}, 'MEGASCALE_NUM_SLICES must be a number'),
  ],
)
def test_slices_that_are_left_over_are_refused(changes, message):
  with pytest.raises(errors.UserError, match=message):
    _membership(SLICES | changes)


def test_what_jax_cannot_find_out_is_refused(monkeypatch):
  import jax

  def fail(*_, **__):
    raise ValueError('coordinator_address should be defined.')

  monkeypatch.setattr(jax.distributed, 'initialize', fail)
  member = distributed.Membership(('SLURM_NTASKS=2',))
  with pytest.raises(
    errors.UserError, match='SLURM_NTASKS=2 .*coordinator_address should be'
  ):
    distributed.initialize(member)


def test_flags_are_seen_before_they_are_parsed():
  assert distributed.has_flags(['main', '--process_id=0'])
  assert distributed.has_flags(['main', '--process_id', '0'])
  assert not distributed.has_flags(['main', '--workdir=process_id'])
