"""The watchdog, around small scripts."""

import os
import signal
import subprocess
import sys
import time

import pytest

from sagan_jax.run import pulse, supervisor
from tests.conftest import ROOT
from tests.support import local_launches

pytestmark = pytest.mark.slow

# `body` is what the command does under the watchdog; `several` is whether it
# takes itself for one of several processes.
SCRIPT = """
import ctypes, os, signal, sys, threading, time
from sagan_jax.cluster import exit_codes
from sagan_jax.run import pulse, stop, supervisor

def live():
  while True:
    pulse.alive()
    time.sleep(0.1)

signals = supervisor.adopted()
if signals is None:
  os._exit(supervisor.supervise({secs}, {several}, 'they did not meet'))
stop.listen(signals)
threading.Thread(target=live, daemon=True).start()
pulse.phase('step')
pulse.beat(7)
print(os.getpid(), flush=True)
{body}
"""


def _start(body, secs=60, several=False):
  script = SCRIPT.format(body=body, secs=secs, several=several)
  process = subprocess.Popen(
    [sys.executable, '-c', script],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  return process, int(process.stdout.readline())


def _end(process):
  _, text = process.communicate(timeout=60)
  return process.returncode, text


@pytest.mark.parametrize('code', [0, 1, 2, 75, 77])
def test_exit_codes_pass(code):
  process, _ = _start(f'os._exit({code})')
  assert _end(process) == (code, '')


def test_the_death_of_the_child_is_told_as_a_shell_does():
  process, child = _start('time.sleep(60)')
  os.kill(child, signal.SIGKILL)
  assert _end(process) == (128 + 9, '')


@pytest.mark.parametrize(
  'body, trouble',
  [
    ('time.sleep(60)', 'no progress for 2 s'),
    ('ctypes.PyDLL(None).sleep(60)', 'no '),  # Holds the interpreter's lock.
  ],
)
def test_silence_ends_with_the_phase_and_the_stacks(body, trouble):
  process, child = _start(body, secs=2)
  code, text = _end(process)
  assert code == 76
  assert f'watchdog: {trouble}' in text
  assert "(phase 'step', after step 7)" in text
  assert 'File "<string>", line' in text  # The stack.
  local_launches.assert_gone([child], 5)


def test_a_process_that_was_stopped_is_ended():
  process, child = _start('os.kill(os.getpid(), signal.SIGSTOP)', secs=2)
  code, text = _end(process)
  assert code == 76
  assert "(phase 'step', after step 7)" in text
  local_launches.assert_gone([child], 5)


def test_the_lock_of_the_interpreter_is_missed_where_there_is_more_patience():
  body = "pulse.phase('compile')\nctypes.PyDLL(None).sleep(60)"
  process, _ = _start(body, secs=2)
  code, text = _end(process)
  assert code == 76
  assert 'no thread has run for 2 s' in text
  assert "(phase 'compile', after step 7)" in text


@pytest.mark.parametrize(
  'body',
  [
    # A step at a time, each within the limit.
    'for i in range(4): time.sleep(0.6); pulse.beat(i)',
    # Long, where that is announced.
    "for name in 'compile', 'eval': pulse.phase(name); time.sleep(2)",
  ],
)
def test_a_healthy_run_raises_no_alarm(body):
  process, _ = _start(body, secs=1)
  assert _end(process) == (0, '')


def test_zero_seconds_are_no_limit():
  process, _ = _start('time.sleep(1.5)', secs=0)
  assert _end(process) == (0, '')


def test_an_abort_of_jax_is_told_by_when_it_came():
  process, _ = _start('os.abort()', several=True)
  code, text = _end(process)
  assert code == 76
  assert text.endswith('as another one of the run is dead\n')
  process, _ = _start('pulse.phase("join"); os.abort()', several=True)
  code, text = _end(process)
  assert code == 2
  assert text.endswith('error: they did not meet\n')
  process, _ = _start('os.abort()')
  assert _end(process)[0] == 128 + signal.SIGABRT


def test_a_signal_reaches_the_child_through_the_watchdog():
  process, _ = _start('time.sleep(60)')
  process.terminate()
  code, text = _end(process)
  assert (code, text) == (
    75,
    '\nstopped; run the same command again to go on\n',
  )


def test_a_second_signal_ends_the_child_in_any_case():
  process, _ = _start('with stop.deferred(): time.sleep(60)')
  for _ in range(2):
    time.sleep(0.5)
    process.terminate()
  code, text = _end(process)
  assert code == 128 + signal.SIGTERM
  assert 'stopped at once by a second signal' in text


def test_a_signal_to_both_is_one_request():
  """As a terminal or a scheduler sends it."""
  body = (
    'stop.install()\n'
    'with stop.deferred():\n'
    '  while not stop.requested(): time.sleep(0.01)\n'
    '  time.sleep(1)'
  )
  process, child = _start(body)
  time.sleep(0.5)
  process.terminate()
  os.kill(child, signal.SIGTERM)
  assert _end(process)[0] == 0


def test_a_signal_to_a_child_that_has_just_begun_is_kept_for_it():
  body = 'os.kill(os.getpid(), signal.SIGTERM)\nstop.install()\ntime.sleep(60)'
  process, _ = _start(body)
  code, text = _end(process)
  assert code == 75
  assert 'stopped; run the same command again to go on' in text


def test_the_child_does_not_outlive_the_watchdog():
  process, child = _start('time.sleep(60)')
  process.kill()
  local_launches.assert_gone([child], 5)
  process.communicate()


def test_what_a_pulse_says_is_read_elsewhere():
  with pulse.open_file() as file:
    written, read = pulse.Pulse(file.fileno()), pulse.Pulse(file.fileno())
    assert read.read() == pulse.Reading(0, 0, '', 0)
    written.phase('checkpoint')
    written.beat(12)
    written.alive()
    assert read.read() == pulse.Reading(2, 12, 'checkpoint', 1)


def test_without_a_watchdog_there_is_no_pulse():
  assert not pulse.watched()
  pulse.beat(1)
  pulse.phase('step')
  pulse.alive()
  assert supervisor.adopted() is None


def test_a_stop_that_was_asked_for_before_is_passed_on():
  script = SCRIPT.format(body='time.sleep(60)', secs=60, several=False)
  script = script.replace("'they did not meet'", "'', True")
  result = subprocess.run(
    [sys.executable, '-c', script],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=60,
    check=False,
  )
  assert result.returncode == 75
