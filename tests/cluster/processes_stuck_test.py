"""What becomes of two processes as one run if one is stuck, on this machine."""

import pytest

from tests.support import faulty, processes

pytestmark = [pytest.mark.slow, pytest.mark.processes]


def test_one_process_that_is_stuck_is_named_with_its_phase(tmp_path):
  for fault, told in (
    ('1:lock:5', rf'\[1\] {processes.NO_THREAD}'),
    ('1:stall:6', r"\[1\] watchdog: no progress for \d+ s \(phase 'data'"),
  ):
    processes.fail(
      tmp_path, fault, *processes.WATCHED, secs=30, told=told, _0=76, _1=76
    )
  assert processes.WATCHDOG_SECS < faulty.SLOW_SECS
  # What is slow where it may be raises no alarm.
  processes.assert_goes_on_exactly(tmp_path, '*:slow', *processes.WATCHED)
