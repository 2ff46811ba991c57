"""What a data source is, and the order in which examples are visited.

A source yields NumPy batches of uint8 images and int32 labels. The order is a
pure function of `(seed, batch number)`: a restarted run asks for batch k and
gets the batch an uninterrupted run would have seen, with no state to save.

The examples of one epoch are a permutation of the data set; epochs are joined
end to end, so that a batch may straddle two of them and none is dropped. Batch
k holds the stream's positions `[k * batch_size, (k + 1) * batch_size)`.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypedDict

import numpy as np


class Batch(TypedDict):
  """Some examples, on the host."""

  image: np.ndarray  # uint8 [b, H, W, 3], RGB
  label: np.ndarray  # int32 [b], in [0, num_classes)


class Source(Protocol):
  """A labelled image data set of one split at one image size.

  Attributes:
    name: what `make_source` was given, e.g. 'shapes' or 'tfds:cifar10'.
    num_examples: examples in the split, over all processes.
    num_classes: labels are in [0, num_classes).
    class_names: one name for each label.
    image_size: height and width of the images, pixels.
    fingerprint: hex digest of what the data is: identity, version, split and
      preprocessing. Equal fingerprints mean equal images, so that it can key a
      cache of statistics of the data.
  """

  name: str
  num_examples: int
  num_classes: int
  class_names: tuple[str, ...]
  image_size: int
  fingerprint: str

  def batches(
    self,
    *,
    seed: int,
    batch_size: int,
    start: int = 0,
    process_index: int = 0,
    process_count: int = 1,
  ) -> Iterator[Batch]:
    """Yields shuffled batches without end.

    Args:
      seed: of the shuffle; the same on all processes.
      batch_size: examples in a batch over all processes.
      start: number of the first batch to yield.
      process_index: which part of each batch to yield.
      process_count: parts; must divide `batch_size`.

    Returns:
      An iterator over batches of `batch_size / process_count` examples.
    """
    ...

  def examples(
    self,
    *,
    batch_size: int,
    start: int = 0,
    process_index: int = 0,
    process_count: int = 1,
  ) -> Iterator[Batch]:
    """Yields every example once, in stored order.

    Args:
      batch_size: examples in a batch of this process; the last may be shorter.
      start: examples of this process's share to skip.
      process_index: which share of the examples to yield.
      process_count: shares; they are disjoint and together are everything.

    Returns:
      An iterator over batches.
    """
    ...


def fingerprint(**identity) -> str:
  """Returns a short SHA-256 of what identifies a data set.

  Args:
    **identity: JSON-serialisable facts; a change of any changes the result.

  Returns:
    16 hexadecimal digits.
  """
  text = json.dumps(identity, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_labels(
  label: np.ndarray,
  num_classes: int,
  *,
  where: str,
  names: Sequence[str] | None = None,
) -> np.ndarray:
  """Returns labels as int32 after checking their range.

  On a device an out-of-range label would be clamped without a word, so that it
  would train the wrong class.

  Args:
    label: integers [n].
    num_classes: exclusive upper limit.
    where: what the labels belong to, for the error text.
    names: of the n examples, for the error text; None numbers them from 0.

  Returns:
    int32 [n].

  Raises:
    ValueError: if a label is outside [0, num_classes).
  """
  bad = np.flatnonzero((label < 0) | (label >= num_classes))
  if bad.size:
    name = bad[0] if names is None else names[bad[0]]
    raise ValueError(
      f'{where}: example {name} has label {label[bad[0]]}; labels '
      f'must be in [0, {num_classes}). A split without labels (such as a '
      'hidden test set) cannot be used: set --config.dataset.split.'
    )
  return label.astype(np.int32)


def check_process(process_index: int, process_count: int) -> None:
  """Raises unless `process_index` is one of `process_count`.

  Args:
    process_index: number of a process.
    process_count: how many there are.

  Raises:
    ValueError: if the index is not in [0, process_count).
  """
  if not 0 <= process_index < process_count:
    raise ValueError(
      f'process_index {process_index} must be in [0, {process_count}), the '
      'number of processes'
    )


def local_batch_size(
  batch_size: int, process_index: int, process_count: int
) -> int:
  """Returns how many examples of a global batch belong to one process.

  Args:
    batch_size: of the global batch.
    process_index: number of the process.
    process_count: how many there are.

  Returns:
    `batch_size / process_count`.

  Raises:
    ValueError: if that is not a whole positive number.
  """
  check_process(process_index, process_count)
  if batch_size < 1 or batch_size % process_count:
    raise ValueError(
      f'batch_size {batch_size} must be a positive multiple of '
      f'{process_count} processes; set --config.batch_size'
    )
  return batch_size // process_count


def share(
  num_examples: int, process_index: int, process_count: int
) -> tuple[int, int]:
  """Returns the contiguous range of examples that one process reads.

  Args:
    num_examples: over all processes.
    process_index: number of the process.
    process_count: how many there are.

  Returns:
    (begin, end); the shares differ in size by one example at most.
  """
  check_process(process_index, process_count)
  return (
    num_examples * process_index // process_count,
    num_examples * (process_index + 1) // process_count,
  )


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


def indexed_batches(
  gather: Callable[[np.ndarray], Batch],
  num_examples: int,
  *,
  seed: int,
  batch_size: int,
  start: int,
  process_index: int,
  process_count: int,
) -> Iterator[Batch]:
  """Implements `Source.batches` for a source with random access.

  Args:
    gather: int64 [n] example numbers -> their batch.
    num_examples: examples in the source.
    seed: as in `Source.batches`.
    batch_size: as in `Source.batches`.
    start: as in `Source.batches`.
    process_index: as in `Source.batches`.
    process_count: as in `Source.batches`.

  Returns:
    An iterator over this process's rows of batch `start`, `start + 1`, ...
    The global batch does not depend on `process_count`.
  """
  indices = shuffled_indices(
    num_examples,
    seed=seed,
    batch_size=batch_size,
    start=start,
    process_index=process_index,
    process_count=process_count,
  )
  return (gather(rows) for rows in indices)


def shuffled_indices(
  num_examples: int,
  *,
  seed: int,
  batch_size: int,
  start: int,
  process_index: int,
  process_count: int,
) -> Iterator[np.ndarray]:
  """Yields the example numbers of each batch, without end.

  Args:
    num_examples: examples in the source.
    seed: as in `Source.batches`.
    batch_size: as in `Source.batches`.
    start: as in `Source.batches`.
    process_index: as in `Source.batches`.
    process_count: as in `Source.batches`.

  Returns:
    An iterator over int64 [batch_size / process_count].
  """
  # Checked here, not in the generator: that would wait for the first `next`.
  local_size = local_batch_size(batch_size, process_index, process_count)
  first = start * batch_size + process_index * local_size

  def generate():
    epoch, order = -1, None
    for position in _count(first, batch_size):
      pieces = []
      end = position + local_size
      while position < end:
        if position // num_examples != epoch:
          epoch = position // num_examples
          order = epoch_order(seed, epoch, num_examples)
        begin = position - epoch * num_examples
        pieces.append(order[begin : begin + end - position])
        position += len(pieces[-1])
      yield np.concatenate(pieces)

  return generate()


def _count(first: int, step: int) -> Iterator[int]:
  while True:
    yield first
    first += step


def stored_indices(
  num_examples: int,
  *,
  batch_size: int,
  start: int,
  process_index: int,
  process_count: int,
) -> Iterator[np.ndarray]:
  """Yields one process's example numbers in order, in chunks.

  Args:
    num_examples: examples in the source.
    batch_size: as in `Source.examples`.
    start: as in `Source.examples`.
    process_index: as in `Source.examples`.
    process_count: as in `Source.examples`.

  Returns:
    An iterator over int64 [<= batch_size].
  """
  begin, end = share(num_examples, process_index, process_count)
  begins = range(begin + start, end, batch_size)
  return (np.arange(b, min(b + batch_size, end)) for b in begins)
