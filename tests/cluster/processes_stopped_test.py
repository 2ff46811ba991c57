"""What becomes of two processes as one run if one is stopped by SIGSTOP."""

import pytest

from tests.support import processes

pytestmark = [pytest.mark.slow, pytest.mark.processes]


def test_one_process_that_was_stopped_is_named(tmp_path):
  for fault in ('1:stop:5', '0:stop:6'):
    processes.fail(
      tmp_path,
      fault,
      *processes.WATCHED,
      secs=30,
      told=rf'\[{fault[0]}\] {processes.NO_THREAD}',
      _0=76,
      _1=76,
    )
  processes.assert_goes_on_exactly(tmp_path)
