"""What a process does when it is asked to stop."""

import signal


class on_first_signal:  # noqa: N801 - reads as a phrase where it is used.
  """Calls a function at the first SIGTERM or Ctrl-C; a second one kills."""

  def __init__(self, callback):
    self._callback = callback
    self._before = {}

  def __enter__(self):
    for number in (signal.SIGTERM, signal.SIGINT):
      self._before[number] = signal.signal(number, self._handle)

  def _handle(self, number, frame):
    del number, frame
    for each in self._before:
      signal.signal(each, signal.SIG_DFL)
    self._callback()

  def __exit__(self, *error):
    for number, handler in self._before.items():
      signal.signal(number, handler)
