"""The command that drills: what it refuses, and what it does in order."""

import json

import pytest

from sagan_jax import drill, errors
from sagan_jax.drills import cases, runner
from sagan_jax.drills import drill as drill_lib
from sagan_jax.drills.evidence import Evidence
from sagan_jax.drills.outcomes import Failed


@pytest.fixture(autouse=True)
def nothing_trained(monkeypatch):
  """Takes the undisturbed run for done."""
  wanted = Evidence({}, [], [], {})
  monkeypatch.setattr(drill_lib.Drill, 'undisturbed', wanted)


@pytest.mark.parametrize(
  ('flags', 'told'),
  [
    ([], 'no directory was given; set --workdir'),
    (['--workdir=DIR', '--cases=kill,x'], "no case 'x'; set --cases to .*kill"),
    (['--workdir=DIR', '--kills=0'], "--kills: '0' is not an integer from 1"),
    (['--workdir=DIR', '--config=quickstarr'], "no config 'quickstarr'"),
    (['--workdir=DIR', '--config.seeed=1'], "unknown config key 'seeed'"),
    (['--workdir=DIR', '--case=kill'], 'unknown flag --case; did you mean'),
    (['--workdir=gs://x/y'], 'gs://x/y is not on this machine'),
    (['--workdir=TAKEN'], 'TAKEN holds something else than an earlier drill'),
    (['--workdir=FILE'], 'FILE holds something else than an earlier drill'),
  ],
)
def test_mistakes_are_refused_before_anything_starts(tmp_path, flags, told):
  (tmp_path / 'TAKEN').mkdir()
  (tmp_path / 'TAKEN' / 'config.json').touch()
  (tmp_path / 'FILE').touch()
  before = sorted(tmp_path.rglob('*'))
  flags = [
    f'--workdir={tmp_path}/{x[10:]}' if x[10:].isupper() else x for x in flags
  ]
  with pytest.raises(errors.UserError, match=told):
    drill.main(flags)
  assert sorted(tmp_path.rglob('*')) == before


def test_a_card_and_its_exit_code(tmp_path, monkeypatch, capsys):
  def fails(trial):
    raise Failed(f'lost {trial.draw.randrange(100)} rows')

  tried = {'good': lambda _: 'all of it', 'bad': fails}
  monkeypatch.setattr(cases, 'CASES', tried)
  place, card = tmp_path / 'drill', tmp_path / 'card.json'
  flags = [f'--workdir={place}', f'--json={card}', '--seed=3', '--jobs=2']
  assert drill.main([*flags, '--cases=good']) == 0
  assert '1 passed in ' in capsys.readouterr().out
  for name in 'programs', 'undisturbed':
    (place / name).mkdir()
  assert drill.main(flags) == 1
  assert (place / 'programs').exists() and not (place / 'undisturbed').exists()
  out = capsys.readouterr().out
  assert f'drill of quickstart in {place}, seed 3' in out
  assert '1 passed, 1 FAILED in ' in out
  found = json.loads(card.read_text())
  kept = json.loads((place / 'drill.json').read_text())
  assert kept['cases'] == found['cases']
  assert (found['passed'], found['seed'], found['config']) == (
    False,
    3,
    'quickstart',
  )
  outcomes = {each['case']: each['outcome'] for each in found['cases']}
  assert outcomes == {'good': runner.PASSED, 'bad': runner.FAILED}
  lost = [each['text'] for each in found['cases']]
  drill.main(flags)  # The same seed draws the same.
  again = json.loads(card.read_text())['cases']
  assert [each['text'] for each in again] == lost
