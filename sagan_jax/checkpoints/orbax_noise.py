"""Keeps orbax from printing tracebacks of the errors that it also raises.

A disk that is full would otherwise show as some 900 lines: every thread logs
its own, and TensorStore calls back into an event loop that was left.
"""

import functools
import logging
import sys


@functools.cache
def silence():
  """Filters them out of absl's log and the interpreter's; once per process."""
  logging.getLogger('absl').addFilter(
    lambda record: not (record.exc_info and '/orbax/' in record.pathname)
  )
  logging.getLogger('asyncio').addFilter(_is_not_of_a_lost_task)
  print_it = sys.unraisablehook

  def hook(unraisable):
    error = unraisable.exc_value
    if not (
      isinstance(error, RuntimeError) and str(error) == 'Event loop is closed'
    ):
      print_it(unraisable)

  sys.unraisablehook = hook


def _is_not_of_a_lost_task(record):
  """False for tasks of orbax that nobody waits for: what they did has failed."""
  text = record.getMessage()
  return not (
    (text.startswith('Task exception was never') and '/orbax/' in text)
    or (text.startswith('Future exception was never') and 'tensorstore' in text)
  )
