"""Prepared TensorFlow Datasets, read by TensorFlow, on the CPU alone.

Each process reads its own contiguous share of the split. Every epoch is a
tf.data graph of its own whose order is a function of (seed, epoch), so that
batch k of a restarted run is found by skipping records of one epoch before
they are decoded. The order does depend on the number of processes and on
`shuffle_buffer`: keep both when resuming.

Images are reduced to their centre square while they are decoded, resized with
an antialiased bilinear filter and rounded to uint8.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from sagan_jax import errors
from sagan_jax.data import identities, source, tfds_decode, tfds_directory

DEFAULT_SHUFFLE_BUFFER = 10_000
# A change of the decoded pixels must change this; it is in the fingerprint.
_PREPROCESSING = 'centre square, antialiased bilinear, v1'
# How many files are read in turn, and how many records from each: these are
# part of the order, so they do not follow TFDS's defaults.
_CYCLE_LENGTH = 16
_BLOCK_LENGTH = 16
# A damaged image, a damaged record, and a file that is not there or closed.
_UNREADABLE = (
  tf.errors.InvalidArgumentError,
  tf.errors.DataLossError,
  tf.errors.NotFoundError,
  tf.errors.PermissionDeniedError,
  tf.errors.FailedPreconditionError,
  tf.errors.UnavailableError,
)


class TfdsSource:
  """A prepared TFDS image classification data set as a `source.Source`."""

  def __init__(
    self,
    prepared: tfds_directory.Prepared,
    *,
    image_size: int,
    shuffle_buffer: int | None = None,
  ):
    """Opens a split; reads nothing yet.

    Args:
      prepared: the split.
      image_size: height and width to resize to, pixels.
      shuffle_buffer: records to shuffle among; None is
        `DEFAULT_SHUFFLE_BUFFER`.

    Raises:
      UserError: if `shuffle_buffer` is not positive.
    """
    if shuffle_buffer is None:
      shuffle_buffer = DEFAULT_SHUFFLE_BUFFER
    if shuffle_buffer < 1:
      raise errors.UserError(
        f'shuffle_buffer {shuffle_buffer} must be at least 1; set '
        '--config.dataset.shuffle_buffer'
      )
    # TensorFlow would take all memory of the accelerators that JAX uses.
    tf.config.set_visible_devices([], 'GPU')
    tf.config.set_visible_devices([], 'TPU')
    self._builder = prepared.builder
    self._split = prepared.split
    self._has_labels = prepared.has_labels
    self._shuffle_buffer = shuffle_buffer
    self.name = prepared.name
    self.num_examples = prepared.num_examples
    self.num_classes = len(prepared.class_names)
    self.class_names = prepared.class_names
    self.image_size = image_size
    self.identity = prepared.identity(image_size, _PREPROCESSING)
    self.fingerprint = identities.fingerprint(self.identity)

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
    share = self._share(process_index, process_count)
    epoch_size = self._builder.info.splits[share].num_examples

    def chunks():
      epoch, skip = divmod(start * local_size, epoch_size)
      while True:
        seeds = np.random.SeedSequence([seed, epoch]).generate_state(2)
        yield from self._read(share, local_size, skip, [int(s) for s in seeds])
        epoch, skip = epoch + 1, 0

    return _rebatch(chunks(), local_size)

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
    share = self._share(process_index, process_count)
    return self._read(share, batch_size, start, None)

  def verify(self) -> None:
    """Reads nothing; see `source.Source.verify`."""

  def _share(self, process_index: int, process_count: int):
    """Returns the sub-split that one process reads."""
    if process_count > self.num_examples:
      raise errors.UserError(
        f'split {self._split!r} of {self.name!r} has {self.num_examples} '
        f'examples, too few for {process_count} processes; set '
        '--config.dataset.split'
      )
    return tfds.even_splits(self._split, process_count, drop_remainder=False)[
      process_index
    ]

  def _read(
    self, split, batch_size: int, skip: int, seeds: list[int] | None
  ) -> Iterator[source.Batch]:
    """Yields the batches of one pass over a split; the last may be short.

    Args:
      split: what to read.
      batch_size: examples in a batch.
      skip: examples to leave out at the beginning.
      seeds: of the order of files and of records; None is stored order.
    """
    options = tf.data.Options()
    options.deterministic = True
    records = self._builder.as_dataset(
      split=split,
      shuffle_files=seeds is not None,
      decoders={'image': tfds.decode.SkipDecoding()},
      read_config=tfds.ReadConfig(
        options=options,
        try_autocache=False,
        add_tfds_id=True,
        shuffle_seed=None if seeds is None else seeds[0],
        shuffle_reshuffle_each_iteration=False,
        interleave_cycle_length=_CYCLE_LENGTH,
        interleave_block_length=_BLOCK_LENGTH,
        skip_prefetch=True,
      ),
    )
    no_label = tf.zeros([], tf.int64)
    records = records.map(
      lambda r: (
        r['image'],
        r['label'] if self._has_labels else no_label,
        r['tfds_id'],
      )
    )
    if seeds is not None:
      records = records.shuffle(
        self._shuffle_buffer, seed=seeds[1], reshuffle_each_iteration=False
      )
    batches = (
      records.skip(skip)
      .map(self._decode, num_parallel_calls=tf.data.AUTOTUNE)
      .batch(batch_size)
      .prefetch(1)
      .as_numpy_iterator()
    )
    try:
      yield from self._checked(batches)
    except _UNREADABLE as e:
      raise errors.UserError(
        f'a record of {self.name!r}, split {split!r}, in '
        f'{self._builder.data_dir} cannot be read '
        f'({e.message.splitlines()[0][:240]}); repair it or prepare it again'
      ) from e

  def _checked(self, batches) -> Iterator[source.Batch]:
    for image, label, tfds_id in batches:
      label = source.check_labels(
        label, self.num_classes, where=self.name, names=tfds_id
      )
      yield source.Batch(image=image, label=label)

  def _decode(self, data, label, tfds_id):
    image = tfds_decode.decode_square(data, self.image_size, record=tfds_id)
    return image, label, tfds_id


def _rebatch(
  chunks: Iterator[source.Batch], batch_size: int
) -> Iterator[source.Batch]:
  """Joins batches of at most `batch_size` into batches of exactly that."""
  pending: dict[str, np.ndarray] | None = None
  for batch in chunks:
    chunk = {'image': batch['image'], 'label': batch['label']}
    if pending is not None:
      chunk = {k: np.concatenate([pending[k], chunk[k]]) for k in chunk}
      pending = None
    if len(chunk['label']) >= batch_size:
      image, label = (chunk[k][:batch_size] for k in ('image', 'label'))
      yield source.Batch(image=image, label=label)
      chunk = {k: v[batch_size:] for k, v in chunk.items()}
    if len(chunk['label']):
      pending = chunk
