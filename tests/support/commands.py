"""The command `python -m sagan_jax.main` as users run it: in processes.

They train the real networks, tiny, for `NUM_STEPS` steps. All share one
directory of compiled programs: only the first waits for the compiler.
"""

import fcntl
import functools
import json
import os
import pathlib
import subprocess
import sys
import time

from sagan_jax.config import schema
from tests.conftest import ROOT
from tests.support import compilation, tiny

NUM_STEPS = 40
TIMEOUT_SECS = 300

CHANGES = tiny.CHANGES | {
  'num_steps': NUM_STEPS,
  'sample.every_steps': 15,
  'checkpoint.every_steps': 4,
  'eval.every_steps': 20,
  'eval.cache_dir': f'{compilation.cache_dir()}/eval',
}


def environment():
  """Of processes that find what the tests import, and the compiled programs."""
  settings = compilation.CHEAP | {
    'jax_compilation_cache_dir': compilation.cache_dir(),
    'jax_num_cpu_devices': 8,
    'jax_platforms': 'cpu',
  }
  return (
    os.environ
    | {name.upper(): str(value) for name, value in settings.items()}
    | {'PYTHONPATH': str(ROOT), 'TF_CPP_MIN_LOG_LEVEL': '3'}
    # Else numbers of one process and of several are rounded apart.
    | {'XLA_FLAGS': compilation.usual_flags()}
  )


def flags(workdir, **changes):
  """The flags of a run; __ in a name stands for the dot."""
  changes = {k.replace('__', '.'): v for k, v in changes.items()}
  return [
    f'--workdir={workdir}',
    '--config=experiments/quickstart.py',
    *(f'--config.{k}={v}' for k, v in (CHANGES | changes).items()),
  ]


def leaves(**changes):
  """The leaves of a run's config as JSON, for where ml_collections is not."""
  return json.dumps(
    schema.flatten(schema.replace(tiny.config(), CHANGES, **changes))
  )


def start(*arguments, module='sagan_jax.main'):
  """Starts a process; its output comes from `communicate`."""
  return subprocess.Popen(
    [sys.executable, '-m', module, *arguments],
    cwd=ROOT,
    env=environment(),
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def run(*arguments, module='sagan_jax.main'):
  """Runs a process to its end; returns (exit code, output)."""
  process = start(*arguments, module=module)
  output, _ = process.communicate(timeout=TIMEOUT_SECS)
  return process.returncode, output


def rows(workdir):
  """The complete rows of a log, also while it is written."""
  path = workdir / 'metrics.jsonl'
  lines = path.read_text().split('\n')[:-1] if path.exists() else []
  return [json.loads(line) for line in lines]


def wait_for_row(process, workdir, step):
  """Waits until a running process has logged a step."""
  deadline = time.monotonic() + TIMEOUT_SECS
  while time.monotonic() < deadline:
    logged = rows(workdir)
    if logged and logged[-1]['step'] >= step:
      return
    if process.poll() is not None:
      break
    time.sleep(0.005)
  process.kill()
  raise AssertionError(f'no row of step {step}:\n{process.communicate()[0]}')


@functools.cache
def undisturbed():
  """The directory and the output of a run that nothing has disturbed.

  All processes of a session share it: whoever comes first makes it.
  """
  workdir = pathlib.Path(compilation.cache_dir()) / 'undisturbed'
  log = workdir.with_suffix('.log')
  with open(workdir.with_suffix('.lock'), 'w') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not log.exists():
      code, output = run(*flags(workdir))
      assert code == 0, output
      log.write_text(output)
  return workdir, log.read_text()
