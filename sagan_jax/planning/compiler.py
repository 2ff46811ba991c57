"""Has steps compiled in processes of their own, and keeps what they say.

The compiler for TPUs asks for another environment than the rest of a command,
writes to stderr as it likes, and may end the process; none of that reaches the
person who waits.
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import sagan_jax
from sagan_jax import errors, files, progress
from sagan_jax.config import schema
from sagan_jax.run import program_cache, stop

OFF = program_cache.OFF
_LINE_SECS = 60
_PACKAGES = ('jax', 'jaxlib', 'libtpu', 'flax', 'optax', 'numpy')
# Sections and keys that say nothing about what is compiled.
_IRRELEVANT = ('checkpoint', 'dataset', 'eval', 'init', 'log', 'sample')
_IRRELEVANT_KEYS = ('num_steps', 'prefetch', 'seed', 'num_devices')
_FLAGS = ('XLA_FLAGS', 'LIBTPU_INIT_ARGS')


def check(topology) -> None:
  """Raises UserError if there is no compiler for a topology here."""
  if topology.chip is None:
    return
  if not (
    importlib.util.find_spec('libtpu') or os.environ.get('TPU_LIBRARY_PATH')
  ):
    raise errors.UserError(
      f'--topology={topology.name} needs the compiler for TPUs, which works on '
      "any x86 Linux machine: pip install 'sagan_jax[plan]'"
    )


def account(c, topology, cache: str | None) -> dict:
  """The account of a step, compiled now or before.

  Args:
    c: a `Config` whose `num_classes` is known, and that fits the topology.
    topology: a `topologies.Topology` that `check` has passed.
    cache: a directory; OFF for none; None for the user's own.

  Returns:
    What `account.make` returns.

  Raises:
    UserError: if the compiler refuses or is killed, or the cache cannot be used.
    Stopped: if a stop was asked for.
  """
  place = _place(c, topology, cache)
  if place is not None and place.exists():
    kept = files.read_json(place)
    if isinstance(kept, dict) and kept.get('digest') == _digest(kept):
      return kept['account']
    progress.say(f'{place} is damaged, and is made anew')
  found = _compile(c, topology)
  if 'refused' in found:
    raise errors.UserError(found['refused'])
  if place is not None:
    kept = {'account': found}
    kept['digest'] = _digest(kept)
    files.write(place, json.dumps(kept, indent=1) + '\n')
  return found


def _digest(kept):
  """Of an account that is kept: what is read is what was written."""
  text = json.dumps(kept.get('account'), sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def _place(c, topology, cache):
  """The file of an account; None where it is not kept."""
  if cache == OFF:
    return None
  directory = program_cache.private_directory(
    cache, 'plans', sagan_jax.__version__, flag='--cache'
  )
  return directory and directory / f'{_key(c, topology)}.json'


def _key(c, topology):
  relevant = {
    key: value
    for key, value in schema.flatten(c).items()
    if key.partition('.')[0] not in _IRRELEVANT and key not in _IRRELEVANT_KEYS
  }
  sha = hashlib.sha256(
    json.dumps([relevant, topology.name, versions()], sort_keys=True).encode()
  )
  sha.update(repr([os.environ.get(name) for name in _FLAGS]).encode())
  root = pathlib.Path(sagan_jax.__file__).parent
  for path in sorted(root.rglob('*.py')):
    if 'experiments' not in path.parts:  # What they say is in the config.
      sha.update(f'{path.relative_to(root)}\n'.encode() + path.read_bytes())
  return sha.hexdigest()[:32]


def versions() -> dict:
  """{package: version} of what the result depends on; None if not installed."""
  found = {}
  for name in _PACKAGES:
    try:
      found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      found[name] = None
  return found


def _compile(c, topology):
  request = json.dumps({'config': schema.flatten(c), 'topology': topology.name})
  what = f'compiling batch size {c.batch_size} for {topology.name}'
  with tempfile.TemporaryDirectory() as here:
    here = pathlib.Path(here)
    (here / 'request').write_text(request)
    with (
      open(here / 'request') as given,
      open(here / 'output', 'w') as output,
      stop.deferred(),
    ):
      child = subprocess.Popen(
        [
          sys.executable,
          '-m',
          'sagan_jax.planning.account',
          os.fspath(here / 'answer'),
        ],
        stdin=given,
        stdout=output,
        stderr=output,
        env=environment(topology),
        start_new_session=True,  # Ctrl-C comes to this process only.
      )
      try:
        _wait(child, what)
      finally:
        child.kill()
        child.wait()
    return _answer(child.returncode, here)


def _wait(child, what):
  began = time.monotonic()
  next_line = 0.0
  while child.poll() is None:
    stop.check()
    elapsed = time.monotonic() - began
    if elapsed >= next_line:
      progress.say(f'{what} ... {progress.duration(elapsed)}')
      next_line += _LINE_SECS
    time.sleep(0.1)


def _answer(code, here):
  if code == 0:
    return json.loads((here / 'answer').read_text())
  output = (here / 'output').read_text()
  if code == -9:
    raise errors.UserError(
      'the compiler was killed, as machines do that run out of memory; plan on '
      'one with more, or a smaller --config.generator.ch'
    )
  raise RuntimeError(f'the compiler ended with code {code}:\n{output}')


def environment(topology) -> dict:
  """Of a process that compiles for a topology with this package."""
  root = os.fspath(pathlib.Path(sagan_jax.__file__).parents[1])
  paths = [root, *filter(None, [os.environ.get('PYTHONPATH')])]
  environment = {
    **os.environ,
    'PYTHONPATH': os.pathsep.join(paths),  # The code of this command, no other.
    'JAX_PLATFORMS': 'cpu',
    'JAX_ENABLE_COMPILATION_CACHE': 'false',
  }
  if topology.chip is None:
    environment['JAX_NUM_CPU_DEVICES'] = str(topology.num_devices)
    return environment
  # There is no TPU to ask about, and one that is there may go on working.
  return environment | {
    'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
    'TPU_SKIP_MDS_QUERY': '1',
    'TPU_ACCELERATOR_TYPE': 'v5litepod-4',
    'TPU_WORKER_HOSTNAMES': 'localhost',
  }
