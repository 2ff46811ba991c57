"""What becomes of programs that measure."""

import os
import sys
import time

import pytest

from sagan_jax.benchmarks import children


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
  for _ in range(50):
    try:
      os.kill(int(path.read_text()), 0)
    except ProcessLookupError:
      return
    with open(f'/proc/{path.read_text()}/stat') as file:
      if ' Z ' in file.read():
        return
    time.sleep(0.1)
  pytest.fail('it goes on')
