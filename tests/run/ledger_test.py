"""Where the time of a run goes, over restarts."""

import json
import time

import pytest

from sagan_jax import errors
from sagan_jax.run import ledger
from tests.support import tiny


def write(path, *rows):
  """Rows (step, from, to, start or None, {kind: seconds})."""
  lines = []
  for step, since, to, start, secs in rows:
    row = {'step': step, 'from': since, 'to': to, **secs}
    lines.append(json.dumps(row if start is None else row | {'start': start}))
  (path / ledger.FILE).write_text('\n'.join(lines) + '\n')


def known(path):
  """What is not zero."""
  return {k: v for k, v in ledger.read(path).items() if v}


def test_steps_that_a_restart_makes_anew_are_lost(tmp_path):
  """Saved at 10, killed after 14, down for five seconds; killed again."""
  write(
    tmp_path,
    (10, 0.0, 20.0, 0, {'compile': 8.0, 'steps': 10.0, 'other': 2.0}),
    (14, 20.0, 25.0, None, {'steps': 4.0, 'data': 1.0}),
    (12, 30.0, 33.0, 10, {'other': 1.0, 'steps': 2.0}),
    (20, 40.0, 49.0, 10, {'steps': 9.0}),
  )
  assert known(tmp_path) == {
    'steps': 19.0,
    'compile': 8.0,
    'other': 2.0,
    'lost': 8.0,
    'down': 12.0,
  }
  assert sum(ledger.read(tmp_path).values()) == 49.0
  assert ledger.line(ledger.read(tmp_path)) == (
    '49s: steps 38.8%, compiling 16.3%, start and other 4.1%, steps lost and '
    'repeated 16.3%, down 24.5%'
  )


def test_what_is_damaged_counts_as_down(tmp_path):
  write(
    tmp_path,
    (1, 0.0, 1.0, 0, {'steps': 1.0}),
    (2, 1.0, 2.0, None, {'steps': 1.0}),
    (3, 2.0, 3.0, None, {'steps': 1.0}),
  )
  path = tmp_path / ledger.FILE
  first, _, last = path.read_text().splitlines()
  path.write_text('\n'.join([first, '{"step": 2, "fr', '[]', last]) + '\n')
  assert known(tmp_path) == {'steps': 2.0, 'down': 1.0}


def test_there_may_be_none(tmp_path):
  assert ledger.read(tmp_path) is None
  (tmp_path / ledger.FILE).write_text('no row\n')
  assert ledger.read(tmp_path) is None
  said = []
  ledger.tell(tmp_path, said.append)
  assert said == []


def test_a_row_goes_on_after_one_that_was_cut_short(tmp_path):
  (tmp_path / ledger.FILE).write_text('{"step": 1, "fr')
  one = ledger.Ledger(tmp_path, writes=True)
  one.open(0)
  one.flush()
  lines = (tmp_path / ledger.FILE).read_text().splitlines()
  assert len(lines) == 2 and json.loads(lines[1])['start'] == 0


def test_a_disk_that_refuses_a_row_gets_its_seconds_later(
  tmp_path, monkeypatch
):
  one = ledger.Ledger(tmp_path, writes=True)
  one.open(0)
  with monkeypatch.context() as patch:

    def refuse(_):
      raise OSError(28, 'No space left on device')

    patch.setattr(one, '_append', refuse)
    one.phase('step', 1)
    time.sleep(0.02)
    one.flush()
  assert ledger.read(tmp_path) is None
  one.flush()
  assert ledger.read(tmp_path)['steps'] >= 0.02


def test_the_rows_are_kept_in_a_bucket(tmp_path, monkeypatch):
  """Where nothing can be appended to."""
  monkeypatch.setattr(ledger.files, 'is_remote', lambda _: True)
  for start in (0, 3):
    one = ledger.Ledger(tmp_path, writes=True)
    one.open(start)
    one.flush()
    one.flush()
  lines = (tmp_path / ledger.FILE).read_text().splitlines()
  assert [json.loads(line).get('start') for line in lines] == [0, None, 3, None]


def test_a_run_accounts_for_all_its_time(tmp_path):
  """Stopped in between; a finished run that is started again adds nothing."""
  with tiny.small_networks():
    began = time.time()
    tiny.run(tmp_path, num_steps=4, checkpoint__every_steps=2)
    one = tiny.trainer(tmp_path, num_steps=9, checkpoint__every_steps=5)
    next_batch = one.loop._next

    def fail_at_the_eighth(batches, state):
      if int(state.step) == 7:
        time.sleep(0.2)
        raise errors.UserError('no more')
      return next_batch(batches, state)

    one.loop._next = fail_at_the_eighth
    with pytest.raises(errors.UserError, match='no more'):
      one.train()
    time.sleep(0.3)
    tiny.run(tmp_path, num_steps=9)
    secs, wall = ledger.read(tmp_path), time.time() - began
    content = (tmp_path / ledger.FILE).read_bytes()
    tiny.run(tmp_path, num_steps=9)
  assert (tmp_path / ledger.FILE).read_bytes() == content
  # The end of a process, and the opening of the directory, are not in it.
  assert sum(secs.values()) == pytest.approx(wall, rel=0.01, abs=0.3)
  assert 0.2 <= secs['lost'] < wall / 2
  assert 0.3 <= secs['down'] < 2
  assert min(secs[kind] for kind in ('steps', 'compile', 'checkpoint')) > 0
  page = (tmp_path / 'report.html').read_text()
  assert 'steps lost and repeated' in page and 'class="time"' in page
