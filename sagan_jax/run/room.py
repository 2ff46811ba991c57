"""A disk without room: saving pauses, and training goes on for a while.

What the disk refuses is kept in memory, up to a limit, and written in its order
when there is room again: rows of the log, pictures, records of evaluations. A
state that could not be saved is not kept; the next one that is due is saved. A
process that is killed meanwhile goes on from the last checkpoint, as ever.
"""

import collections
import math
import shutil
import time
from collections.abc import Callable

from etils import epath

from sagan_jax import errors, files, progress
from sagan_jax.run import stop

_MAX_KEPT_BYTES = 2**28
_LINE_SECS = 60.0
_LOOK_SECS = 1.0


class Room:
  """Writes what a run has to write, at once or when there is room.

  Args:
    directory: of the run.
    most_secs: how long the disk may be full; 0 raises what it refuses at once.
    say: called with a line when the disk is full, once a minute while it is,
      and when it is no more.
  """

  def __init__(
    self,
    directory: epath.PathLike,
    most_secs: float = 0,
    say: Callable[[str], None] = print,
  ):
    self._directory = epath.Path(directory)
    self._most_secs = most_secs
    self._say = say
    self._kept: collections.deque = collections.deque()  # (function, bytes)
    self._state_bytes = 0  # Of a state that could not be saved.
    self._since: float | None = None
    self._told = -math.inf

  @property
  def may_pause(self) -> bool:
    """Whether a full disk is survived for a while."""
    return self._most_secs > 0

  @property
  def is_hopeless(self) -> bool:
    """Whether the state that could not be saved has no room by far.

    To try it would fill what is left for others.
    """
    if not self._state_bytes or files.is_remote(self._directory):
      return False
    free = shutil.disk_usage(self._directory).free
    return free < self._state_bytes // 4  # Compression saves less.

  @property
  def pauses(self) -> bool:
    """Whether the disk was full when it was last written to."""
    return self._since is not None

  def write(self, function: Callable[[], None], num_bytes: int) -> None:
    """Calls a function that writes, now or later.

    Args:
      function: which may be called again after `errors.DiskFull`.
      num_bytes: that it holds in memory until then.

    Raises:
      DiskFull: if the disk has been full for too long, or too much is kept.
    """
    self._kept.append((function, num_bytes))
    self.retry()

  def retry(self) -> None:
    """Writes what is kept, as far as there is room; raises as `write`."""
    while self._kept:
      try:
        self._kept[0][0]()
      except errors.DiskFull as e:
        if sum(size for _, size in self._kept) > _MAX_KEPT_BYTES:
          raise self._final(e) from e
        self.refused(e)
        return
      except BaseException:
        self._kept.popleft()  # It would fail again when all is closed.
        raise
      self._kept.popleft()
    self._end()

  def refused(self, error: errors.DiskFull, state_bytes: int = 0) -> None:
    """Notes that the disk has no room, or raises that.

    Args:
      error: what it has refused with.
      state_bytes: of the state that was to be saved.
    """
    now = time.monotonic()
    if not self._most_secs:
      raise error
    if self._since is None:
      self._since = now
    self._state_bytes = max(self._state_bytes, state_bytes)
    if now - self._since >= self._most_secs:
      raise self._final(error) from error
    if now - self._told >= _LINE_SECS:
      self._told = now
      left = self._most_secs - (now - self._since)
      self._say(
        f'the disk is full: {self._needs()}; training goes on without saving '
        f'for {progress.duration(left)}, free space there ({error})'
      )

  def saved(self, step: int) -> None:
    """Notes that a state is on the disk."""
    if self._state_bytes:
      self._say(f'there is room again: step {step} is saved')
    self._state_bytes = 0
    self._end()

  def wait(self) -> None:
    """Waits a moment for room, where nothing else is left to do.

    Raises:
      DiskFull: if the disk has been full for too long, or a stop was asked for.
    """
    if stop.requested():
      raise self._final(self._error())
    time.sleep(_LOOK_SECS)
    self.refuse()

  def refuse(self) -> None:
    """Notes that the disk still has no room, or raises that."""
    self.refused(self._error())

  def _error(self):
    return errors.DiskFull(f'cannot write to {self._directory}: it is full')

  def _end(self):
    if self._since is not None and not self._kept and not self._state_bytes:
      secs = progress.duration(time.monotonic() - self._since)
      self._say(f'all is written that a full disk had refused for {secs}')
      self._since, self._told = None, -math.inf

  def _final(self, error):
    since = time.monotonic() if self._since is None else self._since
    return errors.DiskFull(
      f'the disk of {self._directory} has been full for '
      f'{progress.duration(time.monotonic() - since)}: {self._needs()}. Free '
      'space there and run the same command again, which goes on from the last '
      f'checkpoint; --config.checkpoint.full_disk_secs says how long a run waits '
      f'({error})'
    )

  def _needs(self):
    needed = self._state_bytes + sum(size for _, size in self._kept)
    text = f'{self._directory} needs {needed:,} bytes'
    if files.is_remote(self._directory):
      return text
    free = shutil.disk_usage(self._directory).free
    return f'{text}, {free:,} are free'
