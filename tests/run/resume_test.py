"""Tests that a run that is killed or stopped goes on as if it had not been.

All leaves of the final state and all metrics are compared bit by bit with
those of a run that nothing has disturbed.
"""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from sagan_jax.gan import state as state_lib
from sagan_jax.run import stop
from tests.conftest import ROOT
from tests.support import commands, tiny

# Stops after three steps, in a save that does not end.
SLOW_SAVE = """
import pathlib, sys, time
from sagan_jax.run import stop
from sagan_jax.checkpoints import checkpoint
from tests.support import tiny

stop.install()

def wait(self):
  print('saving', flush=True)
  time.sleep(100)

with tiny.small_networks():
  run = tiny.trainer(pathlib.Path(sys.argv[1]), num_steps=10**6)
  checkpoint.Checkpointer.wait = wait
  run.train()
"""


def final_digest(workdir):
  """SHA-256 over all leaves of the state of a finished run."""
  changes = {k.replace('.', '__'): v for k, v in commands.CHANGES.items()}
  state = tiny.trainer(workdir, **changes).train()
  assert int(state.step) == commands.NUM_STEPS
  return state_lib.digest(state)


def computed(workdir):
  """The rows of a log without what tells the time."""
  return [
    {k: v for k, v in row.items() if not k.startswith('perf/')}
    for row in commands.rows(workdir)
  ]


def files(workdir):
  return {p.name: p.read_bytes() for p in (workdir / 'samples').iterdir()}


@pytest.mark.slow
def test_disturbed_runs_end_as_an_undisturbed_one(tmp_path):
  """Kill -9, SIGTERM, Ctrl-C, each at some step, and the same command again."""
  straight, _ = commands.undisturbed()
  draw = random.Random(0)
  last = 0
  for number, code, after in (
    (signal.SIGKILL, -signal.SIGKILL, draw.randrange(5, 12)),
    (signal.SIGTERM, stop.EXIT_CODE, draw.randrange(14, 20)),
    (signal.SIGINT, stop.EXIT_CODE, draw.randrange(24, 32)),
  ):
    process = commands.start(*commands.flags(tmp_path))
    commands.wait_for_row(process, tmp_path, after)
    time.sleep(draw.uniform(0, 0.1))  # At any moment of a step, or a save.
    process.send_signal(number)
    output, _ = process.communicate(timeout=commands.TIMEOUT_SECS)
    assert process.returncode == code, output
    assert 'Traceback' not in output
    if last:
      assert f'resuming after step {last}' in output
    saved = [
      int(p.name)
      for p in (tmp_path / 'checkpoints').iterdir()
      if p.name.isdigit()
    ]
    assert max(saved) > last
    last = max(saved)
    if number != signal.SIGKILL:
      assert f'stopped after step {last}, which is saved' in output
      assert 'run the same command again to go on' in output

  code, output = commands.run(*commands.flags(tmp_path))
  assert code == 0, output
  assert f'resuming after step {last}' in output
  assert final_digest(tmp_path) == final_digest(straight)
  assert computed(tmp_path) == computed(straight)
  assert files(tmp_path) == files(straight)


@pytest.mark.parametrize(
  'first, second',
  [(signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT)],
)
def test_a_second_signal_ends_a_run_at_once(tmp_path, first, second):
  process = subprocess.Popen(
    [sys.executable, '-c', SLOW_SAVE, str(tmp_path)],
    cwd=ROOT,
    env=commands.environment(),
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )
  commands.wait_for_row(process, tmp_path, 3)
  process.send_signal(first)
  for line in process.stdout:
    if line == 'saving\n':
      break
  began = time.monotonic()
  os.kill(process.pid, second)
  process.communicate(timeout=commands.TIMEOUT_SECS)
  assert process.returncode == 128 + second
  assert time.monotonic() - began < 20
