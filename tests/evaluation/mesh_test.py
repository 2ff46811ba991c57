"""The same scores on any mesh."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.support import commands, evaluation_mesh

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
  """The scores of 2,000 images on one device."""
  return evaluation_mesh.record(tmp_path_factory.mktemp('alone'), 1)


def _assert_same_scores(found, expected):
  assert found['protocol'] == expected['protocol']
  assert found['protocol']['num_real'] == found['protocol']['num_fake'] == 2000
  assert set(found['scores']) == set(expected['scores'])
  for name, value in expected['scores'].items():
    assert value > 0.1
    assert found['scores'][name] == pytest.approx(value, rel=0, abs=1e-6)


@pytest.mark.parametrize('num_devices', [3, 8])
def test_scores_do_not_depend_on_the_mesh(tmp_path, alone, num_devices):
  found = evaluation_mesh.record(tmp_path, num_devices)
  _assert_same_scores(found, alone)


def _free_port():
  with contextlib.closing(socket.socket()) as s:
    s.bind(('127.0.0.1', 0))
    return s.getsockname()[1]


@pytest.mark.slow
def test_scores_do_not_depend_on_the_number_of_processes(tmp_path, alone):
  port = _free_port()
  environment = commands.environment() | {'JAX_NUM_CPU_DEVICES': '1'}
  processes = [
    subprocess.Popen(
      [
        *(sys.executable, '-m', 'tests.support.evaluation_mesh'),
        *(str(tmp_path), str(port), str(i), '2'),
      ],
      cwd=ROOT,
      env=environment,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
      start_new_session=True,
    )
    for i in range(2)
  ]
  try:
    outputs = [p.communicate(timeout=180)[0] for p in processes]
  finally:
    for p in processes:
      if p.poll() is None:
        os.killpg(p.pid, signal.SIGKILL)
        p.communicate()
  assert [p.returncode for p in processes] == [0, 0], '\n'.join(outputs)
  found = json.loads((tmp_path / 'record.json').read_text())
  _assert_same_scores(found, alone)
