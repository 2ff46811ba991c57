"""Runs of several processes with small networks, by the real launcher.

All of a session share the compiled programs and one undisturbed run.
"""

import fcntl
import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

from sagan_jax.drills import evidence
from tests.conftest import ROOT
from tests.support import commands, compilation, tiny

TIMEOUT_SECS = 240
# Time for a first step, whose end waits for a process that compiles longer.
WATCHDOG_SECS = 10
WATCHED = (f'--watchdog_secs={WATCHDOG_SECS}',)
# What a watchdog says of a process that was stopped, as a pattern.
NO_THREAD = (
  r'watchdog: no thread has run for \d+ s: it was stopped, or one holds'
)
# Of two processes.
PROGRAMS = pathlib.Path(compilation.cache_dir()) / 'together'
NUM_STEPS = 12
CHANGES = {
  'num_steps': NUM_STEPS,
  'num_devices': None,
  'checkpoint__every_steps': 4,
  'sample__every_steps': 6,
  'eval__every_steps': 6,
}


def _command(workdir, fault, name, **changes):
  arguments = commands.flags(workdir, **(CHANGES | changes))
  if name == 'evaluate':
    arguments = [f'--workdir={workdir}']
  return [
    *(sys.executable, '-m', 'tests.support.faulty', name, fault, *arguments)
  ]


def _environment(devices):
  return commands.environment() | {'JAX_NUM_CPU_DEVICES': str(devices)}


def start(workdir, fault='none', *flags, name='main', count=2, **changes):
  """Starts a run of several processes of one device each.

  Its output is in the file `output` of what this returns.
  """
  if count == 2:
    together()  # The others of the session find its programs.
  return _launch(workdir, fault, *flags, name=name, count=count, **changes)


def _launch(workdir, fault, *flags, name='main', count=2, **changes):
  output = tempfile.NamedTemporaryFile()
  launcher = subprocess.Popen(
    [
      *(sys.executable, '-m', 'sagan_jax.launch', 'local'),
      *(f'--processes={count}', '--grace=60', '--'),
      *(*_command(workdir, fault, name, **changes), *flags),
      *([f'--compilation_cache={PROGRAMS}'] if count == 2 else []),
    ],
    cwd=ROOT,
    env=_environment(1),
    stdout=output,
    stderr=subprocess.STDOUT,
  )
  launcher.output = output
  return launcher


def end(process):
  """Waits for the end; returns (exit code, {process: its code}, output)."""
  try:
    process.wait(timeout=TIMEOUT_SECS)
  finally:
    process.kill()  # With all that it has started.
  output = pathlib.Path(process.output.name).read_text()
  codes = {
    int(i): int(code)
    for i, code in re.findall(r'process (\d+) ended with (\d+)', output)
  }
  return process.returncode, codes, output


def run(*arguments, **settings):
  """`start` and `end`."""
  return end(start(*arguments, **settings))


def run_alone(workdir, devices, fault='none', **changes):
  """Trains in one process with several devices."""
  return subprocess.run(
    _command(workdir, fault, 'main', **changes),
    cwd=ROOT,
    env=_environment(devices),
    capture_output=True,
    text=True,
    timeout=TIMEOUT_SECS,
    check=True,
  )


def secs_since_fault(output):
  """Seconds from the last fault, as `faulty` tells of it, until now."""
  return time.time() - float(re.findall(r'fault at ([\d.]+)', output)[-1])


def fail(workdir, fault, *flags, secs, told, **codes):
  """Runs into a fault; it ends all processes in time, and is named."""
  # Each is the first fault, and no restart without progress.
  (workdir / 'restarts.json').unlink(missing_ok=True)
  _, found, output = run(workdir, fault, *flags)
  assert found == {int(i[1:]): code for i, code in codes.items()}, output
  assert re.search(told, output), output
  assert secs_since_fault(output) < secs, output


def assert_goes_on_exactly(workdir, *arguments):
  """Runs a run to its end: as if nothing had disturbed it."""
  code, _, output = run(workdir, *arguments)
  assert code == 0, output
  assert 'watchdog' not in output
  different = differences(workdir, undisturbed())
  assert not different, different


def undisturbed():
  """The directory of a run of one process with two devices."""
  return _once('undisturbed_on_two', functools.partial(run_alone, devices=2))


def together():
  """The directory of such a run of two processes."""
  return _once('undisturbed_together', _run_together)


def _run_together(workdir):
  code, _, output = end(_launch(workdir, 'none'))
  assert code == 0, output
  # Each process has kept its own: on CPU the key is another one in each.
  assert len([*PROGRAMS.glob('*/jit_train_step-*')]) == 2


def _once(name, make):
  """A directory that whoever comes first makes; all of a session share it."""
  workdir = pathlib.Path(compilation.cache_dir()) / name
  with open(workdir.with_suffix('.lock'), 'w') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not (workdir / 'done').exists():
      make(workdir)
      (workdir / 'done').touch()
  return workdir


def differences(workdir, other):
  """What two runs have not in common, of all that they have left; lines."""
  with tiny.small_networks():
    found, wanted = (evidence.of(x) for x in (workdir, other))
  return evidence.differences(found, wanted)


def scores(workdir):
  """The scores of all evaluations, by step."""
  lines = (workdir / 'evaluations.jsonl').read_text().splitlines()
  records = [json.loads(line) for line in lines]
  return {r['protocol']['step']: r['scores'] for r in records}


def terminate(launcher, index, number=signal.SIGTERM):
  """Signals one process of a launcher."""
  for pid in _children(launcher.pid):
    arguments = pathlib.Path(f'/proc/{pid}/cmdline').read_bytes().split(b'\0')
    if f'--process_id={index}'.encode() in arguments:
      os.kill(pid, number)
      return
  raise AssertionError(f'there is no process {index}')


def wait_for_line(process, text, secs=TIMEOUT_SECS):
  """Waits until the output of a launcher holds a text."""
  deadline = time.monotonic() + secs
  output = pathlib.Path(process.output.name)
  while text not in output.read_text():
    assert process.poll() is None, output.read_text()
    assert time.monotonic() < deadline, output.read_text()
    time.sleep(0.05)


def _children(pid):
  children = pathlib.Path(f'/proc/{pid}/task/{pid}/children')
  return [int(child) for child in children.read_text().split()]
