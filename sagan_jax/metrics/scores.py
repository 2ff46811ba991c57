"""All metrics that were asked for, from two sets of features."""

import dataclasses
import warnings
from collections.abc import Iterable

from sagan_jax.metrics import checks, frechet, inception_score, kid, prdc

METRICS = ('fid', 'is', 'kid', 'prdc', 'sfid', 'intra_fid')

# Metrics of which more is better; of all others less is.
ASCENDING = ('is', 'precision', 'recall', 'density', 'coverage')

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


@dataclasses.dataclass(frozen=True)
class Scores:
  """What an evaluation found."""

  values: dict[str, float]  # metric -> value
  per_class: dict[int, float]  # class -> FID; {} without intra_fid


def available(metrics: Iterable[str], extractor) -> tuple[str, ...]:
  """The metrics of a list that an extractor has the features for."""
  needs = {'is': 'logits_unbiased', 'sfid': 'spatial'}
  return tuple(
    m for m in metrics if m not in needs or needs[m] in extractor.taps
  )


def is_better(metric: str, value: float, than: float) -> bool:
  """Whether a value of a metric is better than another."""
  if metric.partition('_')[0] in ASCENDING:
    return value > than
  return value < than


def compute(metrics, extractor, real, fake) -> Scores:
  """Computes metrics.

  Args:
    metrics: of `METRICS`, that `available` leaves.
    extractor: whose features these are; it names the metrics.
    real: a `features.FeatureSet`.
    fake: a `features.FeatureSet` that is complete.

  Returns:
    `Scores`. 'is' is of 10 splits and comes with 'is_std' and 'is_1split';
    'kid' with 'kid_std'; 'prdc' gives precision, recall, density, coverage.

  Raises:
    ValueError: if features are not finite, too few for a metric, or those of
      all real images are needed and not at hand.
  """
  main = next(iter(extractor.taps))
  values, per_class = {}, {}
  with warnings.catch_warnings():
    # The protocol card carries the counts, and the caller says it once.
    warnings.simplefilter('ignore', checks.FewSamplesWarning)
    for metric in metrics:
      if metric == 'fid':
        name = extractor.metric_name('fid', main)
        values[name] = _frechet(real, fake, main)
      elif metric == 'sfid':
        values['sfid'] = _frechet(real, fake, 'spatial')
      elif metric == 'is':
        values |= _inception_score(fake.features['logits_unbiased'])
      elif metric == 'kid':
        name = extractor.metric_name('kid', main)
        values |= _kernel_distance(name, real, fake, main)
      elif metric == 'prdc':
        found = prdc.manifold_scores(
          real.features[main], fake.features[main], _PRECISION_K, _DENSITY_K
        )
        for part in ('precision', 'recall', 'density', 'coverage'):
          name = extractor.metric_name(part, main)
          values[name] = getattr(found, part)
      else:
        found = _intra_fid(real, fake, main)
        values[extractor.metric_name('intra_fid', main)] = found.mean
        per_class = found.per_class
  return Scores(values, per_class)


def _frechet(real, fake, tap):
  if real.complete and fake.complete:
    return frechet.frechet_distance_from_features(
      real.features[tap], fake.features[tap]
    )
  return frechet.frechet_distance(real.moments[tap], fake.moments[tap])


def _inception_score(logits):
  values = {}
  for splits in _SPLITS:
    score = inception_score.inception_score(logits, splits)
    if splits == 1:
      values['is_1split'] = score.mean
    else:
      values |= {'is': score.mean, 'is_std': score.std}
  return values


def _kernel_distance(name, real, fake, tap):
  x, y = real.features[tap], fake.features[tap]
  distance = kid.kernel_distance(
    x, y, _KID_SUBSETS, min(_KID_SUBSET, len(x), len(y))
  )
  return {name: distance.mean, f'{name}_std': distance.std}


def _intra_fid(real, fake, tap):
  if not real.complete:
    raise ValueError(
      f'intra_fid needs the features of all {real.count} real images, '
      f'{len(real.labels)} are kept; put intra_fid into '
      '--config.eval.metrics before the reference is made'
    )
  return frechet.intra_class_fid(
    frechet.split_by_class(
      real.features[tap], real.labels, fake.features[tap], fake.labels
    )
  )
