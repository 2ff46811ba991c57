"""Tests of the local launcher, with small real processes."""

import re
import signal
import subprocess
import sys

import pytest

from sagan_jax.cluster import launchers
from sagan_jax.cluster.launchers import local
from sagan_jax.errors import UserError
from tests.conftest import ROOT
from tests.support import commands
from tests.support.local_launches import HEAD, run


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
  # The lines of gloo can get into ours, within a process.
  assert process.stdout.count('4 devices, sum 3.0') == 2, process.stdout


def test_handlers_are_given_back():
  before = signal.getsignal(signal.SIGTERM)
  assert local.launch(['true'], local.Options(processes=1)) == 0
  assert signal.getsignal(signal.SIGTERM) is before
