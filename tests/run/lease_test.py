"""One writer per run directory, whatever becomes of the one before it."""

import json
import os
import re
import subprocess
import sys
import threading
import time

import pytest

from sagan_jax import errors
from sagan_jax.cluster import processes
from sagan_jax.run import lease, stop
from tests.conftest import ROOT
from tests.support import gcs

# Another process that holds it: `hold` until it is told, `keep` does not give
# it back, `term` waits for a signal.
HOLDER = """
import os, sys, time
from sagan_jax.run import command, lease, stop
stop.install()
held = lease.Lease(sys.argv[1])
held.take()
print('held', flush=True)
if sys.argv[2] == 'keep':
  os._exit(0)
sys.stdin.read()
held.release()
"""


def _holder(workdir, what):
  process = subprocess.Popen(
    [sys.executable, '-c', HOLDER, workdir, what],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    env=os.environ | {'PYTHONPATH': str(ROOT)},
  )
  assert process.stdout.readline() == b'held\n'
  return process


def _write(workdir, **changes):
  """A lease of another process."""
  signed = {'token': 'x', 'host': 'h', 'since': 'noon'} | processes.identity()
  (workdir / lease.NAME).write_text(json.dumps(signed | changes))


@pytest.fixture(autouse=True)
def short(monkeypatch):
  """Shows signs of life often, and dies soon."""
  monkeypatch.setattr(lease, 'BEAT_SECS', 0.05)
  monkeypatch.setattr(lease, 'STALE_SECS', 0.4)
  monkeypatch.setattr(lease, '_LOOK_SECS', 0.05)
  monkeypatch.setattr(lease, '_SETTLE_SECS', {False: 0.1, True: 0.1})
  monkeypatch.setattr(stop, '_last_acts', [])


def test_a_second_one_is_refused_at_once_and_told_who_has_it(tmp_path):
  process = _holder(tmp_path, 'hold')
  began = time.monotonic()
  message = (
    rf'^process {process.pid} on .+, since 2\d+-.+, is at work in '
    rf'{re.escape(str(tmp_path))}; wait for it, stop it, or choose another'
  )
  with pytest.raises(errors.UserError, match=message):
    lease.Lease(tmp_path)
  assert time.monotonic() - began < 0.3
  process.communicate(b'')  # It gives it back.
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('how', ['keep', 'kill', 'term'])
def test_that_of_a_dead_process_of_this_machine_is_taken_over(tmp_path, how):
  process = _holder(tmp_path, how)
  if how == 'kill':
    process.kill()
  elif how == 'term':
    process.terminate()
  process.wait(10)
  process.stdin.close()
  process.stdout.close()
  # A signal that ends the process at once still lets it give the lease back.
  assert (tmp_path / lease.NAME).exists() == (how != 'term')
  with lease.Lease(tmp_path) as held:
    held.take()
    held.check()
    found = json.loads((tmp_path / lease.NAME).read_text())
    assert found['pid'] == os.getpid()
  assert list(tmp_path.iterdir()) == []


def test_a_number_that_another_process_has_by_now_does_not_count(tmp_path):
  _write(tmp_path, started=1)
  lease.Lease(tmp_path)
  _write(tmp_path, pid=10**30)
  lease.Lease(tmp_path)


@pytest.mark.parametrize('machine', ['another', None])
def test_that_of_another_machine_is_watched(tmp_path, machine):
  _write(tmp_path, machine=machine, pid=1)
  began = time.monotonic()
  with lease.Lease(tmp_path) as held:
    assert time.monotonic() - began > lease.STALE_SECS
    held.take()
  _write(tmp_path, machine=machine, pid=1)
  timer = threading.Timer(0.1, os.utime, [tmp_path / lease.NAME, (1, 1)])
  timer.start()
  with pytest.raises(
    errors.UserError, match='process 1 on h, since noon, is a'
  ):
    lease.Lease(tmp_path)
  timer.join()


@pytest.mark.parametrize('content', ['', 'null', '{', '[1]'])
def test_one_that_says_nothing_is_watched(tmp_path, content):
  (tmp_path / lease.NAME).write_text(content)
  with lease.Lease(tmp_path) as held:
    held.take()


def test_one_that_goes_while_it_is_watched_is_free(tmp_path):
  _write(tmp_path, machine='another')
  timer = threading.Timer(0.1, os.unlink, [tmp_path / lease.NAME])
  timer.start()
  lease.Lease(tmp_path)
  timer.join()


def test_of_two_that_begin_at_once_one_is_refused(tmp_path):
  first, second = lease.Lease(tmp_path), lease.Lease(tmp_path)
  with first, second:
    first.take()
    with pytest.raises(errors.UserError, match='is at work'):
      second.take()
    first.check()


def test_one_that_was_stopped_meanwhile_has_lost_it(tmp_path, monkeypatch):
  monkeypatch.setattr(lease, 'BEAT_SECS', 1000)  # Its thread sleeps.
  with lease.Lease(tmp_path) as held:
    held.take()
    _write(tmp_path)
    held.check()  # Not yet: nothing was stopped.
    monkeypatch.setattr(lease, 'BEAT_SECS', 0)
    message = 'process .* on h, since noon, has taken over .*; nothing more is'
    with pytest.raises(lease.Lost, match=message):
      held.check()
  # Nor does it take away the other's.
  assert json.loads((tmp_path / lease.NAME).read_text())['token'] == 'x'


def test_signs_of_life_and_a_lease_that_was_tidied_up(tmp_path):
  path = tmp_path / lease.NAME
  with lease.Lease(tmp_path) as held:
    held.take()
    os.utime(path, (1, 1))
    deadline = time.monotonic() + 10
    while path.stat().st_mtime == 1 and time.monotonic() < deadline:
      time.sleep(0.01)
    assert path.stat().st_mtime != 1
    path.unlink()
    while not path.exists() and time.monotonic() < deadline:
      time.sleep(0.01)
    assert path.exists()
    held.check()


def test_in_a_bucket(tmp_path, monkeypatch):
  local = gcs.mock_gcs(monkeypatch, tmp_path)
  path = local('gs://bucket/run/writer.json')
  with lease.Lease('gs://bucket/run') as held:
    held.take()
    first = path.read_bytes()
    with pytest.raises(
      errors.UserError, match='is at work in gs://bucket/run;'
    ):
      lease.Lease('gs://bucket/run')
    deadline = time.monotonic() + 10
    while path.read_bytes() in (b'', first) and time.monotonic() < deadline:
      time.sleep(0.01)
    assert b'"beat"' in path.read_bytes()
  assert not path.exists()


def test_in_a_bucket_the_last_of_two_has_it(tmp_path, monkeypatch):
  local = gcs.mock_gcs(monkeypatch, tmp_path)
  path = local('gs://bucket/run/writer.json')
  held = lease.Lease('gs://bucket/run')
  timer = threading.Timer(0.02, lambda: _write(path.parent))
  timer.start()
  with pytest.raises(
    errors.UserError, match='on h, since noon, has just begun'
  ):
    held.take()
  timer.join()


def test_other_processes_of_a_run_need_none(tmp_path):
  with lease.Lease(tmp_path / 'missing', is_main=False) as held:
    held.take()
    held.check()
  assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_or_removed_is_told(tmp_path, monkeypatch):
  (tmp_path / lease.NAME).mkdir()
  with pytest.raises(errors.UserError, match='cannot read .*writer.json: Is a'):
    lease.Lease(tmp_path)
  (tmp_path / lease.NAME).rmdir()
  lines = []
  held = lease.Lease(tmp_path, say=lines.append)
  held.take()

  def fail(*_, **__):
    raise PermissionError(13, 'Permission denied')

  monkeypatch.setattr(type(held._path), 'unlink', fail)
  held.release()
  assert lines == [
    f'{tmp_path}/writer.json could not be removed (Permission denied)'
  ]
