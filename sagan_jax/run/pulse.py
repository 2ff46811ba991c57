"""Signs of life of a run, in memory that it shares with its watchdog.

A run without a watchdog (`supervisor`) writes none.
"""

import mmap
import struct
import tempfile
from typing import NamedTuple

_COUNTS = struct.Struct('<Qq')  # Rounds of progress; the last finished step.
_PHASE = struct.Struct('<32s')
_ALIVE = struct.Struct('<Q')
_PHASE_AT = _COUNTS.size
_ALIVE_AT = _PHASE_AT + _PHASE.size
_SIZE = _ALIVE_AT + _ALIVE.size

_pulse = None


class Reading(NamedTuple):
  """What a run has said last."""

  progress: int  # Counts signs of progress.
  step: int  # The last finished one.
  phase: str
  alive: int  # Counts rounds of a thread that does not wait for the main one.


class Pulse:
  """The shared memory.

  Args:
    fileno: of a file that `open_file` has made.
  """

  def __init__(self, fileno):
    self._memory = mmap.mmap(fileno, _SIZE)
    self._progress = 0
    self._alive = 0
    self._step = 0

  def beat(self, step=None):
    """Tells progress, and which step is finished."""
    self._progress += 1
    if step is not None:
      self._step = step
    _COUNTS.pack_into(self._memory, 0, self._progress, self._step)

  def phase(self, name):
    """Tells what the run does now, in at most 32 letters."""
    _PHASE.pack_into(self._memory, _PHASE_AT, name.encode())
    self.beat()

  def alive(self):
    """Tells that threads other than the main one can run."""
    self._alive += 1
    _ALIVE.pack_into(self._memory, _ALIVE_AT, self._alive)

  def read(self):
    """Returns the `Reading` of now."""
    progress, step = _COUNTS.unpack_from(self._memory, 0)
    (name,) = _PHASE.unpack_from(self._memory, _PHASE_AT)
    (alive,) = _ALIVE.unpack_from(self._memory, _ALIVE_AT)
    return Reading(progress, step, name.rstrip(b'\0').decode(), alive)


def open_file():
  """A file to share, which is gone when nobody holds it any more."""
  file = tempfile.TemporaryFile()
  file.truncate(_SIZE)
  return file


def start(pulse):
  """Makes a `Pulse` that of this process; None ends it."""
  global _pulse
  _pulse = pulse


def watched():
  """Whether a watchdog reads the signs of this process."""
  return _pulse is not None


def beat(step=None):
  """`Pulse.beat`."""
  if _pulse:
    _pulse.beat(step)


def phase(name):
  """`Pulse.phase`."""
  if _pulse:
    _pulse.phase(name)


def alive():
  """`Pulse.alive`."""
  if _pulse:
    _pulse.alive()
