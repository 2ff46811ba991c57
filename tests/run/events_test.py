"""What is due at a step, and whether it is done already."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from sagan_jax import errors
from sagan_jax.pictures import labelled_grid
from sagan_jax.run import events, log, scoreboard
from tests.support import tiny


@pytest.fixture(autouse=True, scope='module')
def small_networks():
  with tiny.small_networks():
    yield


@pytest.fixture
def run(tmp_path):
  run = tiny.opened(tmp_path, num_steps=4, eval__every_steps=2)
  yield run
  run.checkpointer.close()


def test_a_checkpoint_is_done_when_it_is_saved_or_being_saved(run):
  state = run.init()
  event = events.Checkpoint(run, lambda: 'advice')
  assert not event.is_done(0)
  event(state)
  assert event.is_done(0) and not event.is_done(1)
  run.checkpointer.wait()
  # Another process sees it too.
  assert events.Checkpoint(run, lambda: 'advice').is_done(0)


def test_finishing_saves_once_and_waits(run):
  state = run.init()
  event = events.Checkpoint(run, lambda: 'advice')
  event.finish(state)
  assert run.checkpointer.steps() == [0]
  event.finish(state)  # A second save of a step would be refused.


def test_weights_that_are_not_finite_are_not_saved(run):
  state = run.init()
  params = {**state.ema_params}
  name = next(iter(params))
  params[name] = {k: v * np.nan for k, v in params[name].items()}
  event = events.Checkpoint(run, lambda: 'the advice')
  match = 'step 0 left weights that are not finite; the advice'
  with pytest.raises(errors.UserError, match=match):
    event(state.replace(ema_params=params))
  assert run.checkpointer.steps() == []


def test_grids_are_done_when_both_are_there(run, tmp_path):
  writer = log.Writer(tmp_path, None, tensorboard=False)
  event = events.Grids(run, writer)
  assert not event.is_done(0)
  run.record()
  event(run.init())
  assert event.is_done(0) and not event.is_done(1)
  with Image.open(tmp_path / 'samples' / '00000000_raw.png') as image:
    assert image.height == 3 * 33 - 1  # Rows of the first, a middle, the last.
    assert labelled_grid.names_in(image) == ['disc', 'cross', 'arrow']
  (tmp_path / 'samples' / '00000000_ema.png').unlink()
  assert not event.is_done(0)
  writer.close()


def test_grids_tell_how_different_the_images_of_a_class_are(run, tmp_path):
  """Once, however often a kill comes between the row and the files."""
  for _ in range(2):
    writer = log.Writer(tmp_path, 0, tensorboard=False)
    events.Grids(run, writer)(run.init())
    writer.close()
  [line] = (tmp_path / 'metrics.jsonl').read_text().splitlines()
  row = json.loads(line)
  with Image.open(tmp_path / 'samples' / '00000000_raw.png') as image:
    sheet = np.asarray(image, np.float64)[:, -65:]  # Beside the names.
  # Two images a class: here their difference is seen directly.
  left, right = sheet[:, :32], sheet[:, 33:]
  rows = np.arange(3 * 33 - 1) % 33 < 32  # Between them are gaps.
  squares = np.square(left - right)[rows]
  np.testing.assert_allclose(
    row['sample/diversity/raw'], np.sqrt(squares.mean())
  )
  # The average has not yet left the weights.
  assert row['sample/diversity/ema'] == row['sample/diversity/raw']


def test_one_image_a_class_has_no_difference(tmp_path):
  run = tiny.opened(tmp_path, sample__images_per_class=1)
  writer = log.Writer(tmp_path, None, tensorboard=False)
  events.Grids(run, writer)(run.init())
  assert (tmp_path / 'metrics.jsonl').read_text() == ''
  writer.close()
  run.checkpointer.close()


def test_a_process_that_writes_nothing_makes_its_part_of_grids(run, tmp_path):
  events.Grids(run, None)(run.init())
  assert list((tmp_path / 'samples').iterdir()) == []


class _Clock:
  """A clock that says how many of 100 seconds evaluations have had."""

  def __init__(self, secs):
    self._secs = secs

  def secs(self, section):
    assert section == 'eval'
    return self._secs

  def elapsed_secs(self):
    return 100.0


@pytest.mark.parametrize(
  ('secs', 'step', 'scored', 'first_secs'),
  [
    (0.0, 2, True, 0.0),
    (30.0, 2, False, 0.0),
    (20.0, 2, True, 0.0),
    (90.0, 4, True, 0.0),
    (30.0, 2, True, 20.0),  # The first may have a share of all 200 seconds,
    (60.0, 2, False, 60.0),  # not more.
  ],
)
def test_evaluations_keep_to_their_share_of_the_time(
  tmp_path, secs, step, scored, first_secs
):
  """But the last step is always scored."""
  said = []
  run = tiny.opened(
    tmp_path, num_steps=4, eval__every_steps=2, eval__max_time_share=0.2
  )
  board = scoreboard.Scoreboard(run, 0, said.append)
  event = events.Evaluation(run, board, None, _Clock(secs), said.append)
  event._first_secs = first_secs
  assert not event.is_done(step)
  state = run.init()
  event(state.replace(step=state.step + step))
  assert event.is_done(step) == scored
  text = f'step {step}: no evaluation, they have had 30.0% of the time'
  assert any(text in line for line in said) == (not scored)
  if scored:  # A kill may have come right after the record.
    shutil.rmtree(tmp_path / 'scores')
    event._writer = log.Writer(tmp_path, step, tensorboard=False)
    assert event.is_done(step)
    made = {path.name for path in (tmp_path / 'scores').iterdir()}
    assert made == {'scores.md'}  # One score is no plot.
    assert '"eval/fid_random/' in (tmp_path / 'metrics.jsonl').read_text()
    event._writer.close()
  board.close()
  run.checkpointer.close()
