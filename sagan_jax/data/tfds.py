"""Prepared TensorFlow Datasets, from a local or gs:// directory.

The only file that uses TensorFlow, on the CPU alone; nothing is downloaded.

Each process reads its own contiguous share of the split. Every epoch is a
tf.data graph of its own whose order is a function of (seed, epoch), so that
batch k of a restarted run is found by skipping records of one epoch before
they are decoded. The order does depend on the number of processes and on
`shuffle_buffer`: keep both when resuming.

Images are reduced to their centre square while they are decoded, resized with
an antialiased bilinear filter and rounded to uint8.
"""

import os
import re
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from sagan_jax.data import source, tfds_decode

DEFAULT_SHUFFLE_BUFFER = 10_000
# A change of the decoded pixels must change this; it is in the fingerprint.
_PREPROCESSING = 'centre square, antialiased bilinear, v1'
# How many files are read in turn, and how many records from each: these are
# part of the order, so they do not follow TFDS's defaults.
_CYCLE_LENGTH = 16
_BLOCK_LENGTH = 16


class TfdsSource:
  """A prepared TFDS image classification data set as a `source.Source`."""

  def __init__(
    self,
    dataset_name: str,
    *,
    image_size: int,
    split: str,
    data_dir: str | None = None,
    shuffle_buffer: int | None = None,
  ):
    """Opens the data set; reads only its description.

    Args:
      dataset_name: as TFDS names it: 'cifar10', 'imagenet2012:5.1.0',
        'imagenet_resized/64x64'.
      image_size: height and width to resize to, pixels.
      split: anything TFDS understands, e.g. 'train' or 'train[:90%]'.
      data_dir: a path or gs:// URL; None is the TFDS default.
      shuffle_buffer: records to shuffle among; None is
        `DEFAULT_SHUFFLE_BUFFER`.

    Raises:
      ValueError: if the data is not there, has no such split, or is not
        images with class labels.
    """
    if shuffle_buffer is None:
      shuffle_buffer = DEFAULT_SHUFFLE_BUFFER
    if shuffle_buffer < 1:
      raise ValueError(
        f'shuffle_buffer {shuffle_buffer} must be at least 1; set '
        '--config.dataset.shuffle_buffer'
      )
    # TensorFlow would take all memory of the accelerators that JAX uses.
    tf.config.set_visible_devices([], 'GPU')
    tf.config.set_visible_devices([], 'TPU')
    self.name = f'tfds:{dataset_name}'
    self._builder = _open(dataset_name, data_dir)
    features = dict(self._builder.info.features)
    if not (
      isinstance(features.get('image'), tfds.features.Image)
      and isinstance(features.get('label'), tfds.features.ClassLabel)
    ):
      raise ValueError(
        f'dataset {self.name!r} has the features {sorted(features)}; an '
        "'image' and a class 'label' are needed; set --config.dataset.name"
      )
    self._split = split
    self._shuffle_buffer = shuffle_buffer
    self.num_examples = self._count(split)
    # From the data: imagenet_resized orders its labels unlike imagenet2012.
    self.num_classes = features['label'].num_classes
    self.class_names = tuple(features['label'].names)
    self.image_size = image_size
    self.fingerprint = source.fingerprint(
      name=self._builder.info.full_name,
      split=split,
      num_examples=self.num_examples,
      class_names=self.class_names,
      image_size=image_size,
      preprocessing=_PREPROCESSING,
    )

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
    epoch_size = self._count(share)

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

  def _share(self, process_index: int, process_count: int):
    """Returns the sub-split that one process reads."""
    if process_count > self.num_examples:
      raise ValueError(
        f'split {self._split!r} of {self.name!r} has {self.num_examples} '
        f'examples, too few for {process_count} processes; set '
        '--config.dataset.split'
      )
    return tfds.even_splits(self._split, process_count, drop_remainder=False)[
      process_index
    ]

  def _count(self, split) -> int:
    """Returns the number of examples in a split or sub-split."""
    try:
      count = self._builder.info.splits[split].num_examples
    except (KeyError, ValueError) as e:
      raise ValueError(
        f'dataset {self.name!r} has no split {split!r}, only '
        f'{sorted(self._builder.info.splits)}; set --config.dataset.split'
      ) from e
    if not count:
      raise ValueError(
        f'split {split!r} of {self.name!r} is empty; set --config.dataset.split'
      )
    return count

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
    records = records.map(lambda r: (r['image'], r['label'], r['tfds_id']))
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
    while True:
      try:
        image, label, tfds_id = next(batches)
      except StopIteration:
        return
      except tf.errors.InvalidArgumentError as e:
        raise ValueError(
          f'a record of {self.name!r}, split {split!r}, in '
          f'{self._builder.data_dir} cannot be decoded: {e.message}'
        ) from e
      label = source.check_labels(
        label, self.num_classes, where=self.name, names=tfds_id
      )
      yield source.Batch(image=image, label=label)

  def _decode(self, data, label, tfds_id):
    image = tfds_decode.decode_square(data, self.image_size, record=tfds_id)
    return image, label, tfds_id


def _open(dataset_name: str, data_dir: str | None):
  """Returns a read-only builder of prepared data: the newest version.

  Found by its files. `tfds.builder` looks for the data set's code first, which
  would reach for the network where the data is missing.
  """
  if data_dir is None:
    data_dir = os.environ.get('TFDS_DATA_DIR', '~/tensorflow_datasets')
  name, _, version = dataset_name.partition(':')
  root = os.path.join(os.path.expanduser(data_dir), name)
  found = {}
  for path in tf.io.gfile.glob(f'{root}/{version or "*"}/dataset_info.json'):
    folder = os.path.dirname(path)
    if match := re.fullmatch(r'(\d+)\.(\d+)\.(\d+)', os.path.basename(folder)):
      found[tuple(int(n) for n in match.groups())] = folder
  if not found:
    raise ValueError(
      f'no prepared data of {dataset_name!r}: there is no '
      f'{root}/{version or "<version>"}/dataset_info.json. Set '
      '--config.dataset.data_dir=DIR, or prepare the data with '
      f'`tfds build {name} --data_dir=DIR`'
    )
  return tfds.builder_from_directory(found[max(found)])


def _rebatch(
  chunks: Iterator[source.Batch], batch_size: int
) -> Iterator[source.Batch]:
  """Joins batches of at most `batch_size` into batches of exactly that."""
  pending = None
  for chunk in chunks:
    if pending is not None:
      chunk = {k: np.concatenate([pending[k], chunk[k]]) for k in chunk}
      pending = None
    if len(chunk['label']) >= batch_size:
      yield source.Batch(**{k: v[:batch_size] for k, v in chunk.items()})
      chunk = {k: v[batch_size:] for k, v in chunk.items()}
    if len(chunk['label']):
      pending = chunk
