"""A bad disk: flipped bits, lost files, strange entries, no room."""

import re
import resource
import shutil

from sagan_jax import errors
from sagan_jax.cluster import exit_codes
from sagan_jax.drills import evidence
from sagan_jax.drills.outcomes import Failed, Skipped
from sagan_jax.gan import state as state_lib

_FLIPS = 12  # In the largest file; one in each of the others.
_TRIES = 100
_ROOM_BYTES = 100
_FULL_SECS = 5  # That a run goes on without room.


def flips(trial):
  """Bits of the newest checkpoint, and each of its files lost, in turn."""
  trial.copy()
  newest = max(trial.checkpoints())
  folder = trial.workdir / 'checkpoints' / str(newest)
  refused, harmless = _try_all(trial, folder, newest)
  _flip_to_be_found(trial, folder, newest)
  trial.finish(told=rf'{newest} is damaged \(.*; going back to the checkpoint')
  if not (folder.parent / f'{newest}.damaged').is_dir():
    raise Failed(f'{folder} is damaged and was not set aside')
  return (
    f'{refused} kinds of damage refused, {harmless} left the state as it was; '
    f'one found by a run, set aside, the one before used'
  )


def _try_all(trial, folder, step):
  with evidence.reader(trial.workdir) as reader:
    return _count(reader, folder, step, trial)


def _count(reader, folder, step, trial):
  wanted = state_lib.digest(reader.restore(step))
  largest = _largest(folder)
  refused = harmless = 0
  for path in _files(folder):
    content = path.read_bytes()
    for damaged in _damages(content, _FLIPS if path == largest else 1, trial):
      if damaged is None:
        path.unlink()
      else:
        path.write_bytes(damaged)
      try:
        found = state_lib.digest(reader.restore(step))
      except errors.UserError:
        refused += 1
      else:
        if found != wanted:
          raise Failed(f'{path} is damaged, and another state was restored')
        harmless += 1
      path.write_bytes(content)
  return refused, harmless


def _damages(content, flips, trial):
  yield None
  if content:
    for _ in range(flips):
      yield flipped(content, trial.draw.randrange(8 * len(content)))


def flipped(content, position):
  """Bytes with one bit flipped."""
  changed = bytearray(content)
  changed[position // 8] ^= 1 << position % 8
  return bytes(changed)


def _flip_to_be_found(trial, folder, step):
  """Flips a bit of an array, where there is one."""
  path = _largest(folder)
  content = path.read_bytes()
  with evidence.reader(trial.workdir) as reader:
    for _ in range(_TRIES):
      position = trial.draw.randrange(8 * len(content))
      path.write_bytes(flipped(content, position))
      try:
        reader.restore(step)
      except errors.UserError:
        return
  raise Failed(f'no flip of a bit in {path} is noticed')


def _files(folder):
  return sorted(path for path in folder.rglob('*') if path.is_file())


def _largest(folder):
  return max(_files(folder), key=lambda path: path.stat().st_size)


def stray(trial):
  """What is no checkpoint among the checkpoints, and a row cut short."""
  step = trial.rewind()
  folder = trial.workdir / 'checkpoints'
  (folder / '99').mkdir()
  (folder / f'{step + 1}').write_text('junk')
  (folder / 'junk').write_text('junk')
  (folder / '98').symlink_to(folder / 'nowhere')
  (folder / f'{step + 2}.orbax-checkpoint-tmp').mkdir()
  with open(trial.workdir / 'metrics.jsonl', 'ab') as file:
    file.write(b'{"step": 1')
  trial.finish(told=f'resuming after step {step}')
  if (folder / 'junk').read_text() != 'junk':
    raise Failed(f'{folder / "junk"}, of somebody else, was changed')
  return f'an empty 99/, files, a link, a half-written one; went on from {step}'


def full_disk(trial):
  """Files may grow no further from a step on, until there is room again."""
  if not hasattr(resource, 'prlimit'):
    raise Skipped('limits of another process can be set on Linux only')
  flags = [f'--config.checkpoint.full_disk_secs={_FULL_SECS}']
  child = trial.start(flags=flags)
  if not child.wait_for_row(4):
    raise Failed(f'ended before the disk was full; {child}')
  limits = _ROOM_BYTES, _ROOM_BYTES
  resource.prlimit(child.pid, resource.RLIMIT_FSIZE, limits)
  code, output = child.end(exit_codes.FINISHED, exit_codes.REFUSED)
  if code == exit_codes.REFUSED and str(trial.workdir) not in output:
    raise Failed(f'did not name the file that could not be written; {child}')
  trial.finish()
  return f'ended with {code}, and nothing was lost when there was room again'


def vanished(trial):
  """The directory is renamed under a run, and back when that has ended."""
  child = trial.start()
  child.wait_for_row(trial.drill.config.checkpoint.every_steps + 1)
  away = trial.folder / 'away'
  trial.workdir.rename(away)
  child.end(exit_codes.REFUSED, told=re.escape(str(trial.workdir)))
  # Not as it was: what was written there since is no run.
  shutil.rmtree(trial.workdir, ignore_errors=True)
  away.rename(trial.workdir)
  trial.finish()
  return 'told by name; went on when it was back'
