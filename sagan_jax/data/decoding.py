"""Decodes batches of images ahead, in threads."""

import concurrent.futures
import os
from collections.abc import Callable, Iterator

import numpy as np

from sagan_jax.data import source


class Decoder:
  """Turns lists of example numbers into batches, in order.

  In threads, because Pillow decodes without Python's lock.
  """

  def __init__(self, load: Callable[[int], tuple[np.ndarray, int]]):
    """Initialises the decoder.

    Args:
      load: example number -> (image uint8 [H, W, 3], label); is called by
        several threads.
    """
    self._load = load
    # Starts its threads on first use; they end with the source.
    self._pool = concurrent.futures.ThreadPoolExecutor(
      os.cpu_count(), thread_name_prefix='decode'
    )

  def __call__(self, indices: Iterator[np.ndarray]) -> Iterator[source.Batch]:
    """Reads examples.

    Args:
      indices: int64 [n] example numbers of each batch.

    Yields:
      The batches.
    """
    pending = None
    for index in indices:
      # Begun before the last batch is waited for, so that no thread idles at
      # the end of that.
      begun = [self._pool.submit(self._load, int(i)) for i in index]
      if pending is not None:
        yield _finish(pending)
      pending = begun
    if pending is not None:
      yield _finish(pending)


def _finish(examples: list[concurrent.futures.Future]) -> source.Batch:
  images, labels = zip(*(e.result() for e in examples), strict=True)
  return source.Batch(image=np.stack(images), label=np.array(labels, np.int32))
