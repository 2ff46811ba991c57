"""Runs an extractor over images: every one of them once, on any mesh.

Each process works through its own share on its own devices, batch by padded
batch, and the rows of all processes are joined at the end in the order of the
images. Nothing synchronises in between, and no number depends on how the
images were divided.
"""

import collections
import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from concurrent import futures

import jax
import jax.numpy as jnp
import numpy as np

from sagan_jax import errors
from sagan_jax.cluster import sharding
from sagan_jax.metrics import moments as moments_lib

# A CPU works on few images at a time, whose activations its caches hold, and
# on several such batches side by side, since XLA uses one thread for many a
# small convolution.
_CPU_BATCH = 20
_MAX_WORKERS = 8


@dataclasses.dataclass(frozen=True)
class FeatureSet:
  """Features of a set of images."""

  count: int  # images that the moments are of
  moments: dict[str, moments_lib.Moments]  # tap -> moments of all images
  features: dict[str, np.ndarray]  # tap -> float32 [kept, D], some or all
  labels: np.ndarray  # int32 [kept]
  num_bad: int = 0  # images that had NaN or infinite pixels

  @property
  def complete(self) -> bool:
    """Whether the features of all images are at hand."""
    return len(self.labels) == self.count


class FeatureExtraction:
  """An extractor compiled for batches of one size.

  Attributes:
    extractor: an `extractors.Extractor`.
    batch_size: images per batch; split over all devices.
    params: of the extractor, on the devices.

  Args:
    extractor: an `extractors.Extractor`.
    mesh: of this process.
    batch_size: images per batch, at most; filled up to divide by the devices.
  """

  def __init__(self, extractor, mesh, batch_size):
    self.extractor = extractor
    self.batch_size = -(-batch_size // mesh.size) * mesh.size
    self._one_cpu = mesh.size == 1 and mesh.devices.flat[0].platform == 'cpu'
    if self._one_cpu:
      self.batch_size = min(batch_size, _CPU_BATCH)
    self._sharding = sharding.split_batch(mesh)
    self._whole = sharding.replicated(mesh)
    self.params = jax.device_put(extractor.params, self._whole)
    self._of_images = self.compile(lambda images: (images, True))

  def compile(self, make, **kwargs):
    """Compiles the making of images and their features as one program.

    Args:
      make: traceable function that returns (images uint8 [b, H, W, 3], which
        of them are finite, bool or bool [b]).
      **kwargs: for `jax.jit`.

    Returns:
      A function of `params` and the arguments of `make`: (dict of tap ->
      float32 [b, D], bool [b], which of the images are finite).
    """
    apply = self.extractor.apply
    if self._one_cpu and self.extractor.one_by_one:
      apply = functools.partial(_one_by_one, apply)

    # Replicated: features are small, and a batch need not divide.
    @functools.partial(jax.jit, out_shardings=self._whole, **kwargs)
    def features(params, *args):
      images, finite = make(*args)
      return apply(params, images), jnp.broadcast_to(finite, len(images))

    return features

  def collect(self, batches, count, **kwargs):
    """Computes the features of images, as `collect_computed` does.

    Args:
      batches: iterator of (images uint8 [b, H, W, 3], labels int [b]), b at
        most the batch size; images may be device arrays padded at the end.
      count: images of all processes, as asserted at the end.
      **kwargs: for `collect_computed`.

    Returns:
      A `FeatureSet`, the same on every process.
    """
    work = (
      (functools.partial(self._of_padded, images), labels)
      for images, labels in batches
    )
    return self.collect_computed(work, count, **kwargs)

  def collect_computed(
    self, work, count, keep=None, first=0, say: Callable | None = None
  ):
    """Collects the features of this process's images and joins all processes'.

    Args:
      work: iterator of (function without arguments, labels int [b]); the
        function returns what a `compile`d one does, b rows of which count.
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
    done = filled = num_bad = 0
    for (features, finite), label in self._pipeline(work):
      n = len(label)
      num_bad += int(np.sum(~finite[:n]))
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
    counts = np.array([[done, num_bad]], np.int64)
    total, num_bad = map(int, sharding.gather_rows(counts).sum(0))
    if total != count:
      raise errors.UserError(
        f'{count} images were to be evaluated, {total} were; the data set has '
        'changed since it was opened'
      )
    rows = {tap: x[:filled] for tap, x in rows.items()}
    return self._join(rows, labels[:filled], sums, count, num_bad)

  def _pipeline(self, work):
    """Yields (features, labels), behind what the devices work on."""
    with contextlib.ExitStack() as stack:
      workers, start = 1, _dispatch
      if self._one_cpu:
        workers = min(os.cpu_count() or 1, _MAX_WORKERS)
        pool = futures.ThreadPoolExecutor(workers)
        stack.callback(pool.shutdown, cancel_futures=True)
        start = functools.partial(_submit, pool)
      ahead = collections.deque()
      for i, (call, labels) in enumerate(work):
        # Two threads would both compile the first.
        ahead.append(((start if i else _dispatch)(call), labels))
        if len(ahead) > workers:
          wait, labels = ahead.popleft()
          yield wait(), np.asarray(labels, np.int32)
      for wait, labels in ahead:
        yield wait(), np.asarray(labels, np.int32)

  def _of_padded(self, images):
    missing = self.batch_size - len(images)
    if missing > 0:
      images = np.pad(images, ((0, missing), (0, 0), (0, 0), (0, 0)))
    images = jax.device_put(images, self._sharding)
    return self._of_images(self.params, images)

  def _join(self, rows, labels, sums, count, num_bad):
    features, moments = {}, {}
    labels = sharding.gather_rows(labels)
    for tap, x in rows.items():
      features[tap] = sharding.gather_rows(x)
      if len(features[tap]) == count:
        moments[tap] = moments_lib.from_features(features[tap])
      else:
        moments[tap] = _gathered_moments(sums[tap].finish())
    return FeatureSet(count, moments, features, labels, num_bad)


def _dispatch(call):
  """Begins work; returns a function that waits for the features."""
  return functools.partial(jax.device_get, call())


def _submit(pool, call):
  """The same in a thread."""
  return pool.submit(lambda: jax.device_get(call())).result


def _one_by_one(apply, params, images):
  features = jax.lax.map(lambda image: apply(params, image[None]), images)
  return jax.tree.map(lambda x: x[:, 0], features)


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
