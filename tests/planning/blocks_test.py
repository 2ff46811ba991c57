"""Bounds on what parts of the networks cost on a TPU, by its compiler.

They need libtpu (pip install 'sagan_jax[plan]') and no TPU.
"""

import importlib.util
import json
import subprocess
import sys

import pytest

from sagan_jax.planning import compiler, topologies
from tests.conftest import ROOT

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(
    not importlib.util.find_spec('libtpu'),
    reason="no compiler for TPUs here: pip install 'sagan_jax[plan]'",
  ),
]

# Millions of cycles of a v5e chip, forward and backward, 16 images, bfloat16,
# with spectral norm and bias but for the 3x3.
BOUNDS = {
  'up block': 2.25,  # 256 to 128 channels, 32x32 to 64x64.
  'up 3x3': 0.6,  # 1024 channels, 4x4 to 8x8.
  'up skip': 1.1,  # 128 to 64 channels, 64x64 to 128x128.
  'down block': 2.0,  # 64 to 128 channels, 64x64 to 32x32.
  'down skip': 0.4,  # The same.
  'norm': 1.15,  # With ReLU, 64 channels, 128x128.
  'attention': 1.2,  # 256 channels, 32x32.
}
SLACK = 1.03  # Versions of the compiler differ.


@pytest.fixture(scope='module')
def cycles():
  """The compiler's cycles of all, from a process of its own."""
  environment = compiler.environment(topologies.find('v5e:1x1'))
  environment['PYTHONPATH'] += f':{ROOT}'
  result = subprocess.run(
    [sys.executable, '-m', 'tests.support.tpu_blocks', *BOUNDS],
    cwd=ROOT,
    env=environment,
    capture_output=True,
    text=True,
    timeout=1200,
    check=False,
  )
  assert result.returncode == 0, result.stderr
  return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize('name, bound', BOUNDS.items())
def test_cycles_of_a_block(cycles, name, bound):
  assert cycles[name] <= SLACK * bound * 1e6
