"""The command that checks all checkpoints of a run."""

import gc
import os
import types

import pytest

from sagan_jax import errors, files, verify
from sagan_jax.checkpoints import checkpoint
from sagan_jax.run import verification
from tests.support import checkpoints, mistakes


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
def test_every_checkpoint_has_a_line_and_damage_is_an_error(tmp_path):
  state, lines = checkpoints.make_state(), []
  for name, steps in (('checkpoints', (3, 7)), ('best', (5,))):
    with checkpoints.opener(tmp_path / name) as make:
      checkpoints.saved(make, *(checkpoints.at(state, s) for s in steps))
  run = types.SimpleNamespace(
    workdir=files.as_path(tmp_path),
    shapes=checkpoints.shapes(state),
    checkpointer=checkpoint.Checkpointer(
      tmp_path / 'checkpoints', keep_last=1, writes=False
    ),
    best_checkpointer=lambda writes: checkpoint.Checkpointer(
      tmp_path / 'best', keep_last=1, writes=writes
    ),
  )
  verification.verify(run, lines.append)
  assert lines == [
    'checkpoints/3: as it was saved',
    'checkpoints/7: as it was saved',
    'best/5: as it was saved',
  ]
  for damaged in ('checkpoints/7', 'best/5'):
    data = [p for p in (tmp_path / damaged).rglob('*') if p.is_file()]
    largest = max(data, key=lambda p: p.stat().st_size)
    largest.write_bytes(b'\xff' * largest.stat().st_size)
  lines.clear()
  before = mistakes.contents(tmp_path)
  message = (
    f'^2 of 3 checkpoints in {tmp_path} cannot be used: checkpoints/7, best/5; '
    'training goes on from the last'
  )
  with pytest.raises(errors.UserError, match=message):
    verification.verify(run, lines.append)
  gc.collect()  # Orbax leaves coroutines behind where it fails.
  assert lines[0] == 'checkpoints/3: as it was saved'
  assert lines[1].startswith(
    f'checkpoints/7: the checkpoint {tmp_path}/checkpoints/7 is damaged ('
  )
  assert len(lines) == 3
  assert mistakes.contents(tmp_path) == before


def test_refuses_what_is_no_run(tmp_path):
  with pytest.raises(errors.UserError, match='set --workdir'):
    verify.main([])
  with pytest.raises(errors.UserError, match='there is no run in'):
    verify.main([f'--workdir={tmp_path}'])


def test_refuses_a_run_without_checkpoints(tmp_path):
  none = types.SimpleNamespace(steps=lambda: [])
  run = types.SimpleNamespace(
    workdir=tmp_path, checkpointer=none, best_checkpointer=lambda **_: none
  )
  with pytest.raises(errors.UserError, match='has no checkpoints; train first'):
    verification.verify(run)
  assert os.listdir(tmp_path) == []
