"""What is printed of a save that fails: nothing but what is raised."""

import logging
import subprocess
import sys
import types

import pytest

from sagan_jax.checkpoints import orbax_noise
from tests.conftest import ROOT
from tests.support import commands

FULL_DISK = """
import pathlib, resource, sys
from sagan_jax import errors
from sagan_jax.checkpoints import checkpoint
from tests.support import checkpoints

saver = checkpoint.Checkpointer(pathlib.Path(sys.argv[1]), keep_last=2)
state = checkpoints.make_state()
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
saver.save(state)
try:
  saver.close()
except errors.UserError as e:
  print(e)
"""


def test_a_full_disk_prints_one_line(tmp_path):
  result = subprocess.run(
    [sys.executable, '-c', FULL_DISK, tmp_path / 'ckpt'],
    cwd=ROOT,
    env=commands.environment(),
    capture_output=True,
    text=True,
    timeout=commands.TIMEOUT_SECS,
    check=True,
  )
  assert result.stderr == ''
  (line,) = result.stdout.splitlines()
  assert 'could not be written' in line and 'File too large' in line


_LOST = 'exception was never retrieved\nfuture: <finished'


@pytest.fixture
def absl_logger():
  """The logger, with the filters that it has now."""
  logger = logging.getLogger('absl')
  before = logger.filters[:]
  yield logger
  logger.filters[:] = before


def test_other_errors_are_still_printed(monkeypatch, absl_logger):
  printed = []
  monkeypatch.setattr(sys, 'unraisablehook', printed.append)
  absl_logger.filters[:] = []
  orbax_noise.silence.__wrapped__()
  closed = types.SimpleNamespace(exc_value=RuntimeError('Event loop is closed'))
  other = types.SimpleNamespace(exc_value=RuntimeError('Event loop is busy'))
  sys.unraisablehook(closed)
  sys.unraisablehook(other)
  assert printed == [other]

  def record(path, exc_info):
    return logging.LogRecord('absl', 40, path, 1, 'text', (), exc_info)

  error = (ValueError, ValueError(), None)
  assert not absl_logger.filter(record('/x/orbax/y.py', error))
  assert absl_logger.filter(record('/x/orbax/y.py', None))
  assert absl_logger.filter(record('/x/other/y.py', error))


@pytest.mark.parametrize(
  ('text', 'printed'),
  [
    (f'Task {_LOST} Task-2 coro=<save() at lib/orbax/checkpoint/x.py:8>', 0),
    (f'Task {_LOST} Task-2 coro=<save() at lib/mine.py:8>', 1),
    (f'Future {_LOST} exception=ValueError([tensorstore_spec=...])', 0),
    (f'Future {_LOST} exception=ValueError()', 1),
  ],
)
def test_tasks_that_nobody_waits_for(
  caplog, monkeypatch, absl_logger, text, printed
):
  del absl_logger  # Put back afterwards, as the hook is.
  monkeypatch.setattr(sys, 'unraisablehook', sys.unraisablehook)
  logger = logging.getLogger('asyncio')
  before = logger.filters[:]
  orbax_noise.silence.__wrapped__()
  try:
    logger.error(text)
  finally:
    logger.filters[:] = before
  assert len(caplog.records) == printed
