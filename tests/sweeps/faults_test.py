"""Tests of runs and sweeps that fail, are stopped, or are killed."""

import contextlib
import json
import os
import random
import signal
import time

import pytest

from sagan_jax.run import stop
from sagan_jax.sweeps import lock, results
from tests.support import commands, sweeps
from tests.support.sweeps import NAMES

pytestmark = pytest.mark.slow


def test_a_failing_run_is_shown_and_ends_no_other(tmp_path, capfd, monkeypatch):
  exits = {NAMES[0]: [2], NAMES[1]: [1], NAMES[2]: [77]}
  monkeypatch.setenv('FAKE_EXITS', json.dumps(exits))
  assert sweeps.run(tmp_path) == 1
  text = capfd.readouterr().out
  for name, codes in exits.items():
    why = f'code {codes[0]}: error: the disk of step 10 is full'
    assert f'| {name} | failed | 10/20 |' in text
    assert f'{name}: {why}; see {tmp_path / name / "output.log"}' in text
    assert f'- {name}: {why}' in (tmp_path / 'sweep.md').read_text()
    assert len(sweeps.history(tmp_path, name)) == 1
  assert f'| {NAMES[3]} | finished | 20/20 |' in text
  # Repeated, it is tried again.
  assert sweeps.run(tmp_path) == 0
  assert sweeps.history(tmp_path, NAMES[0]) == [(0, 10, 2), (10, 20, 0)]
  assert 'failed' not in (tmp_path / 'sweep.md').read_text()


def test_stopped_hung_and_killed_runs_go_on(tmp_path, monkeypatch, capfd):
  exits = {NAMES[0]: [75, 76], NAMES[1]: [-9], NAMES[2]: [75] * 9}
  monkeypatch.setenv('FAKE_EXITS', json.dumps(exits))
  assert sweeps.run(tmp_path, '--restarts=2') == 75
  text = capfd.readouterr().out
  assert sweeps.history(tmp_path, NAMES[0]) == [
    (0, 10, 75),
    (10, 15, 76),
    (15, 20, 0),
  ]
  assert sweeps.history(tmp_path, NAMES[1]) == [(0, 10, -9), (10, 20, 0)]
  assert len(sweeps.history(tmp_path, NAMES[2])) == 3
  assert f'{NAMES[1]}: stopped (killed by SIGKILL' in text
  assert f'{NAMES[2]}: code 75 after 2 restarts' in text
  assert f'| {NAMES[2]} | stopped | 17/20 |' in text


def test_a_run_that_is_killed_again_and_again_has_failed(tmp_path, monkeypatch):
  monkeypatch.setenv('FAKE_EXITS', json.dumps({NAMES[1]: [-9] * 9}))
  assert sweeps.run(tmp_path, '--restarts=1') == 1
  table = (tmp_path / 'sweep.md').read_text()
  assert f'- {NAMES[1]}: killed by SIGKILL: error: the disk' in table


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_stop_stops_the_runs_which_save(tmp_path, number):
  process = sweeps.start(tmp_path, FAKE_STEP_SECS='0.1')
  sweeps.wait_until(lambda: sweeps.step_of(tmp_path, NAMES[1]) >= 2, process)
  process.send_signal(number)
  output = sweeps.output_of(process)
  assert process.returncode == stop.EXIT_CODE, output
  assert 'stopped 2 runs; run the same command again' in output
  for name in NAMES[:2]:
    [(first, last, code)] = sweeps.history(tmp_path, name)
    assert (first, code) == (0, 75)
    assert (tmp_path / name / 'checkpoints' / f'{last}').is_dir()
  assert sweeps.history(tmp_path, NAMES[2]) == []
  assert sweeps.run(tmp_path) == 0
  first, second = sweeps.history(tmp_path, NAMES[0])
  assert second == (first[1], 20, 0)


@pytest.mark.parametrize('seed', range(3))
def test_killed_and_repeated_it_does_only_what_is_missing(tmp_path, seed):
  rng = random.Random(seed)
  process = sweeps.start(tmp_path, FAKE_STEP_SECS='0.02')
  name, step = NAMES[rng.randrange(4)], rng.randrange(1, 20)
  sweeps.wait_until(lambda: sweeps.step_of(tmp_path, name) >= step, process)
  sweeps.killed(process)
  before = {n: sweeps.history(tmp_path, n) for n in NAMES}
  assert sweeps.run(tmp_path) == 0
  for name in NAMES:
    after = sweeps.history(tmp_path, name)
    # The processes of the killed sweep were waited for, not doubled: every
    # step was trained once.
    assert after == [(0, 20, 0)], (before, after)
    steps = [row['step'] for row in commands.rows(tmp_path / name)]
    assert steps == list(range(1, 21))


@pytest.mark.parametrize('seed', range(2))
def test_a_machine_that_died_goes_on(tmp_path, seed):
  rng = random.Random(seed)
  process = sweeps.start(tmp_path, FAKE_STEP_SECS='0.03')
  name, step = NAMES[rng.randrange(4)], rng.randrange(6, 19)
  sweeps.wait_until(lambda: sweeps.step_of(tmp_path, name) >= step, process)
  sweeps.killed(process)
  running = [n for n in NAMES if lock.is_held(tmp_path / n)]
  for each in running:
    with contextlib.suppress(ProcessLookupError):  # It was at its end.
      os.kill(lock.holder(tmp_path / each)[0], signal.SIGKILL)
  while any(lock.is_held(tmp_path / n) for n in NAMES):
    time.sleep(0.01)
  before = {n: sweeps.history(tmp_path, n) for n in NAMES}
  saved = {n: max(results.checkpoints(tmp_path / n), default=0) for n in NAMES}
  assert sweeps.run(tmp_path) == 0
  for each in NAMES:
    new = [] if before[each] else [(saved[each], 20, 0)]
    assert sweeps.history(tmp_path, each) == before[each] + new


def test_a_repeated_sweep_stops_what_the_killed_one_left(tmp_path):
  process = sweeps.start(tmp_path, FAKE_STEP_SECS='0.5')
  sweeps.wait_until(lambda: sweeps.step_of(tmp_path, NAMES[1]) >= 1, process)
  sweeps.killed(process)
  again = sweeps.start(tmp_path, FAKE_STEP_SECS='0.5')
  time.sleep(0.1)
  while 'runs already' not in (line := again.stdout.readline()):
    assert line, again.wait()
  again.send_signal(signal.SIGTERM)
  sweeps.output_of(again)
  assert again.returncode == stop.EXIT_CODE
  assert [code for *_, code in sweeps.history(tmp_path, NAMES[0])] == [75]
