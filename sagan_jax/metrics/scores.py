"""The metrics by name, and those that were asked for from two feature sets.

A new metric is a file of its own and an entry in `REGISTRY`: the config's
allowed names, the checks before a run's first step, the names of the scores and
the direction of the best follow from there.
"""

import dataclasses
import warnings
from collections.abc import Callable, Iterable
from typing import NamedTuple

from sagan_jax import errors
from sagan_jax.metrics import checks, frechet, inception_score, kid, prdc

_SPLITS = (10, 1)
_KID_SUBSET = 1000
_KID_SUBSETS = 100
_PRECISION_K = 3
_DENSITY_K = 5

# What these numbers add to the protocol of a score.
PROTOCOL = {
  'is_splits': list(_SPLITS),
  'kid_subsets': [_KID_SUBSETS, _KID_SUBSET],
  'precision_recall_k': _PRECISION_K,
  'density_coverage_k': _DENSITY_K,
}


class Found(NamedTuple):
  """What one metric gives."""

  values: tuple[float, ...]  # in the order of its names
  per_class: dict[int, float] = {}  # class -> value


@dataclasses.dataclass(frozen=True)
class Metric:
  """A metric that `--config.eval.metrics` can name."""

  # (real, fake, tap) -> Found, of two complete or partial `FeatureSet`s.
  compute: Callable[..., Found]
  names: tuple[str, ...]  # of its scores; * is where an extractor's suffix goes
  tap: str | None = None  # the features it needs; None: the extractor's first
  ascending: bool = False  # whether more is better
  min_real: int = 2  # images; of each class if `by_class`
  min_fake: int = 2
  by_class: bool = False  # needs the features of all real images


@dataclasses.dataclass(frozen=True)
class Scores:
  """What an evaluation found."""

  values: dict[str, float]  # name of a score -> value
  per_class: dict[int, float]  # class -> FID; {} without intra_fid


def _fid(real, fake, tap):
  if real.complete and fake.complete:
    x, y = real.features[tap], fake.features[tap]
    return Found((frechet.frechet_distance_from_features(x, y),))
  distance = frechet.frechet_distance(real.moments[tap], fake.moments[tap])
  return Found((distance,))


def _inception_score(real, fake, tap):
  del real
  many, one = (
    inception_score.inception_score(fake.features[tap], splits)
    for splits in _SPLITS
  )
  return Found((many.mean, many.std, one.mean))


def _kid(real, fake, tap):
  x, y = real.features[tap], fake.features[tap]
  found = kid.kid(x, y, _KID_SUBSETS, min(_KID_SUBSET, len(x), len(y)))
  return Found((found.mean, found.std))


def _prdc(real, fake, tap):
  found = prdc.prdc(
    real.features[tap], fake.features[tap], _PRECISION_K, _DENSITY_K
  )
  return Found(found[:4])


def _intra_fid(real, fake, tap):
  if not real.complete:
    raise ValueError(
      f'intra_fid needs the features of all {real.count} real images, '
      f'{len(real.labels)} are kept'
    )
  found = frechet.intra_class_fid(
    frechet.split_by_class(
      real.features[tap], real.labels, fake.features[tap], fake.labels
    )
  )
  return Found((found.mean,), found.per_class)


REGISTRY = {
  'fid': Metric(_fid, ('fid*',)),
  'is': Metric(
    _inception_score,
    ('is*', 'is*_std', 'is*_1split'),
    tap='logits_unbiased',
    ascending=True,
    min_real=0,
    min_fake=max(_SPLITS),
  ),
  'kid': Metric(_kid, ('kid*', 'kid*_std')),
  'prdc': Metric(
    _prdc,
    ('precision*', 'recall*', 'density*', 'coverage*'),
    ascending=True,
    min_real=max(_PRECISION_K, _DENSITY_K) + 1,
    min_fake=max(_PRECISION_K, _DENSITY_K) + 1,
  ),
  'sfid': Metric(_fid, ('fid*',), tap='spatial'),
  'intra_fid': Metric(_intra_fid, ('intra_fid*',), by_class=True),
}
METRICS = tuple(REGISTRY)  # What the config may name.


def available(metrics: Iterable[str], extractor) -> tuple[str, ...]:
  """The metrics of a list that an extractor has the features for."""
  return tuple(m for m in metrics if REGISTRY[m].tap in (None, *extractor.taps))


def names(metric: str, extractor) -> tuple[str, ...]:
  """What the scores of a metric are called with an extractor's features."""
  tap = _tap(metric, extractor)
  parts = [name.split('*') for name in REGISTRY[metric].names]
  return tuple(extractor.metric_name(base, tap) + end for base, end in parts)


def is_better(name: str, value: float, than: float) -> bool:
  """Whether a score is better than another of the same name."""
  ascending = any(
    name == base or name.startswith(f'{base}_')
    for metric in REGISTRY.values()
    if metric.ascending
    for base in (template.split('*')[0] for template in metric.names)
  )
  return value > than if ascending else value < than


def check_counts(
  metrics: Iterable[str], num_real: int, num_fake: int, num_classes: int
) -> None:
  """Refuses counts that a metric cannot be computed from.

  Args:
    metrics: of `METRICS`.
    num_real: real images.
    num_fake: fakes, as many of each class where a metric goes by class.
    num_classes: of the data.

  Raises:
    UserError: naming every metric, what it needs and the key to change.
  """
  lines = []
  for name in metrics:
    metric = REGISTRY[name]
    each = num_classes if metric.by_class else 1
    for key, given, needed in (
      ('num_reals', num_real, each * metric.min_real),
      ('num_fakes', num_fake, each * metric.min_fake),
    ):
      if given < needed:
        of_classes = f', {needed // each} per class' if metric.by_class else ''
        lines.append(
          f'{name} needs at least {needed:,} (--config.eval.{key} gives '
          f'{given:,}{of_classes})'
        )
  if lines:
    raise errors.UserError(
      f'too few images to score: {"; ".join(lines)}; raise the number, or '
      'take the metric out of --config.eval.metrics'
    )


def compute(metrics, extractor, real, fake) -> Scores:
  """Computes metrics.

  Args:
    metrics: of `METRICS`, that `available` leaves.
    extractor: whose features these are; it names the scores.
    real: a `features.FeatureSet`.
    fake: a `features.FeatureSet` that is complete.

  Returns:
    `Scores`. 'is' is of 10 splits and comes with 'is_std' and 'is_1split';
    'kid' with 'kid_std'; 'prdc' gives precision, recall, density, coverage.

  Raises:
    ValueError: if features are not finite, too few for a metric, or those of
      all real images are needed and not at hand.
  """
  values, per_class = {}, {}
  with warnings.catch_warnings():
    # The protocol holds the counts, and the caller says it once.
    warnings.simplefilter('ignore', checks.FewSamplesWarning)
    for metric in metrics:
      found = REGISTRY[metric].compute(real, fake, _tap(metric, extractor))
      values |= zip(names(metric, extractor), found.values, strict=True)
      per_class |= found.per_class
  return Scores(values, per_class)


def _tap(metric, extractor):
  return REGISTRY[metric].tap or next(iter(extractor.taps))
