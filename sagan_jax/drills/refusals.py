"""What is refused by name, while the run stays as it was."""

import contextlib
import hashlib
import os
import re
import shutil
import signal
import subprocess

from sagan_jax.cluster import exit_codes
from sagan_jax.drills.outcomes import Failed, Skipped

# In a space of mounts of its own, of which nothing is left.
_READ_ONLY = (
  'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
)


def _contents(workdir):
  return {
    path.relative_to(workdir): hashlib.sha256(path.read_bytes()).digest()
    for path in workdir.rglob('*')
    if path.is_file()
  }


@contextlib.contextmanager
def _unchanged(workdir):
  before = _contents(workdir)
  yield
  after = _contents(workdir)
  if before != after:
    names = sorted(str(x) for x in {*before} ^ {*after}) or 'contents'
    raise Failed(f'{workdir} was changed: {names}')


def _refused(trial, told, *flags, **options):
  """Starts a run that must be refused, and say something."""
  child = trial.start(flags=flags, **options)
  child.end(exit_codes.REFUSED, told=rf'error: [\s\S]*{told}')


def second_writer(trial):
  """A second command, while the first is there but stopped by SIGSTOP."""
  first = trial.start()
  first.wait_for_row(1)
  first.send(signal.SIGSTOP)
  try:
    with _unchanged(trial.workdir):
      _refused(trial, f'process {first.pid} on .* is at work in')
  finally:
    first.send(signal.SIGCONT)
  first.end(exit_codes.FINISHED)
  trial.compare()
  return 'refused with the number and host of the first, which went on'


def changed_config(trial):
  """Another seed, another rate; then the run as it was."""
  trial.copy()
  c = trial.drill.config
  rate = c.optim.generator.learning_rate
  with _unchanged(trial.workdir):
    _refused(
      trial,
      rf'optim\.generator\.learning_rate: {re.escape(repr(rate))} -> ',
      f'--config.seed={c.seed + 1}',
      f'--config.optim.generator.learning_rate={rate * 2}',
    )
  return 'each difference named'


def damaged_files(trial):
  """Each file that a run reads, damaged; told by name, and nothing changed."""
  damages = {
    'config.json': ('config.json is damaged', lambda x: x[: len(x) // 2]),
    'data.json': ('data.json is damaged', lambda _: b'[]'),
    'metrics.jsonl': (
      r'metrics.jsonl:2 is damaged',
      lambda x: x.replace(b'\n', b'\nx', 1),
    ),
    'evaluations.jsonl': (
      r'evaluations.jsonl\S* is damaged',
      lambda x: x.replace(b'{', b'', 1),
    ),
  }
  for name, (told, damage) in damages.items():
    trial.copy()
    path = trial.workdir / name
    intact = path.read_bytes()
    path.write_bytes(damage(intact))
    with _unchanged(trial.workdir):
      _refused(trial, told)
    path.write_bytes(intact)
    trial.compare()
  return ', '.join(damages)


def read_only(trial):
  """A directory that cannot be written to."""
  trial.copy()
  if os.geteuid():
    _refuse_mode(trial)
  else:
    _refuse_mount(trial)
  trial.compare()
  return 'told by name'


def _refuse_mode(trial):
  folders = [
    trial.workdir,
    *(x for x in trial.workdir.rglob('*') if x.is_dir()),
  ]
  for folder in folders:
    folder.chmod(0o555)
  try:
    _refused(trial, re.escape(str(trial.workdir)))
  finally:
    for folder in folders:
      folder.chmod(0o755)


def _refuse_mount(trial):
  if not shutil.which('unshare'):
    raise Skipped('root may write anywhere, and there is no unshare')
  launcher = ['unshare', '--mount', 'sh', '-c', _READ_ONLY, str(trial.workdir)]
  found = subprocess.run([*launcher, 'true'], check=False, capture_output=True)
  if found.returncode:
    raise Skipped('root may write anywhere, and may mount nothing here')
  _refused(trial, re.escape(str(trial.workdir)), launcher=launcher)
