"""Two processes as one run, on the CPUs of this machine."""

import signal
import sys

from sagan_jax.cluster import exit_codes
from sagan_jax.drills import evidence
from sagan_jax.drills.outcomes import Skipped

_GRACE_SECS = 20
_LAUNCH = (
  *(sys.executable, '-m', 'sagan_jax.launch', 'local', '--processes=2'),
  *(f'--grace={_GRACE_SECS}', '--'),
)
# The second process keeps no programs: it compiles at every start.
_CHEAP = {'JAX_PLATFORMS': 'cpu', 'JAX_DISABLE_MOST_OPTIMIZATIONS': '1'}


def deaths(trial):
  """One is killed, one is stopped; the end is that of one with two devices."""
  c = trial.drill.config
  if c.num_devices is not None or c.batch_size % 2 or c.num_microbatches > 1:
    raise Skipped('the config asks for devices or batches that two cannot have')
  alone = trial.folder / 'alone'
  trial.start(
    workdir=alone, environment=_CHEAP | {'JAX_NUM_CPU_DEVICES': '2'}
  ).end(exit_codes.FINISHED)
  together = {
    'launcher': _LAUNCH,
    'environment': _CHEAP | {'JAX_NUM_CPU_DEVICES': '1'},
  }
  trial.start('1:kill:5', **together).end(
    exit_codes.HUNG, told=r'process 1 ended with 137 \(killed by SIGKILL\)'
  )
  trial.start('0:terminate:7', **together).end(
    exit_codes.STOPPED, told=r'stopped after step \d+, which is saved'
  )
  trial.finish(wanted=evidence.of(alone), **together)
  return f'one killed by signal {int(signal.SIGKILL)}, one asked to stop'
