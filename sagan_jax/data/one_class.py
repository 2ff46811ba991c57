"""Any data set as one class."""

from collections.abc import Iterator

import numpy as np

from sagan_jax.data import identities, source

CLASS_NAMES: tuple[str, ...] = ('all',)


def unlabelled(src: source.Source) -> source.Source:
  """Makes one class of a source, for a model without classes.

    source = data.make_source(...)
    if config.num_classes == 1 and source.num_classes != 1:
      source = data.unlabelled(source)

  Args:
    src: gives the images and their order.

  Returns:
    A source whose labels are all 0. Its identity is another: the same images
    under their labels are another data set.
  """
  return _OneClass(src)


class _OneClass:
  """See `unlabelled`."""

  def __init__(self, src: source.Source):
    self._source = src
    self.name = src.name
    self.num_examples = src.num_examples
    self.num_classes = len(CLASS_NAMES)
    self.class_names = CLASS_NAMES
    self.image_size = src.image_size

  @property
  def identity(self) -> dict:
    """See `source.Source`."""
    return {**self._source.identity, 'labels': 'none are used'}

  @property
  def fingerprint(self) -> str:
    """See `source.Source`."""
    return identities.fingerprint(self.identity)

  def batches(self, **kwargs) -> Iterator[source.Batch]:
    """See `source.Source.batches`."""
    return _without_labels(self._source.batches(**kwargs))

  def examples(self, **kwargs) -> Iterator[source.Batch]:
    """See `source.Source.examples`."""
    return _without_labels(self._source.examples(**kwargs))

  def verify(self) -> None:
    """See `source.Source.verify`."""
    self._source.verify()


def _without_labels(batches: Iterator[source.Batch]) -> Iterator[source.Batch]:
  for batch in batches:
    yield source.Batch(
      image=batch['image'], label=np.zeros_like(batch['label'])
    )
