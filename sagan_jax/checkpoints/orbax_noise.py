"""Keeps orbax from printing tracebacks of the errors that it also raises.

A disk that is full would otherwise show as some 900 lines: every thread logs
its own, and TensorStore calls back into an event loop that was left.
"""

import functools
import logging
import sys
import traceback


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
    closed = (
      isinstance(error, RuntimeError) and str(error) == 'Event loop is closed'
    )
    if not closed and not _is_of_orbax(unraisable.exc_traceback):
      print_it(unraisable)

  sys.unraisablehook = hook


def _is_not_of_a_lost_task(record):
  """False for tasks of orbax that nobody waits for: what they did has failed."""
  text = record.getMessage()
  if text.startswith('Future exception was never'):
    trace = record.exc_info[2] if record.exc_info else None
    return not ('tensorstore' in text or _is_of_orbax(trace))
  return not (text.startswith('Task exception was never') and '/orbax/' in text)


def _is_of_orbax(trace):
  """Whether an error was raised in orbax, or by what it has called."""
  return any(
    '/orbax/' in frame.f_code.co_filename
    for frame, _ in traceback.walk_tb(trace)
  )
