"""What becomes of two processes as one run if one is stuck, on this machine."""

import pytest

from tests.support import faulty, processes

pytestmark = [pytest.mark.slow, pytest.mark.processes]

# Time for a first step, whose end waits for a process that compiles longer.
SECS = 10
WATCHED = (f'--watchdog_secs={SECS}',)


def test_one_process_that_is_stuck_is_named_with_its_phase(tmp_path):
  stopped = (
    r'watchdog: no thread has run for \d+ s: it was stopped, or one holds'
  )
  for fault, told in (
    ('1:stop:5', rf'\[1\] {stopped}'),
    ('0:stop:5', rf'\[0\] {stopped}'),
    ('1:lock:6', rf'\[1\] {stopped}'),
    ('1:stall:9', r"\[1\] watchdog: no progress for \d+ s \(phase 'data'"),
  ):
    processes.fail(tmp_path, fault, *WATCHED, secs=30, told=told, _0=76, _1=76)
  assert SECS < faulty.SLOW_SECS
  # What is slow where it may be raises no alarm.
  processes.assert_goes_on_exactly(tmp_path, '*:slow', *WATCHED)
