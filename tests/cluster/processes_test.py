"""Two processes as one run, on this machine."""

import contextlib
import signal
import time

import pytest

from sagan_jax.run import restarts
from tests.support import processes

pytestmark = [pytest.mark.slow, pytest.mark.processes]

STOP_SECS = 30


def _goes_on_exactly(workdir):
  code, _, output = processes.run(workdir)
  assert code == 0, output
  one = processes.undisturbed()
  assert processes.digest(workdir) == processes.digest(one)
  assert processes.metrics(workdir)[-1] == processes.metrics(one)[-1]


def test_two_processes_are_as_two_devices(tmp_path):
  code, _, output = processes.run(tmp_path)
  assert code == 0, output
  one = processes.undisturbed()
  assert processes.digest(tmp_path) == processes.digest(one)
  assert processes.pictures(tmp_path) == processes.pictures(one)
  assert processes.metrics(tmp_path) == processes.metrics(one)
  scores = processes.scores(tmp_path)
  code, _, output = processes.run(tmp_path, name='evaluate')
  assert code == 0, output
  again = processes.scores(tmp_path)  # Of every checkpoint.
  assert {step: again[step] for step in scores} == scores


def test_a_signal_to_one_stops_both_at_the_same_step(tmp_path):
  launcher = processes.start(tmp_path, num_steps=100_000)
  processes.wait_for_line(launcher, 'step 6/')
  began = time.monotonic()
  processes.terminate(launcher, 1)
  time.sleep(1)
  if launcher.poll() is None:
    with contextlib.suppress(AssertionError):  # It may have ended by itself.
      processes.terminate(launcher, 0)
  code, codes, output = processes.end(launcher)
  assert time.monotonic() - began < STOP_SECS
  assert (code, codes) == (75, {0: 75, 1: 75}), output
  lines = [x[4:] for x in output.splitlines() if 'stopped after step' in x]
  assert len(lines) == 2, output
  assert len(set(lines)) == 1, output


@pytest.mark.parametrize(
  'fault, resumes',
  [
    ('1:terminate:5', True),
    ('0:save-terminate', False),
    ('1:evaluation-terminate', True),
    ('1:compile-terminate', False),
  ],
)
def test_a_stop_in_any_phase_is_of_all_and_goes_on_exactly(
  tmp_path, fault, resumes
):
  began = time.monotonic()
  code, codes, output = processes.run(tmp_path, fault)
  assert (code, codes) == (75, {0: 75, 1: 75}), output
  assert time.monotonic() - began < 2 * STOP_SECS  # With the start.
  if resumes:  # `random_stops` does so after any.
    _goes_on_exactly(tmp_path)


def test_a_killed_process_ends_the_other_and_the_restart_is_exact(tmp_path):
  code, codes, output = processes.run(tmp_path, '1:kill:6')
  assert (code, codes) == (76, {0: 76, 1: 128 + signal.SIGKILL}), output
  assert '[0] process 1 is dead or stuck' in output
  _goes_on_exactly(tmp_path)


def test_a_fault_in_one_process_ends_the_other_and_is_named(tmp_path):
  code, codes, output = processes.run(tmp_path, '1:raise:6')
  assert (code, codes) == (1, {0: 1, 1: 1}), output
  assert "[0] process 1: KeyError: 'a fault of the program'" in output


def test_a_full_disk_of_one_process_ends_both(tmp_path):
  code, codes, output = processes.run(tmp_path, '1:disk:6')
  assert (code, codes) == (2, {0: 2, 1: 2}), output
  assert '[0] process 1: error: ' in output


def test_a_process_that_is_stuck_is_named_with_its_phase(tmp_path):
  code, codes, output = processes.run(
    tmp_path, '1:stall:6', '--watchdog_secs=5'
  )
  assert code == 76, output
  assert set(codes.values()) == {76}, output
  assert "[1] watchdog: no progress for 5 s (phase 'data'" in output


def test_processes_that_differ_are_refused(tmp_path):
  code, codes, output = processes.run(tmp_path, '1:differ')
  assert (code, codes) == (2, {0: 2, 1: 2}), output
  assert '--config.seed: 0 on process 0, 7 on process 1' in output


def test_a_run_that_never_gets_any_further_is_not_restarted(tmp_path):
  (tmp_path / 'restarts.json').write_text(
    f'{{"step": 0, "starts": {restarts.MAX_STARTS}}}'
  )
  code, codes, output = processes.run(tmp_path)
  assert (code, codes) == (77, {0: 77, 1: 77}), output
