"""The boundary that all commands share."""

import subprocess
import sys

import pytest

from sagan_jax import errors
from sagan_jax.run import command, restarts, stop
from tests.conftest import ROOT


def _raising(error):
  def main(argv):
    del argv
    raise error

  return main


def test_exit_codes(capsys):
  assert command.exit_code(lambda _: None) == 0
  assert command.exit_code(lambda _: 3) == 3
  assert command.exit_code(lambda argv: len(argv), ['a', 'b']) == 2
  assert capsys.readouterr() == ('', '')


def test_what_the_user_can_mend_is_one_line_and_code_two(capsys):
  main = _raising(errors.UserError('batch_size 3 is odd; set it'))
  assert command.exit_code(main) == 2
  assert capsys.readouterr() == ('', 'error: batch_size 3 is odd; set it\n')


def test_a_stop_is_told_with_what_to_do(capsys):
  main = _raising(stop.Stopped('stopped after step 7, which is saved'))
  assert command.exit_code(main) == 75
  assert capsys.readouterr().err == (
    'stopped after step 7, which is saved; run the same command again to go on'
    '\n'
  )


@pytest.mark.parametrize(
  'error', [ValueError('x'), OSError(5, 'x'), KeyError()]
)
def test_what_is_ours_keeps_its_traceback(error):
  with pytest.raises(type(error)):
    command.exit_code(_raising(error))


def test_a_reader_that_has_gone_is_no_fault():
  script = (
    'from sagan_jax.run import command\n'
    'command.run(lambda argv: print("line\\n" * 100000))'
  )
  process = subprocess.Popen(
    [sys.executable, '-c', script],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  process.stdout.readline()
  process.stdout.close()
  assert process.wait(timeout=60) == 1
  assert process.stderr.read() == ''
  process.stderr.close()


class _Neighbors:
  """Of a process that is one of several."""

  def __init__(self):
    self.calls = []

  def find_culprit(self):
    self.calls.append('find_culprit')

  def fail(self, code, text):
    self.calls.append((code, text))


@pytest.mark.parametrize(
  'error, code, text',
  [
    (errors.UserError('x'), 2, 'error: x'),
    (restarts.NoProgress('x'), 77, 'error: x'),
    (KeyError('x'), 1, "KeyError: 'x'"),
  ],
)
def test_an_error_in_one_process_is_told_to_all(monkeypatch, error, code, text):
  """If no other process is to blame for it."""
  neighbors = _Neighbors()
  monkeypatch.setattr(command, '_neighbors', neighbors)
  assert command.exit_code(_raising(error)) == code
  assert neighbors.calls == ['find_culprit', (code, text)]
