"""What a data source is.

A source yields NumPy batches of uint8 images and int32 labels. Their order is a
pure function of `(seed, batch number)`: a restarted run asks for batch k and
gets the batch an uninterrupted run would have seen, with no state to save.

The examples of one epoch are a permutation of the data set; epochs are joined
end to end, so that a batch may straddle two of them and none is dropped. Batch
k holds the stream's positions `[k * batch_size, (k + 1) * batch_size)`.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, TypedDict

import numpy as np

from sagan_jax import errors


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
    identity: JSON-serialisable facts that say what the data is: kind, contents,
      version, split, preprocessing. Two of them can be compared with
      `data.changes`. It does not depend on where the data lies.
    fingerprint: hex digest of `identity`. Equal fingerprints mean equal images,
      so that it can key a cache of statistics of the data.
  """

  name: str
  num_examples: int
  num_classes: int
  class_names: tuple[str, ...]
  image_size: int

  @property
  def identity(self) -> dict:
    """JSON-serialisable facts."""
    ...

  @property
  def fingerprint(self) -> str:
    """Hexadecimal digits."""
    ...

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

  def verify(self) -> None:
    """Reads every example, where opening the source did not check them.

    A folder's files are decoded. TFDS records are not read: they are checked
    when they are used.

    Raises:
      UserError: if any cannot be read, with the names of all of them.
    """
    ...


def check_labels(
  label: np.ndarray,
  num_classes: int,
  *,
  where: str,
  names: Sequence[str] | None = None,
) -> np.ndarray:
  """Returns labels as int32 after checking their range.

  On a device an out-of-range label would be silently clamped and train the wrong
  class.

  Args:
    label: integers [n].
    num_classes: exclusive upper limit.
    where: what the labels belong to, for the error text.
    names: of the n examples, for the error text; None numbers them from 0.

  Returns:
    int32 [n].

  Raises:
    UserError: if a label is outside [0, num_classes).
  """
  bad = np.flatnonzero((label < 0) | (label >= num_classes))
  if bad.size:
    name = bad[0] if names is None else names[bad[0]]
    raise errors.UserError(
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
    UserError: if that is not a whole positive number.
    ValueError: if there is no such process.
  """
  check_process(process_index, process_count)
  if batch_size < 1 or batch_size % process_count:
    raise errors.UserError(
      f'batch_size {batch_size} must be a positive multiple of '
      f'{process_count} processes; set --config.batch_size'
    )
  return batch_size // process_count
