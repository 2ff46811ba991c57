"""Given weights, on two processes."""

import json

import pytest

from tests.support import exports, processes, tiny

pytestmark = [pytest.mark.slow, pytest.mark.processes]


def test_two_processes_begin_as_two_devices(tmp_path):
  with tiny.small_networks():
    path = exports.write(tmp_path / 'x.safetensors', exports.export())
  changes = {
    'init__weights': path,
    'init__classes': 'names',
    'num_steps': 2,
    'eval__every_steps': None,
  }
  code, _, output = processes.run(tmp_path / 'two', **changes)
  assert code == 0, output
  assert output.count('begins with the weights of') == 1
  processes.run_alone(tmp_path / 'one', 2, **changes)
  assert processes.differences(tmp_path / 'two', tmp_path / 'one') == []
  origin = json.loads((tmp_path / 'two' / 'origin.json').read_text())
  assert origin['of_classes']['ring'] == 'ring'
