"""Run directories whose files anybody may have written."""

import contextlib
import json
import pathlib

import hypothesis
import pytest
from etils import epath

from sagan_jax import sweep
from sagan_jax.config import schema
from sagan_jax.evaluation import protocol, tables
from sagan_jax.run import (
  alarms,
  directory,
  lease,
  ledger,
  reporting,
  restarts,
  rollbacks,
  rows,
)
from sagan_jax.run.run import Run
from sagan_jax.sweeps import attempt, lock, results
from tests.support import histories, hostile


@pytest.fixture(scope='module')
def template(tmp_path_factory):
  """A run, as a member of a sweep, with all files that there can be."""
  base = tmp_path_factory.mktemp('sweep') / 'sweep'
  run = histories.write(base / 'a')
  identity = {
    'name': 'folder',
    'classes': {'disc': [3, 'ab'], 'ring': [1, 'c']},
  }
  about = json.loads((run / 'data.json').read_text()) | {'identity': identity}
  contents = {
    'data.json': about,
    'origin.json': {'init': 'somewhere', 'step': 3},
    'rollbacks.json': [{'from': 5, 'to': 2}],
    'restarts.json': {'step': 2, 'starts': 1},
    'writer.json': lease._signed() | {'machine': 'another'},
    'attempt.json': attempt.Attempt(6, 1e9, 1, 5.0, 'it failed').__dict__,
    '.sweep.lock': {'pid': 1, 'host': 'h'},
  }
  for name, content in contents.items():
    (run / name).write_text(json.dumps(content))
  spent = [{'step': i, 'from': i, 'to': i + 1, 'steps': 1} for i in range(3)]
  spent[0]['start'] = 0
  (run / 'time.jsonl').write_text(''.join(json.dumps(x) + '\n' for x in spent))
  members = [
    {
      'name': 'a',
      'directory': 'a',
      'setting': 'x=1',
      'seed': 0,
      'num_steps': 6,
    }
  ]
  manifest = {'format': 1, 'config': 'quickstart', 'members': members}
  (base / 'sweep.json').write_text(json.dumps(manifest))
  return base


def _report(run):
  reporting.write(run, lambda _: None)


def _go_on(run):
  """Reads what a training reads that goes on at step 4."""
  said = []
  config = schema.saved(run / 'config.json')
  directory.check_same_config(run, config)
  kind = rows.LocalRows(run / 'metrics.jsonl', 4, said.append)
  kind.append(histories.row(5))
  kind.close()
  alarms.Watch(run / 'metrics.jsonl').look()
  again = rollbacks.Rollbacks(run, True)
  again.data_seed(3, 4)
  with contextlib.suppress(restarts.NoProgress), restarts.counted(run, 2):
    pass


def _own(run):
  """Reads what an evaluation, an export and `--workdir` alone read."""
  opened = Run.open(run)
  assert len(opened.class_names) == opened.config.num_classes
  directory.origin(run)
  source = type('Source', (), {'name': 'x', 'identity': {'name': 'folder'}})
  source.identity['classes'] = {
    'disc': [4, 'ab'],
    'ring': [1, 'c'],
    'x': [1, ''],
  }
  directory.data_changes(run, source)


def _records(run):
  """Reads and writes the records of evaluations, as a scoreboard does."""
  path = run / 'evaluations.jsonl'
  records = protocol.read(path, lambda _: None)
  protocol.append(path, records, [{'protocol': {'step': 9}, 'error': 'e'}])
  scored = [r for r in protocol.read(path) if 'scores' in r]
  if scored:
    tables.write(run / 'scores', scored)


def _lease(run):
  with lease.Lease(run, say=lambda _: None) as taken:
    taken.take()


def _spent(run):
  ledger.tell(run, lambda _: None)
  one = ledger.Ledger(run, writes=True)
  one.open(3)
  one.flush()


def _status(run):
  sweep.main([f'--output={run.parent}', '--status'])
  lock.holder(run)
  results.is_done(run, {'eval.every_steps': 2}, 6)


_RUN = ('config.json', 'data.json', 'metrics.jsonl', 'evaluations.jsonl')
READERS = {
  'report': (
    _report,
    [
      *_RUN,
      'time.jsonl',
      'samples/00000003_raw.png',
      'samples/00000006_ema.png',
    ],
  ),
  'go on': (
    _go_on,
    ['config.json', 'metrics.jsonl', 'rollbacks.json', 'restarts.json'],
  ),
  'open': (_own, ['config.json', 'data.json', 'origin.json']),
  'records': (_records, ['evaluations.jsonl']),
  'lease': (_lease, ['writer.json']),
  'ledger': (_spent, ['time.jsonl']),
  'sweep': (
    _status,
    [*_RUN, 'attempt.json', '../sweep.json', '.sweep.lock'],
  ),
}


@pytest.mark.filterwarnings('ignore:Glyph')  # Of letters that no font has.
@pytest.mark.parametrize('name', READERS)
@hostile.inputs
@hypothesis.given(data=hypothesis.strategies.data())
def test_files_of_a_run(template, place, name, data):
  read, names = READERS[name]
  base = hostile.fresh(template, place / 'sweep')
  run = epath.Path(base / 'a')
  of, damage = data.draw(hostile.mutated(names))
  damage(pathlib.Path(run / of).resolve())
  hypothesis.note(f'{of}: {_head(pathlib.Path(run / of))}')
  with hostile.guarded(base) as refusals:
    read(run)
  for text in refusals:
    assert str(base) in text, text


def _head(path):
  if path.is_symlink() or not path.is_file():
    return 'no file'
  with open(path, 'rb') as file:
    return file.read(400)


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  """Where copies are damaged; no lease is waited for meanwhile."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(lease, 'STALE_SECS', 0.0)
    patch.setattr(lease, '_SETTLE_SECS', {False: 0.0, True: 0.0})
    yield tmp_path_factory.mktemp('hostile')
