"""Starts of a run that never gets any further."""

import pytest
from etils import epath

from sagan_jax import errors
from sagan_jax.run import command, restarts


class _Died(BaseException):
  """What leaves no time to clean up."""


def _start(workdir, step, error=_Died):
  with pytest.raises(error), restarts.counted(workdir, step):
    raise error


def test_a_fourth_start_from_the_same_step_is_refused(tmp_path):
  workdir = epath.Path(tmp_path)
  for _ in range(restarts.MAX_STARTS):
    _start(workdir, 5)
  with pytest.raises(
    restarts.NoProgress, match='was started 3 times from step 5 and has saved'
  ):
    restarts.counted(workdir, 5).__enter__()
  _start(workdir, 5)  # Asked for again, it counts from the beginning.


def test_progress_and_told_endings_are_not_counted(tmp_path):
  workdir = epath.Path(tmp_path)
  for step in range(10):
    _start(workdir, step)
  for _ in range(5):
    _start(workdir, 9, errors.UserError)
  for _ in range(5):
    with restarts.counted(workdir, 9):
      pass
  assert list(workdir.iterdir()) == []


def test_the_code_says_not_to_restart(capsys):
  def main(argv):
    del argv
    raise restarts.NoProgress('no further state')

  assert command.exit_code(main) == 77
  assert capsys.readouterr().err == 'error: no further state\n'
