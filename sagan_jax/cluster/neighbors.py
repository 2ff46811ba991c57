"""The thread by which a process hears of the others, and they of it.

It posts that this process is alive, and reads what the others have posted: a
request to stop, a failure. Process 0 finds those that are silent. Nothing here
waits for the main thread, which may be stuck in a collective.
"""

import os
import sys
import threading
import time

from sagan_jax.cluster import coordination, exit_codes

POLL_SECS = 0.5
# A process that has not been heard of for so long is taken for dead.
SILENCE_SECS = 15
# The same where an error says, too, that something is wrong.
DOUBT_SECS = 5
_FAREWELL_SECS = 5


class Neighbors:
  """Watches over the other processes of an `agree.Group`.

  Args:
    group: the `Group`.
    can_stop_later: whether this process, asked to stop, would lose something
      if it ended at once.
    beat: called at each round, as a sign of life.
  """

  def __init__(self, group, can_stop_later, beat=lambda: None):
    self._group = group
    self._store = group.store
    self._can_stop_later = can_stop_later
    self._beat = beat
    self._heard = {}  # {process: (its last sign of life, when)}
    self._answered = False
    self._settled = False
    self._lost = set()  # Processes that no farewell is to be expected of.
    self._leaving = threading.Lock()
    self._answered_at = time.monotonic()

  def start(self):
    """Starts to watch, in the background."""
    for function in (self._watch, self._watch_coordinator):
      threading.Thread(target=function, daemon=True).start()

  def request_stop(self):
    """Asks all processes, this one too, to stop at the same operation."""
    self._store.set(f'stop/{self._group.index}', True)

  def fail(self, code, text):
    """Tells all that this process has failed, and ends it.

    Args:
      code: to end with, on all.
      text: one line, which the others print.
    """
    self._leaving.acquire()  # Nobody else is to end this process now.
    try:
      self._store.set(f'failed/{self._group.index}', [code, text])
      self._say_goodbye()
    except coordination.Gone:
      pass
    self._exit(code)

  def finish(self, code):
    """Waits until all processes have come to their end, then ends this one."""
    index = self._group.index
    try:
      self._store.set(f'finished/{index}', code)
      while len(self._store.entries('finished/')) < self._group.count:
        time.sleep(POLL_SECS / 5)
      self._leaving.acquire()
      self._say_goodbye()
    except coordination.Gone:
      self._leave(exit_codes.HUNG, 'process 0 has ended before this one')
    self._exit(code)

  def find_culprit(self):
    """Returns when no other process can be to blame for an error of this one.

    What all do together fails at once when a process dies, which the watch
    finds out later. So all must show that they live, whatever the error says;
    if one does not, all processes end because of it and nothing returns.
    """
    nothing = -1, 0
    began = time.monotonic()
    try:
      before = self._group.signs()
      while silent := [
        i
        for i, sign in self._group.signs().items()
        if sign[0] < before.get(i, nothing)[0] + 2  # One may be on its way.
      ]:
        if time.monotonic() - began > DOUBT_SECS:
          self._give_up(silent[0], DOUBT_SECS)
        time.sleep(POLL_SECS / 2)
    except coordination.Gone:
      time.sleep(SILENCE_SECS)  # The watch ends this process.

  def _watch(self):
    rounds = 0
    while True:
      self._beat()
      try:
        self._group.show(rounds)
        self._read()
        if self._group.index == 0:
          self._find_silent()
      except coordination.Gone as e:
        self._leave(
          exit_codes.HUNG, f'process 0, which coordinates, has gone ({e})'
        )
      self._answered_at = time.monotonic()
      rounds += 1
      time.sleep(POLL_SECS)

  def _watch_coordinator(self):
    """Ends this process if requests are not even refused."""
    while True:
      time.sleep(1)
      silent = time.monotonic() - self._answered_at
      if silent > SILENCE_SECS:
        self._leave(
          exit_codes.HUNG,
          f'process 0, which coordinates, has not answered for {silent:.0f} s',
        )

  def _read(self):
    failed = self._store.entries('failed/')
    for i, (code, text) in sorted(failed.items()):
      self._leave(code, f'process {i}: {text}')
    if not self._settled and (asked := self._store.entries('stop/')):
      self._answer(sorted(asked))

  def _answer(self, asked):
    """Tells where this process is; acts when all have told."""
    group = self._group
    if not self._answered:
      self._answered = True
      place = group.hold() if self._can_stop_later() else None
      _tell(f'process {" and ".join(asked)} was asked to stop; all will')
      self._store.set(f'places/{group.index}', place)
    places = self._store.entries('places/')
    if len(places) < group.count:
      return
    self._settled = True
    if None in places.values():
      self._leave(
        exit_codes.STOPPED, 'stopped; run the same command again to go on'
      )
    group.release(max(places.values()))

  def _find_silent(self):
    now = time.monotonic()
    finished = self._store.entries('finished/')
    for i, sign in self._group.signs().items():
      if self._heard.get(i, (None, 0))[0] != sign:
        self._heard[i] = sign, now
    for i, (_, when) in self._heard.items():
      if now - when > SILENCE_SECS and str(i) not in finished:
        self._give_up(i, now - when)

  def _give_up(self, i, secs):
    """Ends all processes because one of them is silent."""
    text = (
      f'process {i} is dead or stuck, it has not been heard of for {secs:.0f} s'
    )
    self._lost.add(i)
    self._store.set(f'failed/{self._group.index}', [exit_codes.HUNG, text])
    self._leave(exit_codes.HUNG, text)

  def _leave(self, code, text):
    """Ends this process because of what was heard."""
    self._leaving.acquire()  # For good.
    _tell(text)
    try:
      self._say_goodbye()
    except coordination.Gone:
      pass
    self._exit(code)

  def _say_goodbye(self):
    """Process 0 goes last, as the others could not read what it says then."""
    group = self._group
    self._store.set(f'gone/{group.index}', True)
    deadline = time.monotonic() + _FAREWELL_SECS
    while group.index == 0 and time.monotonic() < deadline:
      if len(self._store.entries('gone/')) >= group.count - len(self._lost):
        deadline = 0
      time.sleep(POLL_SECS / 2)  # They say so just before they end.

  def _exit(self, code):
    # Not by sys.exit: jax would wait for the others, which may be stuck.
    for stream in (sys.stdout, sys.stderr):
      try:
        stream.flush()
      except (OSError, ValueError):
        pass
    os._exit(code)


def _tell(text):
  # Not by `print`, whose lock the main thread may hold.
  try:
    os.write(2, f'{text}\n'.encode())
  except OSError:
    pass
