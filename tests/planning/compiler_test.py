"""Tests of compiling in processes of their own, and of keeping the results."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from sagan_jax import errors
from sagan_jax.planning import compiler, topologies
from sagan_jax.run import stop
from tests.support import tiny

CPU = topologies.find('cpu:2')
ANSWER = {'fits': True, 'made': 'up'}


def config(**changes):
  return tiny.config(num_classes=10, **changes)


@pytest.fixture
def child(monkeypatch):
  """Runs Python code instead of the compiler; counts how often."""
  code, calls, popen = ['pass'], [], subprocess.Popen

  def start(command, **options):
    calls.append(options['env'])
    return popen([sys.executable, '-c', code[0], command[-1]], **options)

  def run(text):
    code[0] = 'import json, os, sys, time\n' + text
    return calls

  monkeypatch.setattr(subprocess, 'Popen', start)
  return run


def answering(content):
  return f'open(sys.argv[1], "w").write({json.dumps(content)!r})'


def test_results_are_kept_by_what_they_depend_on(child, tmp_path, monkeypatch):
  calls = child(answering(ANSWER))
  where = str(tmp_path)

  def account(c, topology=CPU):
    assert compiler.account(c, topology, where) == ANSWER
    return len(calls)

  assert account(config()) == 1
  assert account(config()) == 1
  # What a step does not depend on.
  assert account(config(num_steps=7, log__every_steps=3, seed=5)) == 1
  assert account(config(batch_size=16)) == 2
  assert account(config(), topologies.find('cpu:4')) == 3
  monkeypatch.setenv('LIBTPU_INIT_ARGS', '--some_flag=true')
  assert account(config()) == 4
  monkeypatch.setattr(compiler, 'versions', lambda: {'jax': 'another'})
  assert account(config()) == 5


def test_nothing_is_kept_if_the_cache_is_off(child):
  calls = child(answering(ANSWER))
  for _ in range(2):
    assert compiler.account(config(), CPU, 'off') == ANSWER
  assert len(calls) == 2


def test_a_cache_that_others_can_write_to_is_refused(child, tmp_path):
  child(answering(ANSWER))
  tmp_path.chmod(0o777)
  with pytest.raises(errors.UserError, match='chmod go-w it.*--cache'):
    compiler.account(config(), CPU, str(tmp_path))


def test_the_process_has_the_devices_of_the_topology(child, monkeypatch):
  monkeypatch.setenv('JAX_PLATFORMS', 'tpu')
  calls = child(answering(ANSWER))
  compiler.account(config(), CPU, 'off')
  compiler.account(config(), topologies.find('v5e:2x2'), 'off')
  assert [x['JAX_PLATFORMS'] for x in calls] == ['cpu', 'cpu']
  assert calls[0]['JAX_NUM_CPU_DEVICES'] == '2'
  assert calls[1]['ALLOW_MULTIPLE_LIBTPU_LOAD'] == '1'


def test_what_the_compiler_refuses_is_told(child):
  child(answering({'refused': 'another process is using libtpu'}))
  with pytest.raises(errors.UserError, match='another process is using libtpu'):
    compiler.account(config(), CPU, 'off')


def test_a_compiler_that_was_killed_is_told(child):
  child('os.kill(os.getpid(), 9)')
  with pytest.raises(errors.UserError, match='the compiler was killed'):
    compiler.account(config(), CPU, 'off')


def test_a_fault_shows_what_the_compiler_wrote(child):
  child('sys.exit("something is broken")')
  with pytest.raises(RuntimeError, match='(?s)code 1:.*something is broken'):
    compiler.account(config(), CPU, 'off')


def test_a_stop_ends_the_compiler(child, tmp_path):
  pid = tmp_path / 'pid'
  child(f'open({str(pid)!r}, "w").write(str(os.getpid())); time.sleep(600)')

  def ask():
    while not (pid.exists() and pid.read_text()):
      time.sleep(0.02)
    stop.request()

  thread = threading.Thread(target=ask)
  thread.start()
  try:
    with pytest.raises(stop.Stopped):
      compiler.account(config(), CPU, 'off')
  finally:
    thread.join()
    stop.withdraw()
  with pytest.raises(ProcessLookupError):
    os.kill(int(pid.read_text()), 0)


def test_libtpu_is_asked_for_where_it_is_needed(monkeypatch):
  monkeypatch.setattr('importlib.util.find_spec', lambda _: None)
  monkeypatch.delenv('TPU_LIBRARY_PATH', raising=False)
  compiler.check(CPU)
  with pytest.raises(
    errors.UserError, match=r"pip install 'sagan_jax\[plan\]'"
  ):
    compiler.check(topologies.find('v5e:2x2'))
  monkeypatch.setenv('TPU_LIBRARY_PATH', '/some/libtpu.so')
  compiler.check(topologies.find('v5e:2x2'))
