"""Sources with random access: the order of their examples, and their class.

The global batch does not depend on the number of processes, and any batch is
reached at once.
"""

from collections.abc import Callable, Iterator

import numpy as np

from sagan_jax.data import identities, source


class IndexedSource:
  """A `source.Source` made of a function that reads numbered examples."""

  def __init__(
    self,
    read: Callable[[Iterator[np.ndarray]], Iterator[source.Batch]],
    *,
    name: str,
    num_examples: int,
    class_names: tuple[str, ...],
    image_size: int,
    identity: dict,
    verify: Callable[[], None] | None = None,
  ):
    """Initialises the source.

    Args:
      read: int64 [n] example numbers, again and again -> their batches.
      name: see `source.Source`, as all that follow.
      num_examples: of the split.
      class_names: of the labels.
      image_size: of the images, pixels.
      identity: JSON-serialisable facts.
      verify: see `source.Source.verify`; None if there is nothing to check.
    """
    self._read = read
    self._verify = verify
    self.name = name
    self.num_examples = num_examples
    self.num_classes = len(class_names)
    self.class_names = class_names
    self.image_size = image_size
    self.identity = identity

  @property
  def fingerprint(self) -> str:
    """See `source.Source`."""
    return identities.fingerprint(self.identity)

  def batches(
    self,
    *,
    seed: int,
    batch_size: int,
    start: int = 0,
    process_index: int = 0,
    process_count: int = 1,
  ) -> Iterator[source.Batch]:
    """Yields shuffled batches without end; see `source.Source.batches`."""
    local_size = source.local_batch_size(
      batch_size, process_index, process_count
    )
    first = start * batch_size + process_index * local_size
    return self._read(
      _shuffled_indices(self.num_examples, seed, first, batch_size, local_size)
    )

  def examples(
    self,
    *,
    batch_size: int,
    start: int = 0,
    process_index: int = 0,
    process_count: int = 1,
  ) -> Iterator[source.Batch]:
    """Yields every example once, in order; see `source.Source.examples`."""
    source.check_process(process_index, process_count)
    begin = self.num_examples * process_index // process_count
    end = self.num_examples * (process_index + 1) // process_count
    begins = range(begin + start, end, batch_size)
    return self._read(np.arange(b, min(b + batch_size, end)) for b in begins)

  def verify(self) -> None:
    """Checks every example; see `source.Source.verify`."""
    if self._verify is not None:
      self._verify()


def epoch_order(seed: int, epoch: int, num_examples: int) -> np.ndarray:
  """Returns the permutation of one epoch.

  Sorts raw Philox output, whose values NumPy promises to keep (NEP 19);
  `Generator.permutation` may change between versions of NumPy, and with it
  the data a resumed run would see.

  Args:
    seed: of the run, >= 0.
    epoch: number of the epoch, >= 0.
    num_examples: length of the permutation.

  Returns:
    int64 [num_examples].
  """
  bits = np.random.Philox(np.random.SeedSequence([seed, epoch]))
  return np.argsort(bits.random_raw(num_examples), kind='stable')


def _shuffled_indices(
  num_examples: int, seed: int, position: int, stride: int, size: int
) -> Iterator[np.ndarray]:
  """Yields slices of the endless stream of shuffled epochs.

  Args:
    num_examples: in an epoch.
    seed: of the shuffle.
    position: in the stream, where the first slice begins.
    stride: from one slice's beginning to the next.
    size: of a slice.

  Yields:
    int64 [size], example numbers.
  """
  epoch, order = -1, np.empty(0, np.int64)
  while True:
    pieces, at, end = [], position, position + size
    while at < end:
      if at // num_examples != epoch:
        epoch = at // num_examples
        order = epoch_order(seed, epoch, num_examples)
      begin = at - epoch * num_examples
      pieces.append(order[begin : begin + end - at])
      at += len(pieces[-1])
    yield np.concatenate(pieces)
    position += stride
