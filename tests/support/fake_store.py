"""A coordination service for threads that stand for processes."""

import threading
import time


class Store:
  """The methods of `coordination.Store`, in one process."""

  def __init__(self):
    self._values = {}
    self._changed = threading.Condition()

  def set(self, key, value):
    with self._changed:
      self._values[key] = value
      self._changed.notify_all()

  def wait_for(self, key, secs=None):
    with self._changed:
      if not self._changed.wait_for(lambda: key in self._values, secs):
        raise TimeoutError(key)
      return self._values[key]

  def entries(self, prefix):
    with self._changed:
      return {
        key.removeprefix(prefix): value
        for key, value in self._values.items()
        if key.startswith(prefix)
      }


def together(count, function):
  """Calls function(i) in a thread for each i < count; returns what they return.

  An exception is returned in place of a value.
  """
  found = [None] * count

  def call(i):
    try:
      found[i] = function(i)
    except BaseException as e:  # noqa: BLE001 - `Stopped` is one.
      found[i] = e

  threads = [
    threading.Thread(target=call, args=(i,), daemon=True) for i in range(count)
  ]
  for thread in threads:
    thread.start()
  deadline = time.monotonic() + 30
  for thread in threads:
    thread.join(max(0, deadline - time.monotonic()))
    assert not thread.is_alive(), 'a thread hangs'
  return found
