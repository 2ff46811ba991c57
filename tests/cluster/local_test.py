"""Tests of the local launcher, with small real processes."""

import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from sagan_jax.cluster import launchers
from sagan_jax.cluster.launchers import local
from sagan_jax.errors import UserError
from tests.conftest import ROOT
from tests.support import commands

TIMEOUT_SECS = 60

# What all scripts begin with; i is the number of the process.
HEAD = """
import os, signal, subprocess, sys, time
i = int(sys.argv[-1].removeprefix('--process_id='))
def say(text):
  print(text, flush=True)
"""
WAIT = 'while True: time.sleep(0.01)\n'


def start(script, *options, processes=2, command=None):
  """Starts the launcher with processes that run a script."""
  command = command or [sys.executable, '-c', HEAD + script]
  return subprocess.Popen(
    [
      *(sys.executable, '-m', 'sagan_jax.launch', 'local'),
      *(f'--processes={processes}', *options, '--', *command),
    ],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def run(script, *options, **settings):
  """Runs the launcher to its end; returns (exit code, stdout, stderr)."""
  process = start(script, *options, **settings)
  output, errors = process.communicate(timeout=TIMEOUT_SECS)
  return process.returncode, output, errors


def wait_for(process, *lines):
  """Waits until the launcher has printed all of the lines, in any order."""
  missing = set(lines)
  for line in process.stdout:
    missing.discard(line.rstrip('\n'))
    if not missing:
      return
  raise AssertionError(f'no {missing}: {process.stderr.read()}')


def alive(pid):
  """Whether a process is there, and not only its exit code."""
  try:
    state = pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2]
  except FileNotFoundError:
    return False
  return state.split()[0] != 'Z'


def assert_gone(pids, secs):
  """Waits for the end of processes."""
  deadline = time.monotonic() + secs
  while any(map(alive, pids)):
    assert time.monotonic() < deadline, [pid for pid in pids if alive(pid)]
    time.sleep(0.02)


def test_each_process_is_told_its_place():
  script = 'say(sys.argv[1:]); print(i, file=sys.stderr)'
  code, output, errors = run(script, processes=3)
  assert code == 0
  places = {}
  for line in output.splitlines():
    i, address, count = re.fullmatch(
      r"\[(\d)\] \['--coordinator_address=(127\.0\.0\.1:\d+)', "
      r"'--num_processes=(\d)', '--process_id=\1'\]",
      line,
    ).groups()
    places[i] = (address, count)
  assert set(places) == {'0', '1', '2'}
  assert len(set(places.values())) == 1  # All meet at one address.
  assert sorted(errors.splitlines()) == ['[0] 0', '[1] 1', '[2] 2']


def test_arguments_arrive_as_they_are():
  arguments = ['a b', "it's", '"$HOME"', 'new\nline', '', '--', '*']
  command = [sys.executable, '-c', 'import sys; print(sys.argv[1:-3])']
  code, output, _ = run('', processes=1, command=[*command, *arguments])
  assert (code, output) == (0, f'[0] {arguments}\n')


def test_devices_per_process(monkeypatch):
  monkeypatch.setenv('JAX_NUM_CPU_DEVICES', '5')
  script = 'say(os.environ["JAX_NUM_CPU_DEVICES"])'
  assert run(script, processes=1)[1] == '[0] 5\n'
  assert run(script, '--devices_per_process=3', processes=1)[1] == '[0] 3\n'


def test_lines_are_whole():
  script = """
for n in range(50):
  for part in range(4):  # Torn by the process itself.
    sys.stdout.write(str(i) * 5000); sys.stdout.flush()
  sys.stdout.write('\\n')
sys.stdout.write(f'no newline at the end of {i}')
"""
  code, output, _ = run(script, processes=4)
  lines = output.splitlines()
  assert code == 0
  for i in range(4):
    assert lines.count(f'[{i}] ' + str(i) * 20000) == 50
    assert lines.count(f'[{i}] no newline at the end of {i}') == 1
  assert len(lines) == 4 * 51


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_all_once(number):
  script = f"""
seen = []
signal.signal({int(number)}, lambda *_: seen.append(1))
say('ready')
while not seen: time.sleep(0.01)
time.sleep(0.5)
say(f'seen {{len(seen)}}')
sys.exit(75)
"""
  process = start(script, '--restarts=3')
  wait_for(process, '[0] ready', '[1] ready')
  process.send_signal(number)
  output, errors = process.communicate(timeout=TIMEOUT_SECS)
  assert process.returncode == 75
  assert sorted(output.splitlines()) == ['[0] seen 1', '[1] seen 1']
  assert 'restart' not in errors  # It was asked to stop.


def test_the_others_may_end_by_themselves():
  script = """
signal.signal(signal.SIGTERM, lambda *_: say('SIGTERM'))
if i == 1: sys.exit(1)
time.sleep(1)
sys.exit(76)
"""
  code, output, errors = run(script, processes=3)
  assert (code, output) == (1, '')
  assert '[launch] process 1 ended with 1 (failed)' in errors
  assert errors.count('ended with 76 (hung, or a neighbor died)') == 2
  assert 'still there' not in errors


def test_then_they_are_asked_and_then_killed():
  script = f"""
signal.signal(signal.SIGTERM, lambda *_: (say('asked'), i == 2 and sys.exit(75)))
if i == 1: time.sleep(0.5); os.kill(os.getpid(), signal.SIGKILL)
{WAIT}"""
  code, output, errors = run(script, '--grace=1', processes=3)
  assert code == 75  # Of process 2; that 0 was killed here tells nothing.
  assert sorted(output.splitlines()) == ['[0] asked', '[2] asked']
  assert re.findall(r'\[launch\] (.*)', errors) == [
    'process 1 ended with 137 (killed by SIGKILL)',
    'SIGTERM to process 0, 2, still there',
    'process 2 ended with 75 (stopped and saved)',
    'SIGKILL to process 0, still there',
    'process 0 ended with 137 (killed by SIGKILL)',
  ]


def test_a_process_that_finishes_first_is_no_failure():
  code, _, errors = run('time.sleep(1.5 * i)', '--grace=0')
  assert (code, errors) == (0, '')


@pytest.mark.parametrize(
  'codes, options, starts, told',
  [
    ('[75, 76, 0]', ['--restarts=2'], 3, 0),
    ('[75, 76, 0]', ['--restarts=1'], 2, 76),
    ('[75]', [], 1, 75),
    ('[76, 77]', ['--restarts=5'], 2, 77),
    ('[1]', ['--restarts=5'], 1, 1),
    ('[2]', ['--restarts=5'], 1, 2),
  ],
)
def test_restarts(tmp_path, codes, options, starts, told):
  script = f"""
path = '{tmp_path}/' + str(i)
with open(path, 'a') as file: file.write('.')
sys.exit({codes}[os.path.getsize(path) - 1])
"""
  begin = time.monotonic()
  code, _, errors = run(script, *options)
  assert code == told
  assert [len((tmp_path / str(i)).read_text()) for i in (0, 1)] == [starts] * 2
  waits = [float(x) for x in re.findall(r'restart \d of \d in (\d+) s', errors)]
  assert waits == [1, 2][: starts - 1]
  assert time.monotonic() - begin >= sum(waits)


def test_a_signal_ends_the_wait_for_a_restart():
  process = start('sys.exit(75)', '--restarts=9')
  for line in process.stderr:
    if 'restart 2 of 9' in line:
      break
  process.terminate()
  assert process.wait(TIMEOUT_SECS) == 75
  assert 'restart 3' not in process.communicate()[1]


def test_nothing_outlives_the_launcher():
  script = """
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'])
say(f'pid {os.getpid()} {child.pid}')
"""
  code, output, _ = run(script)
  pids = [int(pid) for pid in re.findall(r'\d{2,}', output)]
  assert (code, len(pids)) == (0, 4)
  assert_gone(pids, secs=5)


@pytest.mark.parametrize('handler', ['sys.exit(75)', 'None'])
def test_processes_end_when_the_launcher_is_killed(handler):
  script = f"""
signal.signal(signal.SIGTERM, lambda *_: {handler})
say(f'pid {{os.getpid()}}')
{WAIT}"""
  process = start(script, '--grace=1')
  pids = [int(process.stdout.readline().split()[-1]) for _ in range(2)]
  assert all(map(alive, pids))
  process.kill()
  process.communicate()
  assert_gone(pids, secs=10)


def test_a_command_that_is_not_there():
  code, _, errors = run('', command=['/no/such/command'])
  assert code == 2
  assert errors == (
    'error: cannot run /no/such/command: No such file or directory; correct '
    'the command after --\n'
  )


@pytest.mark.parametrize(
  'option, value', [('processes', 0), ('devices_per_process', 0)]
)
def test_counts_below_one_are_refused(option, value):
  options = local.Options(**{'processes': 2, option: value})
  with pytest.raises(UserError, match=f'--{option}=0 must be 1 or more'):
    local.launch(['true'], options)


@pytest.mark.parametrize('option', ['restarts', 'grace'])
def test_negative_numbers_are_refused(option):
  options = local.Options(**{'processes': 2, option: -1})
  with pytest.raises(UserError, match=f'--{option}=-1 must be 0 or more'):
    local.launch(['true'], options)


def test_dry_run_starts_nothing():
  code, output, _ = run('', '--dry_run', command=['/no/such', 'a b'])
  assert code == 0
  assert output.splitlines() == [
    "/no/such 'a b' --coordinator_address=127.0.0.1:PORT --num_processes=2 "
    f'--process_id={i}'
    for i in range(2)
  ]


def test_it_is_a_back_end():
  assert launchers.load('local') is local


def test_jax_processes_find_each_other():
  script = """
import jax
flags = dict(x.removeprefix('--').split('=') for x in sys.argv[1:])
jax.distributed.initialize(
  flags['coordinator_address'], int(flags['num_processes']), i
)
from jax.experimental import multihost_utils
import numpy as np
total = multihost_utils.process_allgather(np.array([i + 1.0])).sum()
say(f'{jax.device_count()} devices, sum {total}')
"""
  command = [sys.executable, '-c', HEAD + script]
  process = subprocess.run(
    [
      *(sys.executable, '-m', 'sagan_jax.launch', 'local', '--processes=2'),
      *('--devices_per_process=2', '--', *command),
    ],
    cwd=ROOT,
    env=commands.environment() | {'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    timeout=120,
    check=False,
  )
  assert process.returncode == 0, process.stderr
  lines = [x for x in process.stdout.splitlines() if 'Gloo' not in x]
  assert sorted(lines) == [
    '[0] 4 devices, sum 3.0',
    '[1] 4 devices, sum 3.0',
  ]


def test_handlers_are_given_back():
  before = signal.getsignal(signal.SIGTERM)
  assert local.launch(['true'], local.Options(processes=1)) == 0
  assert signal.getsignal(signal.SIGTERM) is before
