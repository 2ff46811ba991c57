"""Runs the local launcher on small scripts, for tests."""

import pathlib
import subprocess
import sys
import time

from tests.conftest import ROOT

TIMEOUT_SECS = 60

# What all scripts begin with; i is the number of the process.
HEAD = """
import os, signal, subprocess, sys, time
i = int(sys.argv[-1].removeprefix('--process_id='))
def say(text):
  print(text, flush=True)
"""
WAIT = 'while True: time.sleep(0.01)\n'


def start(script, *options, processes=2, command=None):
  """Starts the launcher with processes that run a script."""
  command = command or [sys.executable, '-c', HEAD + script]
  return subprocess.Popen(
    [
      *(sys.executable, '-m', 'sagan_jax.launch', 'local'),
      *(f'--processes={processes}', *options, '--', *command),
    ],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def run(script, *options, **settings):
  """Runs the launcher to its end; returns (exit code, stdout, stderr)."""
  process = start(script, *options, **settings)
  output, errors = process.communicate(timeout=TIMEOUT_SECS)
  return process.returncode, output, errors


def wait_for(process, *lines):
  """Waits until the launcher has printed all of the lines, in any order."""
  missing = set(lines)
  for line in process.stdout:
    missing.discard(line.rstrip('\n'))
    if not missing:
      return
  raise AssertionError(f'no {missing}: {process.stderr.read()}')


def alive(pid):
  """Whether a process is there, and not only its exit code."""
  try:
    state = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2]
  except FileNotFoundError:
    return False
  return state.split()[0] != 'Z'


def assert_gone(pids, secs):
  """Waits for the end of processes."""
  deadline = time.monotonic() + secs
  while any(map(alive, pids)):
    assert time.monotonic() < deadline, [pid for pid in pids if alive(pid)]
    time.sleep(0.02)
