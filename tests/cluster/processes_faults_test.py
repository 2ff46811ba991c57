"""What two processes as one run do when one of them fails, on this machine."""

import signal

import pytest

from tests.support import processes

pytestmark = [pytest.mark.slow, pytest.mark.processes]

KILLED = 128 + signal.SIGKILL


def test_what_fails_or_dies_in_one_process_ends_both_and_is_named(tmp_path):
  """Whatever it says, wherever the other one waits; a restart is exact."""
  told = r'\[1\] process 0: ValueError: Gloo AllReduce failed: '
  processes.fail(tmp_path, '0:accuse:1', secs=15, told=told, _0=1, _1=1)
  told = r"\[0\] process 1: KeyError: 'a fault of the program'"
  processes.fail(tmp_path, '1:evaluation-raise', secs=15, told=told, _0=1, _1=1)
  told = r'\[0\] process 1: error: '
  processes.fail(tmp_path, '1:disk:6', secs=15, told=told, _0=2, _1=2)
  told = r'\[0\] process 1 is dead or stuck'
  processes.fail(tmp_path, '1:kill:5', secs=15, told=told, _0=76, _1=KILLED)
  told = r'\[0\] process 1: error: cannot read x.png'
  processes.fail(tmp_path, '1:unreadable:8', secs=15, told=told, _0=2, _1=2)
  assert {'6', '7', '8'} & {
    p.name for p in (tmp_path / 'checkpoints').iterdir()
  }
  told = r'\[1\] (process 0, which coordinates, has gone|jax has ended)'
  processes.fail(tmp_path, '0:kill:9', secs=15, told=told, _0=KILLED, _1=76)
  processes.assert_goes_on_exactly(tmp_path)
