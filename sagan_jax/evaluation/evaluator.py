"""Scores generators: a grid of weights, batch-norm statistics and truncations.

Image i of an evaluation is made from `fold_in(key, i)` and label i, whatever
the mesh; real images count exactly once. Every result is a record of scores
and of the protocol that they were made by (`evaluation.protocol`).
"""

import itertools
import platform
import time

import flax
import jax
import numpy as np

from sagan_jax import __version__, errors, files, progress
from sagan_jax.cluster import sharding
from sagan_jax.evaluation import extractors, features, generated, reference
from sagan_jax.metrics import checks, scores


class Evaluator:
  """Scores the states of one run, or sets of images.

  Args:
    c: a `Config`; its section `eval` is the protocol.
    mesh: of all processes.
    source: of the real images.
    say: called with lines of progress.
    counter: a factory of counters of images, like `progress.counter`. What its
      counters raise ends an evaluation between two batches.
    extractor: an `extractors.Extractor`; None for the one that `c` asks for.

  Raises:
    UserError: if the extractor's weights are missing, damaged or unknown, or it
      gives none of the metrics.
  """

  def __init__(
    self,
    c,
    mesh,
    source,
    say=print,
    counter=progress.counter,
    extractor=None,
  ):
    self.c = c
    self.source = source
    self._say = say
    self._make_counter = counter
    self._mesh = sharding.local_mesh(mesh)
    self.extractor = extractor or extractors.make_extractor(c)
    self.metrics = scores.available(c.eval.metrics, self.extractor)
    if not self.metrics:
      raise errors.UserError(
        f'extractor {self.extractor.name} gives none of the metrics '
        f'{c.eval.metrics}; set --config.eval.metrics or --config.eval.extractor'
      )
    if dropped := set(c.eval.metrics) - set(self.metrics):
      say(
        f'extractor {self.extractor.name} does not give '
        f'{", ".join(sorted(dropped))}: left out'
      )
    self._extraction = features.FeatureExtraction(
      self.extractor,
      self._mesh,
      sharding.local_share(mesh, c.eval.batch_size),
    )
    self._generated = None  # Compiled for the sampler that was last given.
    self._real = None
    self._said_few = False

  def check(self, fake=None, *, best=False):
    """Refuses what cannot be scored, at no cost: nothing is computed.

    Args:
      fake: a `data.Source`, if its images are to be scored.
      best: whether states are to be chosen by `main_metric`.

    Raises:
      UserError: if images are too few for a metric, more real images are asked
        for than there are, there is no such metric as is to choose the best, a
        batch does not split into the generator's batch-norm groups, or the
        cache cannot be made.
    """
    e = self.c.eval
    cache = files.as_path(e.cache_dir)
    with files.writing(cache):
      cache.mkdir(parents=True, exist_ok=True)
    if fake is None:
      self._check_groups()
    num_fake = e.num_fakes
    # With labels as in the data, a class may have neither reals nor fakes.
    num_classes = self.source.num_classes if e.labels == 'uniform' else 1
    if fake is not None:
      num_fake, num_classes = min(num_fake, fake.num_examples), 1
    num_real = reference.count_images(self.source, e.num_reals)
    scores.check_counts(self.metrics, num_real, num_fake, num_classes)
    found = [n for m in self.metrics for n in scores.names(m, self.extractor)]
    if best and self.main_metric() not in found:
      raise errors.UserError(
        f'there is no metric {self.main_metric()!r} among {found}; set '
        '--config.eval.best_metric to one of them, or extend '
        '--config.eval.metrics'
      )

  def _check_groups(self):
    """Batch moments are those of groups, as in the training."""
    e, size = self.c.eval, self.c.generator.bn_group_size
    if 'batch' in e.bn_statistics and size and e.batch_size % size:
      raise errors.UserError(
        f'eval.batch_size {e.batch_size} must be a multiple of '
        f'generator.bn_group_size {size} where eval.bn_statistics has '
        "'batch'; set --config.eval.batch_size or --config.eval.bn_statistics"
      )

  def real(self):
    """The features of the real images, made or loaded when first asked for."""
    if self._real is None:
      cache = files.as_path(self.c.eval.cache_dir) / 'references'
      count = self.c.eval.num_reals or self.source.num_examples
      self._real, cached = reference.load_or_make(
        self.source,
        self._extraction,
        num_images=self.c.eval.num_reals,
        keep_all='intra_fid' in self.metrics,
        cache_dir=cache,
        say=self._counter('real images', count),
      )
      if cached:
        self._say(f'real images: {self._real.count} from the cache')
    return self._real

  def of_state(self, sampler, state):
    """Scores a state by every cell of the grid.

    Args:
      sampler: a `sampling.Sampler` of its generator, on this process's devices.
      state: a `GanState`.

    Returns:
      A list of records {'protocol', 'scores', 'per_class', 'secs'}.

    Raises:
      UserError: if an image is not finite.
      ValueError: as `scores.compute`.
    """
    e = self.c.eval
    key = jax.random.key(e.seed)
    labels = self._labels(self.source.num_classes)
    share = self._share(len(labels))
    if self._generated is None or self._generated.sampler is not sampler:
      self._generated = generated.GeneratedFeatures(self._extraction, sampler)
    records = []
    for name, mode in itertools.product(e.weights, e.bn_statistics):
      params, stats = state.generator_variables(name)
      if mode == 'standing':
        stats = sampler.standing_stats(
          params, stats, jax.random.fold_in(key, 1), e.standing_batches
        )
      params, stats = sharding.localize((params, stats), self._mesh)
      for truncation in (None, *e.truncations):
        began = time.perf_counter()
        made = self._generated.collect(
          params,
          stats,
          labels,
          share,
          key=jax.random.fold_in(key, 0),
          truncation=truncation,
          batch_moments=mode == 'batch',
          say=self._counter('fakes', len(labels)),
        )
        described = {
          'weights': name,
          'bn_statistics': mode,
          'truncation': truncation,
          'step': int(state.step),
          'standing_batches': e.standing_batches,
          'batch_size': e.batch_size,
          'seed': e.seed,
          'labels': e.labels,
        }
        generated.check_finite(made, described)
        records.append(self._score(made, described, began))
    return records

  def of_source(self, fake):
    """Scores the images of a data source against the real ones.

    Args:
      fake: a `data.Source`; `num_fakes` of its images, at most all, count.

    Returns:
      A list of one record.
    """
    count = min(self.c.eval.num_fakes, fake.num_examples)
    began = time.perf_counter()
    made = self._extraction.collect(
      features.source_batches(fake, count, self._extraction.batch_size),
      count,
      say=self._counter('fakes', count),
    )
    described = {'fake_data': fake.name, 'fake_fingerprint': fake.fingerprint}
    return [self._score(made, described, began)]

  def main_metric(self):
    """Name of the metric that checkpoints are chosen by."""
    main = next(iter(self.extractor.taps))
    return self.c.eval.best_metric or self.extractor.metric_name('fid', main)

  def _score(self, fake, described, began):
    """The record of the features of fakes, which began to be made when."""
    least = min(fake.count, self.real().count)
    if least < checks.FEW_SAMPLES and not self._said_few:
      self._said_few = True
      self._say(
        f'scores of {least:,} samples are biased and noisy; compare them only '
        f'with the same count, and use {checks.FEW_SAMPLES:,} to publish'
      )
    found = scores.compute(self.metrics, self.extractor, self.real(), fake)
    return {
      'protocol': self._protocol(fake.count) | described,
      'scores': found.values,
      'per_class': {
        self.source.class_names[k]: v for k, v in found.per_class.items()
      },
      'secs': time.perf_counter() - began,
    }

  def _protocol(self, count):
    """What every score of this evaluator is made by."""
    return {
      'extractor': self.extractor.name,
      'extractor_digest': self.extractor.digest,
      'extractor_dtype': self.extractor.dtype,
      'resize': self.extractor.resize,
      'quantisation': 'uint8, truncated',
      'data': self.source.name,
      'data_fingerprint': self.source.fingerprint,
      'image_size': self.source.image_size,
      'num_real': self.real().count,
      'num_fake': count,
      **scores.PROTOCOL,
      'versions': {
        'sagan_jax': __version__,
        'jax': jax.__version__,
        'flax': flax.__version__,
        'numpy': np.__version__,
        'python': platform.python_version(),
      },
      'device_kind': self._mesh.devices.flat[0].device_kind,
    }

  def _labels(self, num_classes):
    """Labels of all fakes, by the protocol; the same on every process."""
    count = self.c.eval.num_fakes
    if self.c.eval.labels == 'uniform':
      return np.arange(count) % num_classes
    shares = np.bincount(self.real().labels, minlength=num_classes)
    edges = np.cumsum(shares) / shares.sum()
    # Stratified: each class as often as its share says, rounded.
    sorted_labels = np.searchsorted(edges, (np.arange(count) + 0.5) / count)
    rng = np.random.Generator(np.random.Philox(self.c.eval.seed))
    return rng.permuted(sorted_labels)

  def _counter(self, what, count):
    share = -(-count // jax.process_count())
    return self._make_counter(what, share, self._say)

  def _share(self, count):
    """Bounds of the images this process makes: whole batches of the set."""
    size = self.c.eval.batch_size
    batches = -(-count // size)
    p, n = jax.process_index(), jax.process_count()
    begin, end = (batches * i // n * size for i in (p, p + 1))
    return begin, min(end, count)
