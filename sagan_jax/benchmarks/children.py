"""Measures a cell in a process of its own.

Whatever a cell does to its process (out of memory, a crash of the compiler, no
end), the others are measured; memory peaks are its own; and flags of XLA, which
are read once, can differ.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from sagan_jax.cluster import children

FIGURES = 'FIGURES.json'
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
    with tempfile.TemporaryFile() as output:
      # Else a killed matrix would leave one that takes the device of the next.
      process = children.start(
        argv,
        env=os.environ | (environment or {}),
        stdout=output,
        stderr=subprocess.STDOUT,
      )
      try:
        code = process.wait(secs)
      except subprocess.TimeoutExpired:
        return None
      finally:
        children.kill(process)
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
