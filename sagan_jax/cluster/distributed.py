"""Joining the processes of a run, before jax looks for its devices.

By flags anywhere; by themselves on Cloud TPU, GKE, Slurm and Open MPI, if the
environment says that there is more than one process. Otherwise nothing happens.
"""

import dataclasses
import glob
import os
import pathlib
import urllib.request

from sagan_jax import errors

JOIN_SECS = 60
# By it jax ends processes whose neighbor is dead, if `neighbors` has not.
_HEARTBEAT_SECS = 30
_GOOGLE_PCI_VENDOR = '0x1ae0'
_SLICES = (
  'MEGASCALE_NUM_SLICES',
  'MEGASCALE_COORDINATOR_ADDRESS',
  'MEGASCALE_SLICE_ID',
)
_METADATA = (
  'http://metadata.google.internal/computeMetadata/v1/instance/attributes/'
  'worker-network-endpoints'
)


@dataclasses.dataclass(frozen=True)
class Membership:
  """What is known about the processes of a run before they have met.

  Attributes:
    evidence: the flags or variables that say so, as NAME=VALUE.
    address: HOST:PORT of process 0; None to let jax find it, as the others.
    count: of processes.
    index: of this one.
  """

  evidence: tuple[str, ...]
  address: str | None = None
  count: int | None = None
  index: int | None = None


def add_arguments(parser):
  """Adds the flags to an `argparse` parser."""
  group = parser.add_argument_group(
    'several processes',
    'found without flags on Cloud TPU, GKE, Slurm and Open MPI',
  )
  group.add_argument(
    '--coordinator_address',
    metavar='HOST:PORT',
    help='where process 0 listens; a free port of its host',
  )
  group.add_argument('--num_processes', type=int, help='of this run')
  group.add_argument('--process_id', type=int, help='of this one, from 0')
  group.add_argument(
    '--join_secs',
    type=int,
    default=JOIN_SECS,
    help='how long processes wait for each other at the start '
    f'(default: {JOIN_SECS})',
  )


def has_flags(arguments):
  """Whether a command line says, before it is parsed, that there are several."""
  return any(x.startswith('--process_id') for x in arguments)


def membership(args, environment=None):
  """Finds out, without jax, whether this is one of several processes.

  Args:
    args: parsed, with the flags of `add_arguments`.
    environment: {name: value}; None for that of the process.

  Returns:
    A `Membership`; None if the process is alone.

  Raises:
    UserError: if flags or variables contradict each other.
  """
  env = os.environ if environment is None else environment
  flags = {
    name: getattr(args, name)
    for name in ('coordinator_address', 'num_processes', 'process_id')
  }
  if any(value is not None for value in flags.values()):
    return _from_flags(flags)
  for names, count, index in (
    (('SLURM_STEP_NODELIST',), 'SLURM_NTASKS', 'SLURM_PROCID'),
    (
      ('OMPI_MCA_orte_hnp_uri',),
      'OMPI_COMM_WORLD_SIZE',
      'OMPI_COMM_WORLD_RANK',
    ),
  ):
    # Without the first this is a shell within a job, and no task of it.
    if all(name in env for name in names):
      found = _from_counts(env, count, index)
      if found:
        return found
  return _from_tpu(env)


def initialize(member, join_secs=JOIN_SECS):
  """Joins the other processes; to be called before jax looks for its devices.

  Where that fails after this time jax kills the process: whoever started it
  tells why, by `failure`.

  Args:
    member: a `Membership`.
    join_secs: how long to wait for the others.

  Returns:
    (index of this process, count of processes).

  Raises:
    UserError: if the environment does not say enough.
  """
  import jax

  explicit = member.address is not None
  try:
    jax.distributed.initialize(
      member.address,
      member.count,
      member.index,
      cluster_detection_method='deactivate' if explicit else None,
      initialization_timeout=join_secs,
      heartbeat_timeout_seconds=_HEARTBEAT_SECS,
    )
  except (ValueError, RuntimeError) as e:  # jax has no class for them.
    raise errors.UserError(f'{failure(member, join_secs)} ({e})') from e
  return jax.process_index(), jax.process_count()


def failure(member, join_secs):
  """One line on processes that did not meet."""
  where = f' at {member.address}' if member.address else ''
  return (
    f'the processes of this run did not all meet{where} within {join_secs} s, '
    f'as {", ".join(member.evidence)} asks for: start all of them with the '
    'same address and number, or unset these to run a single process'
  )


def _from_flags(flags):
  missing = [f'--{name}' for name, value in flags.items() if value is None]
  if missing:
    raise errors.UserError(
      'several processes need --coordinator_address, --num_processes and '
      f'--process_id; {" and ".join(missing)} is not set'
    )
  address, count, index = flags.values()
  host, _, port = address.rpartition(':')
  if not host or not port.isdecimal() or not 0 < int(port) < 65536:
    raise errors.UserError(
      f'--coordinator_address={address} must be HOST:PORT, of process 0'
    )
  if not 0 <= index < count:
    raise errors.UserError(
      f'--process_id={index} must be in [0, --num_processes={count})'
    )
  if count == 1:
    return None
  evidence = tuple(f'--{name}={value}' for name, value in flags.items())
  return Membership(evidence, address, count, index)


def _from_counts(env, count, index):
  """Of variables with the number of processes and of this one."""
  if count not in env:
    return None
  evidence = tuple(f'{n}={env[n]}' for n in (count, index) if n in env)
  try:
    total, mine = int(env[count]), int(env[index])
  except (KeyError, ValueError) as e:
    raise errors.UserError(
      f'{", ".join(evidence)} does not say which process this is: {count} and '
      f'{index} must both be numbers; unset them to run a single process'
    ) from e
  if not 0 <= mine < total:
    raise errors.UserError(
      f'{", ".join(evidence)} contradict each other: {index} must be in '
      f'[0, {count}); unset them to run a single process'
    )
  return Membership(evidence, count=total, index=mine) if total > 1 else None


def _from_tpu(env):
  """Of the variables of GKE and of several slices, and of Compute Engine."""
  hosts = env.get('TPU_PROCESS_ADDRESSES') or env.get('TPU_WORKER_HOSTNAMES')
  names = ('TPU_PROCESS_ADDRESSES', 'TPU_WORKER_HOSTNAMES', 'TPU_WORKER_ID')
  slices = {k: env[k] for k in _SLICES if k in env}
  evidence = tuple(
    f'{k}={v}'
    for k, v in [*((n, env[n]) for n in names if n in env), *slices.items()]
  )
  number = slices.get('MEGASCALE_NUM_SLICES') or '1'
  if not number.isdecimal():
    raise errors.UserError(
      f'{", ".join(evidence)}: MEGASCALE_NUM_SLICES must be a number; set or '
      'unset all of these variables'
    )
  if int(number) > 1:
    if not _has_tpu():
      raise errors.UserError(
        f'{", ".join(evidence)} asks for slices of TPUs, but this machine has '
        'no TPU: unset these variables'
      )
    missing = [
      name
      for name in ('MEGASCALE_COORDINATOR_ADDRESS', 'MEGASCALE_SLICE_ID')
      if not slices.get(name)
    ]
    if missing:
      raise errors.UserError(
        f'{", ".join(evidence)} asks for several slices, but '
        f'{" and ".join(missing)} is not set: set or unset all of them'
      )
    return Membership(evidence)
  if not _has_tpu():
    return None
  if hosts is None and 'TPU_SKIP_MDS_QUERY' not in env:
    hosts = _worker_endpoints()
    evidence = (
      f'the metadata of this machine: worker-network-endpoints={hosts}',
    )
  return Membership(evidence) if hosts and ',' in hosts else None


def _has_tpu():
  """Whether a chip of Google's is plugged in, as jax finds out too."""
  return any(
    pathlib.Path(name).read_text().strip() == _GOOGLE_PCI_VENDOR
    for name in glob.glob('/sys/bus/pci/devices/*/vendor')
  )


def _worker_endpoints():
  """The hosts of a slice on Compute Engine; '' elsewhere."""
  request = urllib.request.Request(
    _METADATA, headers={'Metadata-Flavor': 'Google'}
  )
  try:
    with urllib.request.urlopen(request, timeout=5) as answer:
      return answer.read().decode()
  except OSError:
    return ''
