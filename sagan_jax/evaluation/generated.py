"""Features of generated images, made in the program that extracts them.

Only numbers and labels go to the devices, and only features come back.
"""

import functools

from sagan_jax import errors
from sagan_jax.gan import sampling


class GeneratedFeatures:
  """A sampler and an extractor as one compiled program.

  Args:
    extraction: a `features.FeatureExtraction`.
    sampler: a `sampling.Sampler` on the devices of this process.
  """

  def __init__(self, extraction, sampler):
    self.sampler = sampler
    self._extraction = extraction
    # Positions count the parameters of the extractor.
    self._program = extraction.compile(sampler.images, static_argnums=(5, 6))

  def collect(
    self, params, stats, labels, share, *, key, truncation, batch_moments, say
  ):
    """Makes the images of labels and collects their features.

    Args:
      params: of the generator, on the devices of this process.
      stats: its collections.
      labels: int [n], of the images of all processes.
      share: (first image of this process, its end).
      key: of the set of images.
      truncation: as in `Sampler.batches`.
      batch_moments: as in `Sampler.batches`.
      say: called with the number of images done so far.

    Returns:
      A `features.FeatureSet` of all n images; see `check_finite`.
    """
    variables = self.sampler.normalized(params, stats)
    size = self._extraction.batch_size
    if batch_moments:
      size = self.sampler.batch_size
    work = (
      (
        functools.partial(
          self._program,
          self._extraction.params,
          variables,
          key,
          index,
          label,
          truncation,
          batch_moments,
        ),
        label[:count],
      )
      for index, label, count in sampling.numbered(labels, *share, size)
    )
    return self._extraction.collect_computed(work, len(labels), say=say)


def check_finite(found, described):
  """Refuses images that quantising has hidden to be NaN or infinite.

  Args:
    found: their `features.FeatureSet`.
    described: of which generator.

  Raises:
    UserError: if an image is not finite; on all processes, which hold the same.
  """
  if found.num_bad:
    raise errors.UserError(
      f'the generator makes NaN or infinite images, {found.num_bad} of '
      f'{found.count}, '
      f'with weights={described["weights"]} and '
      f'bn_statistics={described["bn_statistics"]}: it has diverged; evaluate '
      'an earlier checkpoint with --step'
    )
