"""Mistaken commands as a shell runs them: exit code, stderr, no traceback.

Each process loads what a command loads before it refuses, so only a dozen are
given this way; what the others refuse is tested within one process.
"""

import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.support import commands, mistakes
from tests.support.mistakes import Case

pytestmark = pytest.mark.slow

CASES = {
  'an unknown command': Case('', ['trian'], ["'trian'"]),
  'an unknown flag': Case(
    'main', ['--config=quickstart', '--workdri=x'], ['--workdri']
  ),
  'no directory': Case('main', ['--config=quickstart'], ['--workdir']),
  'an unknown key': Case(
    'main',
    ['--config=quickstart', '--workdir=PLACES/new', '--config.sead=1'],
    ['sead'],
  ),
  'no config file': Case(
    'main', ['--config=PLACES/x.py', '--workdir=PLACES/new'], ['PLACES/x.py']
  ),
  'a directory in a file': Case(
    'main',
    ['--config=quickstart', '--workdir=PLACES/file/new'],
    ['PLACES/file/new'],
  ),
  'too many devices': Case(
    'main',
    [
      '--config=quickstart',
      '--workdir=PLACES/new',
      '--config.num_devices=4096',
    ],
    ['4096 devices', '--config.num_devices'],
  ),
  'no run to score': Case(
    'evaluate', ['--workdir=PLACES/new'], ['PLACES/new', 'config.json']
  ),
  'nothing to score': Case('evaluate', [], ['--workdir']),
  'no data to prepare': Case(
    'prepare',
    ['--source=folder:PLACES/x', '--image_size=8', '--output=PLACES/new'],
    ["PLACES/x'"],
  ),
  'nothing to prepare': Case('prepare', [], ['--source']),
  'no data to verify': Case('prepare', ['--verify=PLACES'], ['PLACES']),
  'no place for figures': Case(
    'benchmark',
    ['--config=quickstart', '--json=PLACES/file/x.json'],
    ['PLACES/file/x.json'],
  ),
  'no place for a profile': Case(
    'benchmark',
    ['--config=quickstart', '--profile=PLACES/file/x'],
    ['PLACES/file/x'],
  ),
  'an unknown back end': Case('launch', ['nowhere'], ["'nowhere'"]),
  'nothing to launch': Case('launch', ['local'], ['--']),
  'no sweep': Case('sweep', [], ['--']),
  'a sweep of no key': Case(
    'sweep',
    [
      '--config=quickstart',
      '--output=PLACES/new',
      '--grid=sead=1,2',
    ],
    ['sead'],
  ),
}


@pytest.mark.parametrize('name', CASES)
def test_a_process_refuses(tmp_path, name):
  (tmp_path / 'file').write_text('text')
  before = mistakes.contents(tmp_path)
  case = CASES[name]
  module = f'sagan_jax.{case.command}'.removesuffix('.')
  process = subprocess.run(
    [
      sys.executable,
      '-m',
      module,
      *(a.replace('PLACES', str(tmp_path)) for a in case.argv),
    ],
    cwd=ROOT,
    env=commands.environment(),
    capture_output=True,
    text=True,
    timeout=commands.TIMEOUT_SECS,
    check=False,
  )
  mistakes.check_text(case, tmp_path, process.stderr)
  assert process.returncode == case.code
  assert 'compil' not in process.stdout
  assert mistakes.contents(tmp_path) == before
