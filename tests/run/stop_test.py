"""Stopping on request, in processes that signals are sent to."""

import signal
import subprocess
import sys
import time

import pytest

from sagan_jax.run import stop
from tests.conftest import ROOT

# Does `body` with the handlers installed, and tells when it has begun.
SCRIPT = '''
import signal, sys, time
from sagan_jax.run import command, stop

def busy():
  """Holds the main thread where Python runs no handler, as a compiler does."""
  import hashlib
  hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)

def main(argv):
  print('begun', flush=True)
  {body}

command.run(main)
'''


def _start(body):
  process = subprocess.Popen(
    [sys.executable, '-c', SCRIPT.format(body=body)],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  assert process.stdout.readline() == 'begun\n'
  return process


def _end(process, *numbers):
  """Sends signals half a second apart; returns (exit code, stderr, seconds)."""
  began = time.monotonic()
  for number in numbers:
    time.sleep(0.5)
    process.send_signal(number)
  _, text = process.communicate(timeout=60)
  return process.returncode, text, time.monotonic() - began


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_before_there_is_anything_to_lose_a_signal_ends_at_once(number):
  code, text, secs = _end(_start('busy()'), number)
  assert code == stop.EXIT_CODE == 75
  assert text == '\nstopped; run the same command again to go on\n'
  assert secs < 10


def test_where_there_is_the_process_looks_by_itself():
  body = 'with stop.deferred():\n    while True: stop.check(); time.sleep(0.01)'
  code, text, _ = _end(_start(body), signal.SIGTERM)
  assert code == 75
  assert 'asked to stop ...' in text
  assert text.endswith('stopped; run the same command again to go on\n')
  assert 'Traceback' not in text


@pytest.mark.parametrize('second', [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_process_in_any_case(second):
  body = 'with stop.deferred(): busy()'
  code, text, secs = _end(_start(body), signal.SIGTERM, second)
  assert code == 128 + second
  assert 'stopped at once by a second signal' in text
  assert secs < 10


def test_other_signals_are_not_taken_for_a_stop():
  body = (
    'signal.signal(signal.SIGUSR1, lambda *_: None)\n'
    '  end = time.monotonic() + 1.5\n'
    '  while time.monotonic() < end: time.sleep(0.1)\n'
    '  print(stop.requested(), file=sys.stderr)'
  )
  code, text, _ = _end(_start(body), signal.SIGUSR1)
  assert (code, text) == (0, 'False\n')


def test_a_stop_is_no_exception_that_a_guard_may_survive():
  stop.request()
  try:
    with pytest.raises(stop.Stopped):
      try:
        stop.check()
      except Exception:  # noqa: BLE001 - as the guard around evaluations.
        pass
  finally:
    stop.withdraw()
  assert not stop.requested()
  stop.check()


def test_importing_takes_over_no_signal():
  before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
  assert stop._ignore not in before


def test_while_others_are_awaited_a_stop_waits_only_so_long():
  body = 'stop.JOIN_SECS = 1; stop.await_others(); busy()'
  code, text, secs = _end(_start(body), signal.SIGTERM)
  assert code == 75
  assert 'asked to stop ...' in text
  assert text.endswith('stopped; run the same command again to go on\n')
  assert 1 < secs < 10
