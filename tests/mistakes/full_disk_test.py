"""A disk that is full for a while: training goes on, and nothing is lost."""

import json
import time

import pytest

from sagan_jax.run import room
from tests.mistakes import disk_test
from tests.mistakes.disk_test import after, disk, fill, small_networks
from tests.support import mistakes

__all__ = ['disk', 'small_networks']  # Fixtures.

pytestmark = pytest.mark.slow

CHANGES = {
  'num_steps': 12,
  'checkpoint__every_steps': 3,
  'sample__every_steps': 2,
  'eval__every_steps': 4,
}


@pytest.fixture(autouse=True)
def looks_often(monkeypatch):
  monkeypatch.setattr(room, '_LOOK_SECS', 0.05)


def _run(workdir, **changes):
  cache = str(workdir.parents[1] / 'cache')
  argv = mistakes.train(
    workdir, **CHANGES | {'eval__cache_dir': cache} | changes
  )
  return disk_test._run(*argv)


def _told(workdir):
  """All that a run has told, but for times; and its last states."""
  rows = [
    {k: v for k, v in json.loads(line).items() if not k.startswith('perf/')}
    for line in (workdir / 'metrics.jsonl').read_text().splitlines()
  ]
  records = sorted(
    (r['protocol']['step'], sorted(r['scores'].items()))
    for r in map(
      json.loads, (workdir / 'evaluations.jsonl').read_text().splitlines()
    )
  )
  pictures = mistakes.contents(workdir / 'samples')
  last = json.loads((workdir / 'checkpoints/12/meta/metadata').read_text())
  return rows, records, pictures, last


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory, small_networks):
  del small_networks
  workdir = tmp_path_factory.mktemp('disk') / 'a' / 'run'
  assert _run(workdir) == 0
  return _told(workdir)


@pytest.mark.parametrize(('begin', 'end'), [(2, 7), (1, 11), (7, None)])
def test_a_run_outlives_a_full_disk(
  disk, capsys, monkeypatch, undisturbed, begin, end
):
  """Where `end` is None, there is room again after the last step only."""
  workdir = disk / 'run'
  after(monkeypatch, begin, lambda: fill(disk))
  if end is None:
    waited = room.Room.wait

    def wait(self):
      (disk / 'filler').unlink(missing_ok=True)
      waited(self)

    monkeypatch.setattr(room.Room, 'wait', wait)
  else:
    after(monkeypatch, end, (disk / 'filler').unlink)
  assert _run(workdir) == 0
  shown = capsys.readouterr().out
  assert shown.count('training goes on without saving') == 1, shown
  assert f'{workdir} needs ' in shown and ' are free' in shown
  assert 'all is written that a full disk had refused' in shown
  assert _told(workdir) == undisturbed


def test_a_disk_that_stays_full_ends_the_run(
  disk, capsys, monkeypatch, undisturbed
):
  """Which goes on from the last checkpoint when there is room again."""
  workdir = disk / 'run'

  def fill_after_step_3():
    while not (workdir / 'checkpoints' / '3').exists():
      time.sleep(0.01)
    fill(disk)

  with monkeypatch.context() as patch:
    after(patch, 4, fill_after_step_3)
    began = time.monotonic()
    assert _run(workdir, checkpoint__full_disk_secs=1) == 2
  assert time.monotonic() - began < disk_test.SECS
  captured = capsys.readouterr()
  first = captured.err.splitlines()[0]
  assert first.startswith(f'error: the disk of {workdir} has been full for ')
  assert f'{workdir} needs ' in first and ' are free' in first
  assert '--config.checkpoint.full_disk_secs' in first
  assert 'step 4: fid' in captured.out  # The scores are told all the same.
  (disk / 'filler').unlink()
  assert _run(workdir) == 0
  assert 'resuming after step 3' in capsys.readouterr().out
  assert _told(workdir) == undisturbed
