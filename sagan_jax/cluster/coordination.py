"""The key-value store of jax's coordination service, which process 0 serves.

The one file that uses it: jax has no public name for it.
"""

import json
import time
from typing import Any

import jax
from jax._src import distributed

# Of a single request; a wait is made of many, so that it can be told about.
_REQUEST_MS = 5_000


class Gone(Exception):
  """The service does not answer any more: process 0 has ended."""


class Store:
  """JSON values by key, seen by all processes that were joined."""

  def __init__(self):
    self._client: Any = distributed.global_state.client

  def set(self, key, value):
    """Sets a key, in place of what it held."""
    _call(
      self._client.key_value_set, key, json.dumps(value), allow_overwrite=True
    )

  def wait_for(self, key, secs=None):
    """Waits until a key is set; returns its value.

    Args:
      key: that some process sets.
      secs: how long to wait at most; None for as long as it takes.

    Raises:
      TimeoutError: if it was not set in time.
    """
    deadline = time.monotonic() + secs if secs is not None else float('inf')
    while True:
      left = min(deadline - time.monotonic(), _REQUEST_MS / 1000)
      if left <= 0:
        raise TimeoutError(key)
      try:
        found = _call(
          self._client.blocking_key_value_get, key, int(left * 1000) + 1
        )
        return json.loads(found)
      except TimeoutError:
        pass

  def entries(self, prefix):
    """Returns {key without the prefix: value} of the keys that begin so."""
    found = _call(self._client.key_value_dir_get, prefix)
    return {key.removeprefix(prefix): json.loads(text) for key, text in found}


def _call(function, *arguments, **options):
  try:
    return function(*arguments, **options)
  except jax.errors.JaxRuntimeError as e:
    if str(e).startswith('DEADLINE_EXCEEDED'):
      raise TimeoutError from e
    raise Gone(str(e).splitlines()[0]) from e
