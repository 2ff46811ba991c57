"""The training images that are nearest to given images: are they copies?

Images are compared in the feature space of the evaluation, by its first tap, as
FID is.
"""

import dataclasses

import numpy as np

from sagan_jax import errors, files, progress
from sagan_jax.cluster import sharding
from sagan_jax.evaluation import extractors, features, reference
from sagan_jax.metrics import neighbours

_YARDSTICK = 1000  # Training images whose own neighbours are looked for.


@dataclasses.dataclass(frozen=True)
class Nearest:
  """The k nearest training images of n images."""

  index: np.ndarray  # int64 [n, k], in the order in which they are stored
  label: np.ndarray  # int32 [n, k]
  distance: np.ndarray  # float64 [n, k], Euclidean, ascending
  # Median distance of training images to their nearest other one, and the 5th
  # percentile.
  typical: float
  small: float
  count: int  # of the training images that were searched
  space: str  # which features


class Search:
  """Searches all images of a data source.

  Args:
    c: a `Config`; its section `eval` says which features.
    mesh: of this process, alone.
    source: a `data.Source`.
    k: neighbours of each image.
    say: called with lines of progress.
    counter: a factory of counters, like `progress.counter`.

  Raises:
    UserError: if there are fewer images than that, or the extractor's weights
      are not to be had.
  """

  def __init__(self, c, mesh, source, k, say=print, counter=progress.counter):
    if not k < source.num_examples:
      raise errors.UserError(
        f'--nearest={k} is too many: {source.name} has '
        f'{source.num_examples:,} images'
      )
    self._c, self._source, self._k = c, source, k
    self._say, self._counter = say, counter
    self._extractor = extractors.make_extractor(c)
    self._extraction = features.FeatureExtraction(
      self._extractor, mesh, sharding.local_share(mesh, c.eval.batch_size)
    )
    self._tap = next(iter(self._extractor.taps))

  @property
  def space(self):
    """The feature space in words."""
    e = self._extractor
    return f'{e.name}, {self._tap} ({e.taps[self._tap]} dimensions)'

  def nearest(self, images, labels):
    """Searches; the features of the training images come from the cache.

    Args:
      images: uint8 [n, H, W, 3].
      labels: int [n].

    Returns:
      A `Nearest`.
    """
    found, _ = reference.load_or_make(
      self._source,
      self._extraction,
      num_images=None,
      keep_all=True,
      cache_dir=files.as_path(self._c.eval.cache_dir) / 'references',
      say=self._counter(
        'training images', self._source.num_examples, self._say
      ),
    )
    size = self._extraction.batch_size
    starts = range(0, len(images), size)
    batches = ((images[i : i + size], labels[i : i + size]) for i in starts)
    made = self._extraction.collect(batches, len(images))
    rows = found.features[self._tap]
    origin = rows.mean(0, dtype=np.float64)
    points = neighbours.Points(rows, origin)
    queries = neighbours.Points(made.features[self._tap], origin)
    index, squared = neighbours.nearest(queries, points, self._k)
    apart = np.sqrt(_apart(rows, points, origin))
    return Nearest(
      index=index,
      label=found.labels[index],
      distance=np.sqrt(squared),
      typical=float(np.median(apart)),
      small=float(np.quantile(apart, 0.05)),
      count=len(rows),
      space=self.space,
    )

  def images(self, index):
    """Reads training images.

    Args:
      index: int [...], as in `Nearest`.

    Returns:
      uint8 [..., H, W, 3].
    """
    wanted = np.unique(index)
    count = self._counter('training images read', len(wanted), self._say)
    found = []
    for i in wanted:
      batch = next(iter(self._source.examples(batch_size=1, start=int(i))))
      found.append(batch['image'][0])
      count(len(found))
    return np.stack(found)[np.searchsorted(wanted, index)]


def _apart(rows, points, origin):
  """Squared distances of some rows to the nearest other one."""
  some = np.arange(0, len(rows), -(-len(rows) // _YARDSTICK))
  queries = neighbours.Points(rows[some], origin)
  return neighbours.nearest(queries, points, 2)[1][:, 1]
