"""Keeps batches ready on the devices while a step runs."""

import collections
import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from sagan_jax import errors

Host = TypeVar('Host')
Device = TypeVar('Device')

_CLOSE_SECS = 10.0
_LOOK_SECS = 0.5


class Prefetcher(Generic[Host, Device]):
  """Reads an iterator in a background thread, `depth` items ahead.

  An exception of the iterator or of `put` is raised in the consumer, with the
  traceback of where it happened, after the items before it.

  A context manager; leaving it closes the prefetcher.

  Attributes:
    error: the exception that comes after the items that are ready; None while
      none is known of.
    wait_secs: how long the consumer has waited in `next`, in all, seconds. Its
      growth over some steps, divided by their duration, is the share of time
      lost to input.
  """

  def __init__(
    self,
    iterator: Iterator[Host],
    put: Callable[[Host], Device],
    *,
    depth: int,
    reserve: int = 0,
  ):
    """Starts the thread.

    Args:
      iterator: what to read; only the thread uses it, and closes it at the
        end if it has a `close` method.
      put: applied to each item by the thread: host batch -> device arrays.
      depth: how many items to keep ready, >= 1.
      reserve: how many more; an item is handed out when so many are ready
        behind it, or no more will be. So `error` is known with so many items
        left, the one that is handed out among them.

    Raises:
      UserError: if `depth` is less than 1.
    """
    if depth < 1:
      raise errors.UserError(
        f'prefetch depth {depth} must be at least 1 batch; set '
        '--config.prefetch'
      )
    self.wait_secs = 0.0
    self._iterator = iterator
    self._put = put
    self._depth = depth + reserve
    self._reserve = reserve
    self._ready = collections.deque()
    self._changed = threading.Condition()
    self.error: BaseException | None = None
    self._done = False  # The thread will add nothing more.
    self._closed = False
    # A daemon, so that a hanging read does not keep a failed program alive.
    self._thread = threading.Thread(
      target=self._work, name='prefetch', daemon=True
    )
    self._thread.start()

  def __iter__(self):
    return self

  def __next__(self) -> Device:
    """`next` without anything to do meanwhile."""
    return self.next(lambda _: None)

  def next(self, waiting: Callable[[float], None]) -> Device:
    """Returns the next item; waits until it is ready.

    Args:
      waiting: called about twice a second while there is none, with the seconds
        waited; what it raises ends the wait.

    Returns:
      What `put` made of the iterator's next item.

    Raises:
      StopIteration: at the iterator's end.
      RuntimeError: if the prefetcher is closed.
    """
    start = time.perf_counter()
    with self._changed:
      try:
        while not (
          len(self._ready) > self._reserve or self._done or self._closed
        ):
          if not self._changed.wait(_LOOK_SECS):
            waiting(time.perf_counter() - start)
      finally:
        self.wait_secs += time.perf_counter() - start
      if self._closed:
        raise RuntimeError('the prefetcher is closed')
      if self._ready:
        item = self._ready.popleft()
        self._changed.notify_all()
        return item
      if self.error is not None:
        raise self.error
      raise StopIteration

  def close(self) -> None:
    """Stops the thread once it has finished its current item.

    A thread that hangs in a read is left behind after `_CLOSE_SECS`: it is a
    daemon, so the program can still end.
    """
    with self._changed:
      self._closed = True
      self._ready.clear()
      self._changed.notify_all()
    self._thread.join(_CLOSE_SECS)

  def __enter__(self):
    return self

  def __exit__(self, *unused_exc_info):
    self.close()

  def _work(self) -> None:
    try:
      try:
        self._read()
      finally:
        # A generator can be closed only by the thread that runs it.
        close = getattr(self._iterator, 'close', None)
        if close is not None:
          close()
    except BaseException as e:  # noqa: BLE001 - raised again by `__next__`.
      self.error = e
    finally:
      with self._changed:
        self._done = True
        self._changed.notify_all()

  def _read(self) -> None:
    while True:
      with self._changed:
        self._changed.wait_for(
          lambda: len(self._ready) < self._depth or self._closed
        )
        if self._closed:
          return
      try:
        item = next(self._iterator)
      except StopIteration:
        return
      item = self._put(item)
      with self._changed:
        # Closed meanwhile: let go of the item, it may fill device memory.
        if not self._closed:
          self._ready.append(item)
          self._changed.notify_all()
