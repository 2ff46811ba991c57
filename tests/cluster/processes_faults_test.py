"""What two processes as one run do when one of them fails, on this machine."""

import re
import signal

import pytest

from tests.support import processes

pytestmark = [pytest.mark.slow, pytest.mark.processes]

KILLED = 128 + signal.SIGKILL
WATCHED = ('--watchdog_secs=5',)


def _fail(workdir, fault, *flags, secs, told, **codes):
  """Runs into a fault; it ends all processes in time, and is named."""
  # Each is the first fault, and no restart without progress.
  (workdir / 'restarts.json').unlink(missing_ok=True)
  _, found, output = processes.run(workdir, fault, *flags)
  assert found == {int(i[1:]): code for i, code in codes.items()}, output
  assert re.search(told, output), output
  assert processes.secs_since_fault(output) < secs, output


def test_what_fails_or_dies_in_one_process_ends_both_and_is_named(tmp_path):
  """Whatever it says, wherever the other one waits; a restart is exact."""
  told = r"\[1\] process 0: KeyError: 'a fault of the program'"
  _fail(tmp_path, '0:raise:1', secs=15, told=told, _0=1, _1=1)
  told = r'\[0\] process 1: ValueError: Gloo AllReduce failed: '
  _fail(tmp_path, '1:accuse:1', secs=15, told=told, _0=1, _1=1)
  told = r"\[0\] process 1: KeyError: 'a fault of the program'"
  _fail(tmp_path, '1:evaluation-raise', secs=15, told=told, _0=1, _1=1)
  told = r'\[0\] process 1: error: '
  _fail(tmp_path, '1:disk:6', secs=15, told=told, _0=2, _1=2)
  told = r'\[0\] process 1 is dead or stuck'
  _fail(tmp_path, '1:kill:5', secs=20, told=told, _0=76, _1=KILLED)
  told = r'\[1\] (process 0, which coordinates, has gone|jax has ended)'
  _fail(tmp_path, '0:kill:9', secs=20, told=told, _0=KILLED, _1=76)
  processes.assert_goes_on_exactly(tmp_path)


def test_one_process_that_is_stuck_is_named_with_its_phase(tmp_path):
  for fault, told in (
    ('1:stop:5', r'\[1\] watchdog: no thread has run for 5 s'),
    ('0:stop:5', r'\[0\] watchdog: no thread has run for 5 s'),
    ('1:lock:6', r'\[1\] watchdog: no thread has run for 5 s'),
    ('1:stall:9', r"\[1\] watchdog: no progress for 5 s \(phase 'data'"),
  ):
    _fail(tmp_path, fault, *WATCHED, secs=30, told=told, _0=76, _1=76)
  # What is slow where it may be raises no alarm.
  processes.assert_goes_on_exactly(tmp_path, '*:slow', *WATCHED)
