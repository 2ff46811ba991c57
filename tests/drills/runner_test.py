"""Drills of a stand-in for the trainer, which is right, or has a defect."""

import json
import re
import sys

import pytest

from sagan_jax import errors
from sagan_jax.drills import cases, drill, evidence, kills, runner
from sagan_jax.drills.outcomes import Failed, Skipped
from tests.support import drilled


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
  """Its checkpoints are files that hold a number."""

  def states(workdir):
    files = {int(p.name): p for p in (workdir / 'checkpoints').iterdir()}
    return {'checkpoints/last': files[max(files)].read_text()}

  monkeypatch.setattr(evidence, 'states', states)


def make(tmp_path, defect='none', **settings):
  trainer = (sys.executable, '-S', drilled.__file__, defect)
  return drill.Drill(
    tmp_path / 'drill',
    'quickstart',
    {'num_steps': str(drilled.NUM_STEPS)},
    trainer=trainer,
    faulty=trainer,
    **settings,
  )


def disturb(one, defect):
  """Takes the trainer with a defect for what disturbs."""
  one.undisturbed  # noqa: B018 - made now, by the trainer without.
  one._commands = make(one.workdir.parent, defect)._commands
  return one


def stop_once(trial):
  """A case: SIGTERM after a row, and the same command again."""
  child = trial.start()
  assert child.wait_for_row(5)
  child.send(15)
  child.end(75, told='which is saved')
  trial.finish()
  return 'stopped once'


def run(one, monkeypatch, **tried):
  monkeypatch.setattr(cases, 'CASES', tried)
  lines = []
  return runner.run(one, list(tried), 2, lines.append), lines


def test_what_keeps_its_promises_passes(tmp_path, monkeypatch):
  one = make(tmp_path, kills=2)
  assert (
    one.undisturbed.count() == '12 rows, 3 pictures, 0 evaluations, 1 states'
  )
  results, lines = run(one, monkeypatch, kill=kills.at_random, stop=stop_once)
  assert [(r.case, r.outcome) for r in results] == [
    ('kill', 'passed'),
    ('stop', 'passed'),
  ], lines
  assert re.fullmatch(r'2 kills in [12] runs', results[0].text)
  assert not (one.workdir / 'kill').exists()
  assert {line.split()[0] for line in lines} == {'kill', 'stop'}


@pytest.mark.parametrize(
  ('defect', 'told'),
  [
    ('rows', r'rows: \d+ instead of 12, [56] lost, 0 others'),
    ('pictures', r'files: samples/00000008_raw.png'),
    ('state', 'states: checkpoints/last'),
    ('deaf', r'ended with 143 \(killed by SIGTERM\), not 75; it said nothing'),
    ('noisy', 'showed a traceback; .*stop-2.log'),
  ],
)
def test_what_breaks_one_fails(tmp_path, monkeypatch, defect, told):
  one = disturb(make(tmp_path), defect)
  (result,), _ = run(one, monkeypatch, stop=stop_once)
  assert result.outcome == 'FAILED'
  assert re.search(told, result.text), result.text
  assert (one.workdir / 'stop' / 'run').is_dir()  # To be looked at.
  assert 'which is saved' in (
    one.workdir / 'logs' / 'stop-1.log'
  ).read_text() or (defect == 'deaf')


def test_a_config_whose_runs_differ_cannot_be_drilled(tmp_path):
  with pytest.raises(errors.UserError, match='two undisturbed runs .* differ'):
    make(tmp_path, 'differs').undisturbed  # noqa: B018


def test_a_config_that_does_not_train_cannot_be_drilled(tmp_path):
  one = make(tmp_path)
  one._commands = ((sys.executable, '-c', 'raise SystemExit("no data")'),) * 2
  with pytest.raises(errors.UserError, match='does not train .*: ended with 1'):
    one.undisturbed  # noqa: B018


def test_what_cannot_be_tried_is_skipped_with_its_reason(tmp_path, monkeypatch):
  def skip(_):
    raise Skipped('no root here')

  results, lines = run(make(tmp_path), monkeypatch, skip=skip)
  assert results[0].outcome == 'skipped' and lines[0].endswith('no root here')
  assert re.match('1 skipped in 4s, ', runner.summary(results, 3.2))
  path = tmp_path / 'card.json'
  runner.save(path, {'config': 'x'}, results, 3.2)
  card = json.loads(path.read_text())
  assert card['passed'] and card['config'] == 'x'
  assert card['cases'][0]['text'] == 'no root here'


def test_nothing_is_left_when_a_drill_is_ended(tmp_path):
  one = make(tmp_path)
  child = one.start('x', tmp_path / 'run')
  assert child.wait_for_row(1)
  one.kill_all()
  assert not child.runs()
  with pytest.raises(Failed, match='was ended'):
    one.start('y', tmp_path / 'run')


def test_a_process_that_does_not_end_is_killed(tmp_path):
  child = make(tmp_path).start('x', tmp_path / 'run')
  with pytest.raises(Failed, match='still there after 0 s'):
    child.end(0, within=0.01)
  assert not child.runs()
  assert not child.wait_for_row(100)
