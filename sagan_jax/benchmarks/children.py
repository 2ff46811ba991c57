"""Measures a cell in a process of its own.

Whatever a cell does to its process (out of memory, a crash of the compiler, no
end), the others are measured; memory peaks are its own; and flags of XLA, which
are read once, can differ.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

FIGURES = 'FIGURES.json'
# Else a killed matrix would leave a process that takes the device of the next.
# By a program: what runs between fork and exec must not meet JAX's threads.
_END_WITH_PARENT = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
os.execvp(sys.argv[1], sys.argv[1:])
"""
_FEW = 300  # Characters of an error.


def measure(argv, secs, environment=None):
  """Runs a program that writes figures as JSON.

  Args:
    argv: of the program; `FIGURES` in it stands for the file to write.
    secs: after which it is killed.
    environment: variables besides those of this process, or None.

  Returns:
    What it wrote, or {'error': text}; None if there was not the time.
  """
  with tempfile.TemporaryDirectory() as directory:
    path = pathlib.Path(directory) / 'figures.json'
    argv = [word.replace(FIGURES, str(path)) for word in argv]
    if sys.platform == 'linux':
      argv = [sys.executable, '-c', _END_WITH_PARENT, *argv]
    with tempfile.TemporaryFile() as output:
      process = subprocess.Popen(
        argv,
        env=os.environ | (environment or {}),
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # It may have children: all end together.
      )
      try:
        code = process.wait(secs)
      except subprocess.TimeoutExpired:
        return None
      finally:
        if process.poll() is None:
          os.killpg(process.pid, signal.SIGKILL)
          process.wait()
      if code:
        output.seek(0)
        text = output.read().decode(errors='replace')
        return {'error': _reason(code, text)}
    return json.loads(path.read_text())


def this_package(config, overrides, *flags):
  """The command line of `sagan_jax.benchmark`, for `measure`."""
  return [
    sys.executable,
    *('-m', 'sagan_jax.benchmark', f'--config={config}', '--no-input'),
    *(f'--config.{key}={value}' for key, value in overrides.items()),
    *flags,
    f'--json={FIGURES}',
  ]


def _reason(code, text):
  """What a program that failed said last, in one line of a table."""
  for word in ('RESOURCE_EXHAUSTED', 'OutOfMemoryError', 'MemoryError'):
    if word in text:
      return f'out of memory ({word})'
  lines = [line.strip() for line in text.splitlines() if line.strip()]
  # JAX ends its tracebacks with a line about itself.
  lines = [x for x in lines if not x.startswith(('----', 'For simplicity'))]
  last = lines[-1] if lines else 'it said nothing'
  if code < 0:
    last = f'killed by signal {-code}; {last}'
  return last[:_FEW].replace('|', '/')
