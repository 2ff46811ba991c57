"""What is due at a step, and whether it is done already."""

import numpy as np
import pytest
from PIL import Image

from sagan_jax import errors
from sagan_jax.pictures import labelled_grid
from sagan_jax.run import events, log, scoreboard
from tests.support import compilation, tiny


@pytest.fixture(autouse=True, scope='module')
def small_networks():
  with tiny.small_networks(), compilation.cheap_compilation():
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


def test_a_process_that_writes_nothing_makes_its_part_of_grids(run, tmp_path):
  events.Grids(run, None)(run.init())
  assert list((tmp_path / 'samples').iterdir()) == []


class _Clock:
  """A clock that says what share evaluations have had."""

  def __init__(self, share):
    self._share = share

  def shares(self, sections):
    return dict.fromkeys(sections, self._share)


@pytest.mark.parametrize(
  ('share', 'step', 'scored'),
  [(0.0, 2, True), (0.3, 2, False), (0.2, 2, True), (0.9, 4, True)],
)
def test_evaluations_keep_to_their_share_of_the_time(
  tmp_path, share, step, scored
):
  """But the last step is always scored."""
  said = []
  run = tiny.opened(
    tmp_path, num_steps=4, eval__every_steps=2, eval__max_time_share=0.2
  )
  board = scoreboard.Scoreboard(run, 0, said.append)
  event = events.Evaluation(run, board, None, _Clock(share), said.append)
  assert not event.is_done(step)
  state = run.init()
  event(state.replace(step=state.step + step))
  assert event.is_done(step) == scored
  text = f'step {step}: no evaluation, they have had 30.0% of the time'
  assert any(text in line for line in said) == (not scored)
  board.close()
  run.checkpointer.close()
