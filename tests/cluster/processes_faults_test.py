"""What two processes as one run do when one of them fails, on this machine."""

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
  code, found, output = processes.run(workdir, fault, *flags)
  assert found == {int(i[1:]): code for i, code in codes.items()}, output
  assert told in output
  assert processes.secs_since_fault(output) < secs, output
  return code


def test_an_exception_in_one_process_ends_both_and_is_named(tmp_path):
  """Whatever it says, wherever the other one waits."""
  for fault, told in (
    ('1:raise:1', "[0] process 1: KeyError: 'a fault of the program'"),
    ('1:accuse:1', '[0] process 1: ValueError: Gloo AllReduce failed: '),
    ('0:accuse:1', '[1] process 0: ValueError: Gloo AllReduce failed: '),
    ('1:evaluation-raise', "[0] process 1: KeyError: 'a fault of the program'"),
  ):
    assert _fail(tmp_path, fault, secs=15, told=told, _0=1, _1=1) == 1
  told = '[0] process 1: error: '
  assert _fail(tmp_path, '1:disk:6', secs=15, told=told, _0=2, _1=2) == 2
  processes.assert_goes_on_exactly(tmp_path)


def test_the_death_of_one_process_ends_the_other_and_a_restart_is_exact(
  tmp_path,
):
  told = '[0] process 1 is dead or stuck'
  _fail(tmp_path, '1:kill:5', secs=15, told=told, _0=76, _1=KILLED)
  told = '[1] process 0, which coordinates, has gone'
  _fail(tmp_path, '0:kill:9', secs=15, told=told, _0=KILLED, _1=76)
  processes.assert_goes_on_exactly(tmp_path)


def test_one_process_that_is_stuck_is_named_with_its_phase(tmp_path):
  for fault, told in (
    ('1:stop:5', '[1] watchdog: no thread has run for 5 s'),
    ('0:stop:5', '[0] watchdog: no thread has run for 5 s'),
    ('1:lock:6', '[1] watchdog: no thread has run for 5 s'),
    ('1:stall:9', "[1] watchdog: no progress for 5 s (phase 'data'"),
  ):
    _fail(tmp_path, fault, *WATCHED, secs=30, told=told, _0=76, _1=76)
  # What is slow where it may be raises no alarm.
  processes.assert_goes_on_exactly(tmp_path, '*:slow', *WATCHED)
