"""One writer per run directory: a lease, on disks, shared disks and in buckets.

`writer.json` says who writes: host, process, since when. A thread touches it
every `BEAT_SECS`. Where the process is of this machine, whether it lives is
known at once; else the file is watched: it is taken over when it has not been
touched for `STALE_SECS`. Clocks of hosts are not compared. Readers need no lease,
and neither do commands that only add records.

A save that is on its way when a lease is lost is not recalled: orbax has no way
to. Whoever takes over deletes what is half-written, and with it what that save
would have renamed; it stays only if it was complete before, and is then a state
of the run like any other.
"""

import json
import os
import secrets
import socket
import threading
import time

from etils import epath

from sagan_jax import errors, files
from sagan_jax.cluster import processes
from sagan_jax.run import stop

NAME = 'writer.json'
BEAT_SECS = 15.0
STALE_SECS = 90.0
# Until two that took it at once both see whose it is.
_SETTLE_SECS = {False: 0.3, True: 2.0}  # {in a bucket: s}
_LOOK_SECS = 0.5
_MAX_BYTES = 2**16


class Lost(errors.UserError):
  """Another process writes to the directory by now."""


class Lease:
  """The right to write to a run directory, as a context that gives it back.

  Args:
    workdir: a path or URL.
    is_main: whether this is the process that writes; others get nothing.
    say: called with lines.

  Raises:
    UserError: at once if a process of this machine holds it, or within
      `BEAT_SECS` if one of another does.
  """

  def __init__(self, workdir, *, is_main=True, say=print):
    self._path = files.as_path(workdir) / NAME
    self._is_main = is_main
    self._say = say
    self._mine = _signed()
    self._confirmed = 0.0  # Time at which it was seen to be ours; 0 for never.
    self._lost = None
    self._ended = threading.Event()
    if is_main:
      self._await_death()

  def __enter__(self):
    return self

  def __exit__(self, *error):
    self.release()

  def take(self):
    """Takes it; the directory exists.

    Raises:
      UserError: as the constructor, or if it cannot be written.
    """
    if not self._is_main:
      return
    remote, is_new = files.is_remote(self._path), self._create()
    if not is_new:
      if self._await_death():
        files.write(self._path, json.dumps(self._mine))
      else:
        self._create()
    if remote or not is_new:
      time.sleep(_SETTLE_SECS[remote])
    self._confirm()
    if self._lost:
      self._refuse(self._lost, 'has just begun')
    stop.before_end(self.release)
    threading.Thread(target=self._beat, name='lease', daemon=True).start()

  def check(self):
    """Raises `Lost` if another process has taken it over.

    Looks only where the thread has not, because the process or the machine was
    stopped: to be called before anything is written.
    """
    if self._confirmed and time.time() - self._confirmed > 2 * BEAT_SECS:
      self._confirm()
    if self._lost:
      raise Lost(
        f'{_named(self._lost)} has taken over {self._path.parent} while this '
        'process showed no sign of life; nothing more is written'
      )

  def release(self):
    """Gives it back, if it is still held; raises nothing."""
    self._ended.set()
    if self._confirmed:
      self._confirmed = 0.0
      try:
        if _read(self._path).get('token') == self._mine['token']:
          self._path.unlink(missing_ok=True)
      except OSError as e:
        self._say(f'{self._path} could not be removed ({e.strerror or e})')

  def _create(self):
    """Makes the file; returns whether it is ours and was not there."""
    content = json.dumps(self._mine).encode()
    with files.writing(self._path):
      if files.is_remote(self._path):  # `take` reads it back.
        if self._path.exists():
          return False
        self._path.write_bytes(content)
        return True
      try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with open(os.open(self._path, flags, 0o666), 'wb') as file:
          file.write(content)
      except FileExistsError:
        return False
    return True

  def _beat(self):
    while not self._ended.wait(BEAT_SECS):
      self._confirm(beat=True)

  def _confirm(self, beat=False):
    """Looks whether it is ours, and shows that we live."""
    try:
      if not self._path.exists() and not self._ended.is_set():
        self._create()  # Somebody tidied up.
      found = _read(self._path)
      if found.get('token') == self._mine['token']:
        self._confirmed = time.time()
        if beat and not self._ended.is_set():
          _touch(self._path, self._mine)
      else:
        self._lost = found
    except (OSError, errors.UserError):  # Of a disk that may come back.
      pass

  def _await_death(self):
    """Returns whether there is a lease of a process that is dead.

    Raises:
      UserError: if it lives.
    """
    seen, found = _sign(self._path), _read(self._path)
    if seen is None:
      return False
    lives = processes.lives(found)
    if lives:
      self._refuse(found, 'is at work')
    if lives is False:
      return True
    began, told = time.monotonic(), False
    while time.monotonic() - began < STALE_SECS:
      time.sleep(_LOOK_SECS)
      if (now := _sign(self._path)) != seen:
        if now is None:
          return False
        self._refuse(_read(self._path), 'is at work')
      if not told and time.monotonic() - began > 4:
        self._say(
          f'{_named(found)} was writing to {self._path.parent}; waiting '
          f'{STALE_SECS:.0f} s for a sign of life of it ...'
        )
        told = True
    return True

  def _refuse(self, found, why):
    raise errors.UserError(
      f'{_named(found)} {why} in {self._path.parent}; wait for it, stop it, or '
      f'choose another --workdir. If it is gone, {STALE_SECS:.0f} s without a '
      'sign of life end its right'
    )


def _signed():
  return {
    'token': secrets.token_hex(16),
    'host': socket.gethostname(),
    'since': time.strftime('%Y-%m-%d %H:%M:%S %z'),
    **processes.identity(),
  }


def _named(found):
  return (
    f'process {found.get("pid", "?")} on {found.get("host", "another host")}, '
    f'since {found.get("since", "a moment ago")},'
  )


def _read(path: epath.Path) -> dict:
  """What a lease says; {} if there is none, or none that can be read."""
  try:
    found = files.read_json(path)
  except errors.UserError:
    return {}
  is_lease = isinstance(found, dict) and not any(
    isinstance(value, (dict, list)) for value in found.values()
  )
  return found if is_lease else {}


def _sign(path):
  """What changes with every sign of life; None if there is no lease."""
  try:
    with files.open_file(path) as file:
      return file.read(_MAX_BYTES), path.stat().mtime
  except (FileNotFoundError, NotADirectoryError):
    return None
  except OSError as e:
    raise errors.UserError(
      f'cannot read {path}: {e.strerror or e}; mend its permissions'
    ) from e


def _touch(path, content):
  if files.is_remote(path):
    path.write_bytes(json.dumps(content | {'beat': time.time()}).encode())
  else:
    os.utime(path)
