"""What is told of a training that fails, while it trains."""

import json
import types

import numpy as np
import pytest

from sagan_jax import errors
from sagan_jax.run import alarms
from tests.support import tiny
from tests.verdicts import verdicts_test as known

LOG_STEPS = 5  # In the files of rows.
FAILED = sorted(set(known.FILES) - set(known.HEALTHY))


class Run:
  """As much of a run as alarms need; its log grows by hand."""

  def __init__(self, path, on_collapse='warn', num_steps=10**6):
    self.workdir = path
    self.config = types.SimpleNamespace(
      log=types.SimpleNamespace(every_steps=LOG_STEPS),
      on_collapse=on_collapse,
      num_steps=num_steps,
    )
    self.said, self.saved = [], []
    checkpoint = types.SimpleNamespace(
      finish=lambda state: self.saved.append(state.step)
    )
    self.event = alarms.Alarms(self, checkpoint, True, self.said.append)

  def train(self, rows, last=np.inf):
    """Goes through rows of {name: array}; the event is called when due."""
    steps = np.unique(rows['step'][rows['step'] <= last]).astype(int)
    with (self.workdir / 'metrics.jsonl').open('a') as file:
      for step in steps:
        for i in np.flatnonzero(rows['step'] == step):
          row = {k: v[i] for k, v in rows.items() if not np.isnan(v[i])}
          print(json.dumps(row | {'step': int(step)}), file=file, flush=True)
        if step % self.event.every_steps == 0:
          self.event(types.SimpleNamespace(step=step))


@pytest.mark.parametrize('name', known.HEALTHY)
def test_a_healthy_run_hears_nothing(tmp_path, name):
  run = Run(tmp_path, 'stop')
  run.train(known.read(name))
  assert run.said == [] and run.saved == []


@pytest.mark.parametrize('name', FAILED)
def test_a_failing_run_hears_it_once_before_its_score_has_doubled(
  tmp_path, name
):
  rows = known.read(name)
  scores = rows['eval/fid_random/ema_standing']
  steps, scores = (x[np.isfinite(scores)] for x in (rows['step'], scores))
  doubled = steps[scores >= 2 * np.minimum.accumulate(scores)]
  run = Run(tmp_path)
  run.train(rows, (doubled[0] - 1) if len(doubled) else steps[-1])
  title, _ = known.failure(name)
  told = [line for line in run.said if title in line]
  assert told and len(told) == len({line.split(': ')[1] for line in told})


@pytest.mark.parametrize('seed', range(3))
def test_a_failed_run_is_stopped_where_it_is_saved(tmp_path, seed):
  run = Run(tmp_path, 'stop')
  match = r'after step \d+, which is saved, as .*stop asks for. alarm: '
  with pytest.raises(errors.UserError, match=match) as error:
    run.train(known.read(f'rate100_{seed}'))
  assert f'after step {run.saved[0]},' in str(error.value)
  assert run.saved[0] <= known.FAILED['rate100'][1]
  (tmp_path / 'best').mkdir()
  with pytest.raises(errors.UserError, match=f'one scored in {tmp_path}/best'):
    run.event(types.SimpleNamespace(step=300))


def test_lesser_trouble_stops_nothing(tmp_path):
  run = Run(tmp_path, 'stop')
  run.train(known.read('d_wins_0'))
  assert 'warning: The discriminator is ahead' in run.said[0]
  assert run.saved == []


def test_the_last_step_is_not_stopped(tmp_path):
  run = Run(tmp_path, 'stop', num_steps=200)
  rows = known.read('rate100_0')
  run.train({k: v[rows['step'] == 200] for k, v in rows.items()})


def test_what_comes_back_is_told_when_the_steps_have_doubled(tmp_path):
  watch = alarms.Watch(tmp_path / 'no log')
  assert watch.look() == [] or watch.look()[0].level == 'fine'
  bad = types.SimpleNamespace(title='a', level='warning')
  worse = types.SimpleNamespace(title='a', level='alarm')
  told = [
    bool(watch.news(found, step))
    for step, found in [
      (100, [bad]),
      (110, [bad]),
      (120, []),
      (130, [bad]),
      (140, [worse]),
      (270, [worse]),
      (290, [worse]),
      (300, []),
      (310, [worse]),
    ]
  ]
  assert told == [True, False, False, False, True, False, False, False, True]


def test_a_run_that_is_made_to_collapse(tmp_path, capsys):
  """Rates so high that all images become the same."""
  changes = {
    'num_steps': 40,
    'sample__every_steps': 10,
    'optim__generator__learning_rate': 10.0,
  }
  with tiny.small_networks():
    with pytest.raises(errors.UserError, match='stopped after step 10, which'):
      tiny.run(tmp_path, on_collapse='stop', **changes)
  assert (tmp_path / 'checkpoints' / '10').is_dir()
  out = capsys.readouterr().out
  assert f'\nstep 10: alarm: {known.COLLAPSING}. Two images' in out
