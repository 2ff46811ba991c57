"""A selection of the cases of a drill, on the real networks of the tests."""

import shutil
import sys

import pytest

from sagan_jax.drills import damage, drill, evidence, stops
from sagan_jax.drills.outcomes import Failed
from tests.support import commands

pytestmark = pytest.mark.slow


def make(tmp_path, monkeypatch, **settings):
  """A drill whose undisturbed run is that of the session."""
  for name, value in commands.environment().items():
    monkeypatch.setenv(name, value)
  overrides = {k: str(v) for k, v in commands.CHANGES.items()}
  one = drill.Drill(tmp_path, 'quickstart', overrides, **settings)
  workdir, _ = commands.undisturbed()
  shutil.copytree(workdir, tmp_path / 'undisturbed')
  one.undisturbed = evidence.of(workdir)
  one.secs = commands.TIMEOUT_SECS / 10
  return one


def test_kill_9_and_all_signals_lose_nothing(tmp_path, monkeypatch):
  """Each in the run that goes on after the one before."""
  one = make(tmp_path, monkeypatch)
  text = stops.signals(drill.Trial(one, 'signals'))
  for told in 'SIGKILL: 137', 'SIGTERM: 75', 'during a save: 143', 'SIGINT: 75':
    assert told in text


def test_a_trainer_that_forgets_its_rows_does_not_pass(tmp_path, monkeypatch):
  """Its states and pictures are right."""
  trainer = (sys.executable, '-m', 'tests.support.forgetful')
  one = make(tmp_path, monkeypatch, trainer=trainer)
  with pytest.raises(Failed, match=r'undisturbed run: rows: \d+ instead of'):
    damage.stray(drill.Trial(one, 'stray'))
