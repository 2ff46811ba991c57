"""What becomes of programs that measure."""

import subprocess
import sys
import time

import pytest

from sagan_jax.benchmarks import children
from tests.conftest import ROOT


def _measure(program, secs=30, environment=None):
  return children.measure(
    [sys.executable, '-c', program, children.FIGURES], secs, environment
  )


def test_figures_come_back():
  program = (
    'import json, os, sys; '
    'json.dump({"flags": os.environ["XLA_FLAGS"]}, open(sys.argv[1], "w"))'
  )
  assert _measure(program, environment={'XLA_FLAGS': '--a'}) == {'flags': '--a'}


@pytest.mark.parametrize(
  ('program', 'error'),
  [
    (
      'raise ValueError("RESOURCE_EXHAUSTED: Out of memory while")',
      'out of memory (RESOURCE_EXHAUSTED)',
    ),
    ('raise ValueError("a | b")', 'ValueError: a / b'),
    ('import sys; sys.exit(3)', 'it said nothing'),
    (
      'import os; os.kill(os.getpid(), 9)',
      'killed by signal 9; it said nothing',
    ),
  ],
)
def test_what_fails_is_told_in_a_line(program, error):
  assert _measure(program) == {'error': error}


def test_what_takes_too_long_is_ended_with_its_children(tmp_path):
  path = tmp_path / 'pid'
  program = (
    'import subprocess, sys; '
    'p = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]'
    f'); open({str(path)!r}, "w").write(str(p.pid)); p.wait()'
  )
  assert _measure(program, secs=3) is None
  _await_end(int(path.read_text()))


def test_what_measures_ends_with_a_killed_matrix(tmp_path):
  path = tmp_path / 'pid'
  program = (
    'import os, time; '
    f'open({str(path)!r}, "w").write(str(os.getpid())); time.sleep(60)'
  )
  parent = subprocess.Popen(
    [
      sys.executable,
      '-c',
      'import sys; from sagan_jax.benchmarks import children; '
      'children.measure([sys.executable, "-c", sys.argv[1]], 60)',
      program,
    ],
    cwd=ROOT,
  )
  while not (path.exists() and path.read_text()):
    assert parent.poll() is None
    time.sleep(0.05)
  parent.kill()
  parent.wait()
  _await_end(int(path.read_text()))


def _await_end(pid):
  for _ in range(100):
    try:
      with open(f'/proc/{pid}/stat') as file:
        if ' Z ' in file.read():  # Nobody has asked for its code yet.
          return
    except FileNotFoundError:
      return
    time.sleep(0.1)
  pytest.fail(f'process {pid} goes on')
