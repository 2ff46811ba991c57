"""Tests of how the processes of a local launch end, and of restarts."""

import re
import signal
import time

import pytest

from tests.support.local_launches import (
  TIMEOUT_SECS,
  WAIT,
  alive,
  assert_gone,
  run,
  start,
  wait_for,
)

pytestmark = pytest.mark.slow


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


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_a_signal_meets_too_early_has_lost_nothing(number):
  early = f'signal.signal({int(number)}, signal.SIG_DFL)\nsay("ready")\n{WAIT}'
  process = start(early)
  wait_for(process, '[0] ready', '[1] ready')
  process.send_signal(number)
  _, errors = process.communicate(timeout=TIMEOUT_SECS)
  assert process.returncode == 75
  assert errors.count('ended with 75 (stopped and saved)') == 2


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
