"""What a run does about a batch that makes its losses NaN."""

import json
import shutil
from unittest import mock

import numpy as np
import pytest

from sagan_jax import errors
from sagan_jax.drills import poison
from sagan_jax.gan import state as state_lib
from sagan_jax.run import loop, nonfinite, rollbacks
from tests.support import tiny

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope='module')
def networks():
  with (
    tiny.small_networks(tiny.PoisonedDiscriminator),
  ):
    yield


def train(workdir, poisoned, stop_at=None, **changes):
  """Trains with poison in the batches of some steps; returns the state.

  Where it is to stop, an error comes from the data instead of a step.
  """
  changes = {'num_steps': 12, 'checkpoint__every_steps': 4} | changes
  one = tiny.trainer(workdir, prefetch=1, **changes)
  for step in poisoned:
    poison.whiten(one.run.source, step - 1, seed=0)
  if stop_at:
    next_batch = loop.Loop._next

    def fail(self, batches, state):
      if int(state.step) == stop_at - 1:
        raise KeyError('killed')
      return next_batch(self, batches, state)

    # There is another loop after a rollback.
    with (
      mock.patch.object(loop.Loop, '_next', fail),
      pytest.raises(KeyError, match='killed'),
    ):
      one.train()
    return None
  return one.train()


def rows(workdir):
  """The rows of the log, without what tells the time."""
  text = (workdir / 'metrics.jsonl').read_text()
  return [
    {k: v for k, v in json.loads(line).items() if not k.startswith('perf/')}
    for line in text.splitlines()
  ]


def test_skipped_steps_are_logged_and_survived_also_by_a_restart(
  tmp_path, capsys
):
  policy = {'on_nonfinite': 'skip', 'max_nonfinite': 2}
  straight = train(tmp_path / 'a', [2, 5, 6], **policy)
  assert 'step 2: left out 1 updates of the discriminator and 0 of' in (
    capsys.readouterr().out
  )
  assert state_lib.all_finite(straight)
  counts = [
    int(net.opt_state[0].count)
    for net in (straight.discriminator, straight.generator)
  ]
  assert counts == [9, 12]
  left_out = [r for r in rows(tmp_path / 'a') if 'nonfinite/d_skipped' in r]
  assert left_out == [
    {'step': k, 'nonfinite/d_skipped': 1.0, 'nonfinite/g_skipped': 0.0}
    for k in (2, 5, 6)
  ]
  trained = [r for r in rows(tmp_path / 'a') if 'train/d_loss' in r]
  assert [r['step'] for r in trained] == [1, 3, 4, 7, 8, 9, 10, 11, 12]
  assert 'train/d_skipped' not in trained[0]
  train(tmp_path / 'b', [2, 5, 6], stop_at=7, **policy)
  resumed = train(tmp_path / 'b', [2, 5, 6], **policy)
  assert state_lib.digest(resumed) == state_lib.digest(straight)
  assert rows(tmp_path / 'b') == rows(tmp_path / 'a')
  # One more in a row is one too many.
  match = 'updates of 3 steps in a row, the last of them 7, .*is of step 4'
  with pytest.raises(errors.UserError, match=match):
    train(tmp_path / 'c', [5, 6, 7], **policy)


def test_a_rollback_draws_anew_and_is_resumed_exactly(tmp_path, capsys):
  """Step 6 is not finite; the grid of step 5 is given up with it."""
  policy = {'on_nonfinite': 'rollback', 'sample__every_steps': 5}
  plain = train(tmp_path / 'plain', [], **policy)
  straight = train(tmp_path / 'a', [6], **policy)
  out = capsys.readouterr().out
  assert 'd_loss is nan at step 6; the last good checkpoint is of step 4' in out
  assert 'Rolled back to step 4 (rollback 1 of at most 10)' in out
  record = json.loads((tmp_path / 'a' / 'rollbacks.json').read_text())
  assert record == [{'from': 6, 'to': 4}]
  assert state_lib.all_finite(straight) and int(straight.step) == 12
  before, plainly = rows(tmp_path / 'a'), rows(tmp_path / 'plain')
  assert [r['step'] for r in before] == [r['step'] for r in plainly]
  assert before[:4] == plainly[:4]
  assert all(a != b for a, b in zip(before[4:], plainly[4:], strict=True))
  assert state_lib.digest(straight) != state_lib.digest(plain)
  # Killed right after the rollback, and after a later checkpoint.
  train(tmp_path / 'b', [6], stop_at=7, **policy)
  shutil.copytree(tmp_path / 'b', tmp_path / 'c')
  train(tmp_path / 'c', [6], stop_at=10, **policy)
  for name in 'b', 'c':
    resumed = train(tmp_path / name, [6], **policy)
    assert state_lib.digest(resumed) == state_lib.digest(straight)
    assert rows(tmp_path / name) == before
    assert (tmp_path / name / 'samples' / '00000005_raw.png').read_bytes() == (
      tmp_path / 'a' / 'samples' / '00000005_raw.png'
    ).read_bytes()


def test_rollbacks_are_bounded(tmp_path, monkeypatch):
  """The data is poisoned however it is drawn; nothing is saved yet."""
  monkeypatch.setattr(rollbacks.Rollbacks, 'data_seed', lambda *_: 0)
  match = 'd_loss is nan at step 3.* rolled back 1 times already, as often as'
  with pytest.raises(errors.UserError, match=match):
    train(tmp_path, [3], on_nonfinite='rollback', max_nonfinite=1)
  record = json.loads((tmp_path / 'rollbacks.json').read_text())
  assert record == [{'from': 3, 'to': 0}]


def test_which_rollback_is_in_force(tmp_path):
  """One to 8, then one to 4 as the checkpoint of 8 was damaged."""
  one = rollbacks.Rollbacks(tmp_path, True)
  seeds = [one.data_seed(3, 9)]
  assert seeds == [3]
  for to in 8, 4:
    one.add(9, to)
    seeds.append(one.data_seed(3, 8))
  again = rollbacks.Rollbacks(tmp_path, True)
  assert len(again) == 2
  assert len(set(seeds)) == 3 and max(seeds) < 2**31
  for step, seed in ((3, 3), (4, seeds[2]), (8, seeds[2]), (20, seeds[2])):
    assert again.data_seed(3, step) == seed, step


@pytest.mark.parametrize('text', ['{}', '[3]', '[{"from": 1, "to": "x"}]'])
def test_a_damaged_list_of_rollbacks_is_named(tmp_path, text):
  (tmp_path / rollbacks.FILE).write_text(text)
  with pytest.raises(errors.UserError, match='must be a list of steps'):
    rollbacks.Rollbacks(tmp_path, True)


def test_a_row_of_good_steps_ends_the_count():
  said, written = [], []
  skips = nonfinite.Skips(
    2, lambda *row: written.append(row), said.append, lambda: 'help'
  )
  bad = [1, 1, 0, 1, 1, 0, 1, 1]
  assert [skips.look(i, np.float32(x), 0.0) for i, x in enumerate(bad)] == [
    bool(x) for x in bad
  ]
  assert len(written) == 6 and len(said) == 3  # Of the first, second, fourth.
  match = '3 steps in a row, the last of them 8, .*max_nonfinite=2; help'
  with pytest.raises(errors.UserError, match=match):
    skips.look(8, 0.0, 1.0)
