"""What all processes of a run must have in common before they train.

Nothing here does anything in a single process.
"""

import hashlib
import importlib.metadata
import pathlib
import platform
import secrets
import time

import sagan_jax
from sagan_jax import files
from sagan_jax.cluster import agree
from sagan_jax.config import schema

# From the first to the last process that has its command line read.
COMMAND_SECS = 40
_PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'orbax-checkpoint', 'numpy')
# Of shared storage, until another host sees what one has written.
_SEEN_SECS = 15


def check_command(config, workdir, **arguments):
  """Refuses processes that were started differently, or on different code.

  Args:
    config: a `Config`.
    workdir: of the run: all must see the same directory, by whatever name; None
      for none.
    **arguments: other flags that count.

  Raises:
    UserError: on all processes, with what differs on which.
  """
  group = agree.group()
  if not group:
    return
  facts = {f'--config.{k}': v for k, v in schema.flatten(config).items()}
  facts |= {f'--{name}': value for name, value in arguments.items()}
  agree.same('command', facts | _versions(), COMMAND_SECS)
  if workdir is not None:
    _check_directory(group, files.as_path(workdir))


def check_data(source):
  """Refuses processes that see different data.

  Args:
    source: a `data.Source`.

  Raises:
    UserError: on all processes, with what differs on which.
  """
  agree.same(
    'data',
    lambda: {
      'name': source.name,
      'images': source.num_examples,
      'fingerprint': source.fingerprint,
    },
  )


def check_weights(digest):
  """Refuses processes that were given different weights to begin with.

  Args:
    digest: of the weights.

  Raises:
    UserError: on all processes, with what differs on which.
  """
  agree.same('initial weights', {'init.weights': digest})


def check_program(lowered):
  """Refuses processes that would run different programs.

  Args:
    lowered: what `jax.jit(...).lower` has returned.

  Raises:
    UserError: on all processes, with what differs on which.
  """
  agree.same(
    'program',
    lambda: {
      'step': hashlib.sha256(lowered.as_text().encode()).hexdigest()[:16]
    },
  )


def _versions():
  versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
  return versions | {
    'python': platform.python_version(),
    'sagan_jax': sagan_jax.__version__,
    'code of sagan_jax': _code_digest(),
  }


def _code_digest():
  package = pathlib.Path(sagan_jax.__file__).parent
  digest = hashlib.sha256()
  for path in sorted(package.rglob('*.py')):
    digest.update(str(path.relative_to(package)).encode())
    digest.update(path.read_bytes())
  return digest.hexdigest()[:16]


def _check_directory(group, workdir):
  """Refuses directories that are not one: process 0 leaves a mark there."""
  if group.index == 0:
    with files.writing(workdir):
      workdir.mkdir(parents=True, exist_ok=True)
    name = f'.together.{secrets.token_hex(8)}'
    files.write(workdir / name, '')
    agree.decide('mark', name)
  else:
    name = agree.decide('mark', None)
  seen = _appears(workdir / name)
  try:
    agree.same(
      'directory',
      {
        '--workdir': 'the same directory'
        if seen
        else f'{workdir}, without the file that process 0 has made in its own'
      },
      COMMAND_SECS,
    )
  finally:
    if group.index == 0:
      (workdir / name).unlink(missing_ok=True)


def _appears(path):
  deadline = time.monotonic() + _SEEN_SECS
  while not path.exists():
    if time.monotonic() > deadline:
      return False
    time.sleep(0.2)
  return True


def failed_anywhere(what, error):
  """Returns on all processes how something has failed on any, or None.

  Args:
    what: failed or not; never used twice.
    error: the exception of this process; None if all went well.

  Returns:
    A line of text, the same on all processes; None if none has failed.

  Raises:
    Exception: `error`, if others wait for what this one will never do.
  """
  own = None if error is None else f'{type(error).__name__}: {error}'
  group = agree.group()
  if not group:
    return own
  try:
    failures = group.gather(what, own, early=error is not None)
  except agree.LeftOut as e:
    raise error or e from None
  return next((text for text in failures if text is not None), None)
