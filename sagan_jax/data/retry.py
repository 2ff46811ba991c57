"""Batches of a source that may fail for a moment, as a network disk does."""

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from sagan_jax import errors

# A minute in all: what lasts longer is no moment.
PAUSES_SECS = (1.0, 3.0, 8.0, 16.0, 32.0)

Item = TypeVar('Item')


def retrying(
  make: Callable[[int], Iterator[Item]],
  name: str,
  start: int,
  say: Callable[[str], None],
) -> Iterator[Item]:
  """Yields the items of an iterator that is made anew when the system fails it.

  Args:
    make: number of the first item -> iterator from there on.
    name: of the source, for what is said.
    start: number of the first item.
    say: called with a line for every failure.

  Yields:
    Items without end, or up to that of the iterator.

  Raises:
    UserError: if an item has failed after every pause of `PAUSES_SECS`.
  """
  failures = 0
  while True:
    try:
      for item in make(start):
        start, failures = start + 1, 0
        yield item
      return
    except OSError as e:
      reason = e.strerror or str(e) or type(e).__name__
      if failures == len(PAUSES_SECS):
        raise errors.UserError(
          f'{name} cannot be read: {reason}; {failures + 1} attempts have '
          'failed. Look at its disk or network, and run the same command again'
        ) from e
      pause = PAUSES_SECS[failures]
      failures += 1
      say(
        f'{name} cannot be read: {reason}; attempt {failures + 1} of '
        f'{len(PAUSES_SECS) + 1} in {pause:g} s'
      )
      time.sleep(pause)
