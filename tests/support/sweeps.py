"""Sweeps of the fake trainer, in this process and in others."""

import signal
import subprocess
import sys
import time

from sagan_jax import sweep
from tests.conftest import ROOT
from tests.support import commands

TRAINER = (sys.executable, str(ROOT / 'tests/support/fake_trainer.py'))
RATES = ('0.001', '0.002')
# Two settings of two seeds: `score` of the fake trainer tells them apart.
FLAGS = (
  '--config=quickstart',
  '--config.num_steps=20',
  '--config.eval.every_steps=10',
  '--config.checkpoint.every_steps=5',
  f'--grid=optim.generator.learning_rate={",".join(RATES)}',
  '--seeds=2',
  '--jobs=2',
)
NAMES = [
  f'optim.generator.learning_rate={rate},seed={seed}'
  for rate in RATES
  for seed in (0, 1)
]
# What the command starts by default, but for the size of the networks.
SMALL_TRAINER = (*sweep.TRAINER[:-1], 'tests.support.faulty', 'main', 'none')
_COMMAND = """
import sys
from sagan_jax import sweep
from sagan_jax.run import command
at = sys.argv.index('--')
command.run(lambda _: sweep.main(sys.argv[at + 1:], trainer=sys.argv[1:at]))
"""


def run(output, *flags, base=FLAGS):
  """Runs a sweep in this process; returns its exit code."""
  return sweep.main([*base, f'--output={output}', *flags], trainer=TRAINER)


def start(output, *flags, base=FLAGS, trainer=TRAINER, **environment):
  """Starts a sweep as a process; its output comes from `communicate`."""
  return subprocess.Popen(
    [
      *(sys.executable, '-c', _COMMAND, *trainer, '--'),
      *(*base, f'--output={output}', *flags),
    ],
    cwd=ROOT,
    env=commands.environment() | environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def history(output, name):
  """(first step, last step, exit code) of the processes of a run."""
  path = output / name / 'history'
  lines = path.read_text().splitlines() if path.exists() else []
  return [tuple(map(int, line.split())) for line in lines]


def output_of(process):
  """What a process says until it ends."""
  output, _ = process.communicate(timeout=commands.TIMEOUT_SECS)
  return output


def killed(process):
  """Kills a sweep, which its runs outlive."""
  process.kill()
  process.stdout.close()
  assert process.wait() == -signal.SIGKILL


def wait_until(condition, process):
  """Waits for a condition while a process runs."""
  deadline = time.monotonic() + commands.TIMEOUT_SECS
  while not condition():
    assert process.poll() is None, process.communicate()[0]
    assert time.monotonic() < deadline
    time.sleep(0.01)


def step_of(output, name):
  """The step that a run has logged last."""
  path = output / name
  rows = commands.rows(path)
  return rows[-1]['step'] if rows else 0
