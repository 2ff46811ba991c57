"""Runs an extractor over images: every one of them once, on any mesh.

Each process works through its own share on its own devices, batch by padded
batch, and the rows of all processes are joined at the end in the order of the
images. Nothing synchronises in between, and no number depends on how the
images were divided.
"""

import dataclasses
from collections.abc import Callable, Iterator

import jax
import numpy as np

from sagan_jax import errors
from sagan_jax.cluster import sharding
from sagan_jax.metrics import moments as moments_lib


@dataclasses.dataclass(frozen=True)
class FeatureSet:
  """Features of a set of images."""

  count: int  # images that the moments are of
  moments: dict[str, moments_lib.Moments]  # tap -> moments of all images
  features: dict[str, np.ndarray]  # tap -> float32 [kept, D], some or all
  labels: np.ndarray  # int32 [kept]

  @property
  def complete(self) -> bool:
    """Whether the features of all images are at hand."""
    return len(self.labels) == self.count


class FeatureExtraction:
  """An extractor compiled for batches of one size.

  Args:
    extractor: an `extractors.Extractor`.
    mesh: of this process.
    batch_size: images per batch.
  """

  def __init__(self, extractor, mesh, batch_size):
    self.extractor = extractor
    self.batch_size = batch_size
    self._sharding = sharding.split_or_replicate(mesh, batch_size)
    self._params = jax.device_put(extractor.params, sharding.replicated(mesh))
    self._apply = jax.jit(extractor.apply)

  def collect(
    self, batches, count, keep=None, first=0, say: Callable | None = None
  ):
    """Computes the features of this process's images and joins all processes'.

    Args:
      batches: iterator of (images uint8 [b, H, W, 3], labels int [b]), b at
        most the batch size; images may be device arrays padded at the end.
      count: images of all processes, as asserted at the end.
      keep: how many rows of features to keep, evenly spaced; None for all.
      first: index of this process's first image among the `count`; not used
        where all rows are kept.
      say: called with the number of images done so far, or None.

    Returns:
      A `FeatureSet`, the same on every process.

    Raises:
      UserError: if the images were not exactly `count`.
    """
    taps = self.extractor.taps
    all_kept = keep is None or keep >= count
    # Whole from the start, for no list of parts to be held beside the whole;
    # memory that is never written to is never taken.
    size = count if all_kept else keep
    rows = {tap: np.empty((size, d), np.float32) for tap, d in taps.items()}
    sums = {tap: moments_lib.MomentsAccumulator(d) for tap, d in taps.items()}
    labels = np.empty(size, np.int32)
    done = filled = 0
    for features, label in self._pipeline(batches):
      n = len(label)
      index = first + done + np.arange(n)
      kept = np.flatnonzero(_kept(index, count, keep))[: size - filled]
      place = slice(filled, filled + len(kept))
      for tap in taps:
        x = np.asarray(features[tap][:n], np.float32)
        rows[tap][place] = x[kept]
        if not all_kept:
          sums[tap].update(x)
      labels[place] = label[kept]
      done += n
      filled += len(kept)
      if say:
        say(done)
    total = int(sharding.gather_rows(np.array([done], np.int64)).sum())
    if total != count:
      raise errors.UserError(
        f'{count} images were to be evaluated, {total} were; the data set has '
        'changed since it was opened'
      )
    rows = {tap: x[:filled] for tap, x in rows.items()}
    return self._join(rows, labels[:filled], sums, count)

  def _pipeline(self, batches):
    """Yields (features, labels), one batch behind what the device works on."""
    ahead = None
    for images, labels in batches:
      images = self._pad(images)
      features = self._apply(self._params, images)
      if ahead:
        yield ahead
      ahead = features, np.asarray(labels, np.int32)
    if ahead:
      yield ahead

  def _pad(self, images):
    missing = self.batch_size - len(images)
    if missing:
      images = np.pad(images, ((0, missing), (0, 0), (0, 0), (0, 0)))
    return jax.device_put(images, self._sharding)

  def _join(self, rows, labels, sums, count):
    features, moments = {}, {}
    labels = sharding.gather_rows(labels)
    for tap, x in rows.items():
      features[tap] = sharding.gather_rows(x)
      if len(features[tap]) == count:
        moments[tap] = moments_lib.from_features(features[tap])
      else:
        moments[tap] = _gathered_moments(sums[tap].finish())
    return FeatureSet(count, moments, features, labels)


def source_batches(source, num_images, batch_size) -> Iterator:
  """Yields this process's share of the images of a data source.

  Args:
    source: a `data.Source`.
    num_images: how many, evenly spaced over the data; at most all.
    batch_size: images per batch.

  Yields:
    (images uint8 [b, H, W, 3], labels int32 [b]); the last may be shorter.
  """
  total = source.num_examples
  index = total * jax.process_index() // jax.process_count()
  examples = source.examples(
    batch_size=batch_size,
    process_index=jax.process_index(),
    process_count=jax.process_count(),
  )
  for batch in examples:
    n = len(batch['label'])
    kept = _kept(np.arange(index, index + n), total, num_images)
    index += n
    if kept.any():
      yield batch['image'][kept], batch['label'][kept]


def share_start(source, num_images):
  """Index of the first image that `source_batches` yields on this process."""
  begin = source.num_examples * jax.process_index() // jax.process_count()
  # As many as `_kept` marks before it.
  return (begin - 1) * num_images // source.num_examples + 1


def _kept(index, total, keep):
  """Marks `keep` of `total` indices, evenly spaced."""
  if keep is None or keep >= total:
    return np.ones(len(index), bool)
  return (index * keep) % total < keep


def _gathered_moments(part):
  """Moments of all processes' images from those of each."""
  counts = sharding.gather_rows(np.array([part.count], np.int64))
  means = sharding.gather_rows(part.mean[None])
  covs = sharding.gather_rows(part.cov[None])
  return moments_lib.combine(
    moments_lib.Moments(int(n), mean, cov)
    for n, mean, cov in zip(counts, means, covs, strict=True)
  )
