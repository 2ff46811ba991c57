"""What a run tells at its beginning and at its end."""

import pytest

from sagan_jax.run import reporting, scoreboard, summary
from sagan_jax.verdicts import verdicts
from tests.support import tiny


@pytest.fixture(autouse=True, scope='module')
def small_networks():
  with tiny.small_networks():
    yield


@pytest.fixture
def run(tmp_path):
  run = tiny.opened(tmp_path, num_steps=4000, eval__every_steps=2)
  yield run
  run.checkpointer.close()


def test_the_beginning_tells_what_is_trained_on_what(run):
  state = run.init()
  lines = summary.beginning(run, state)
  assert 'generator: 6,252 parameters, 1 normalised weights' in lines
  assert 'discriminator: 529 parameters, 2 normalised weights' in lines
  assert lines[-2] == 'data: shapes, 64 images, 10 classes'
  assert lines[-1] == f'mesh: 1 x cpu, 1 processes; workdir: {run.workdir}'
  later = summary.beginning(run, state.replace(step=state.step + 7))
  assert later == [*lines, 'resuming after step 7']


def test_the_end_tells_where_the_images_are_and_what_comes_next(run):
  assert summary.end(run, None) == [
    f'finished: 4,000 steps in {run.workdir}',
    f'  images: {run.workdir}/samples/00004000_ema.png',
    '  next: score it with python -m sagan_jax.evaluate '
    f'--workdir={run.workdir}',
  ]


def test_the_end_tells_the_verdicts_and_where_the_page_is(run):
  found = [
    verdicts.Verdict('alarm', 'It is ahead', 'Seen: 1.', 'Try less.', 9),
    verdicts.Verdict('fine', 'Gates', 'They move.', '', 9),
  ]
  page = run.workdir / 'report.html'
  lines = summary.end(run, None, reporting.Made(page, found))
  assert lines[2:5] == [
    '  alarm: It is ahead. Seen: 1. Try less.',
    '  fine: Gates. They move.',
    f'  report: {page}',
  ]
  assert lines[:2] + lines[5:] == summary.end(run, None)


def test_the_end_tells_the_scores_and_the_best(run):
  board = scoreboard.Scoreboard(run, 0, lambda _: None)
  assert summary.end(run, board) == summary.end(run, None)  # None is scored.
  board.of_state(run.init())
  lines = summary.end(run, board)
  value = board.best().value
  assert lines[2:] == [
    f'  scores: {run.workdir}/scores/scores.md',
    f'  best: fid_random {value:.4g} at step 0, kept in {run.workdir}/best',
    '  next: score more of it with python -m sagan_jax.evaluate '
    f'--workdir={run.workdir} --step=best',
  ]
  board.close()
