"""Stops of two processes as one run, on this machine."""

import contextlib
import re
import time

import pytest

from tests.support import processes

pytestmark = [pytest.mark.slow, pytest.mark.processes]

STOP_SECS = 30


def _assert_stopped(ended, num_saved=2):
  code, codes, output = ended
  assert (code, codes) == (75, {0: 75, 1: 75}), output
  steps = re.findall(r'stopped after step (\d+), which is saved', output)
  assert len(steps) == num_saved, output
  assert len(set(steps)) <= 1, output
  return output


def test_a_signal_to_one_stops_both_at_the_same_step(tmp_path):
  launcher = processes.start(tmp_path, num_steps=100_000)
  processes.wait_for_line(launcher, 'step 6/')
  began = time.monotonic()
  processes.terminate(launcher, 1)
  time.sleep(1)
  if launcher.poll() is None:
    with contextlib.suppress(AssertionError):  # It may have ended by itself.
      processes.terminate(launcher, 0)
  _assert_stopped(processes.end(launcher))
  assert time.monotonic() - began < STOP_SECS


def test_stops_in_all_phases_are_of_all_and_leave_no_trace(tmp_path):
  """Each in the run that goes on after the one before."""
  for fault, num_saved in (
    ('1:compile-terminate', 0),  # There is nothing to save.
    ('0:save-terminate', 2),
    ('1:evaluation-terminate', 2),
    ('*:terminate:8', 2),
  ):
    ended = processes.run(tmp_path, fault)
    output = _assert_stopped(ended, num_saved)
    assert processes.secs_since_fault(output) < STOP_SECS
  processes.assert_goes_on_exactly(tmp_path)
