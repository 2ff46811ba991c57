"""What the attention of a run's networks looks at, checkpoint by checkpoint."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from sagan_jax.data import shape_masks
from sagan_jax.gan import attention_maps, sampling
from sagan_jax.pictures.attention import statistics
from sagan_jax.run import generator as generator_lib
from sagan_jax.run import labels as labels_lib

# Of real images that are searched for those of some classes.
_SEARCHED = 8192
_READ = 64  # Images at a time.


class Real(NamedTuple):
  """Real images."""

  images: np.ndarray  # uint8 [n, S, S, 3]
  labels: np.ndarray  # int32 [n]
  # (figure, marks), float32 [n, S, S] as `shapes.masks`; None for other data.
  masks: tuple[np.ndarray, np.ndarray] | None


class Looker:
  """Looks at one checkpoint of a run.

  Args:
    run: a `Run`.
    step: as in `Run.restore`.
    observer: an `attention_maps.Observer` of `run.gan`.
    seed: of the latents.

  Attributes:
    step: of the checkpoint.

  Raises:
    UserError: if the seed is none, or as `Run.restore`.
  """

  def __init__(self, run, step, observer, seed):
    self._run = run
    self._observer = observer
    generator_lib.check_seed(seed)
    self._key = jax.random.key(seed)
    self._state = run.restore(step)
    self._generators = {}  # With standing moments, which take a while.
    self.step = int(self._state.step)

  def generated(
    self, weights: str, labels: np.ndarray
  ) -> Iterator[list[attention_maps.View]]:
    """Makes images and shows them to the discriminator.

    They are those of `Run.sample`, with the same seed, up to rounding.

    Args:
      weights: 'ema' or 'raw'.
      labels: int32 [n].

    Yields:
      The views of both networks, of the next images.
    """
    params, stats = self._generator(weights)
    start = 0
    for images, blocks in self._observer.generator(
      params, stats, self._key, labels
    ):
      part = labels[start : start + len(images)]
      start += len(images)
      pixels = np.asarray(sampling.to_uint8(images))
      yield [
        attention_maps.View('generator', weights, pixels, part, blocks),
        self._shown(weights, images, part, pixels),
      ]

  def real(self, real: Real) -> Iterator[list[attention_maps.View]]:
    """Shows real images to the discriminator; yields as `generated`."""
    size = self._observer.batch_size
    for start in range(0, len(real.labels), size):
      part = slice(start, start + size)
      images = real.images[part]
      yield [self._shown('real', images, real.labels[part], images)]

  def _shown(self, source, images, labels, pixels):
    blocks = {}
    if self._run.config.discriminator.attention:
      blocks = attention_maps.join(
        self._observer.discriminator(
          self._state.discriminator.variables(), images, labels
        )
      )
    return attention_maps.View('discriminator', source, pixels, labels, blocks)

  def _generator(self, weights):
    if weights not in self._generators:
      self._generators[weights] = generator_lib.of_state(
        self._run.chunk_sampler,
        self._state,
        self._run.config,
        self._run.mesh,
        weights,
        'standing',
      ).variables
    return self._generators[weights]


def views(
  run, labels, *, seed=0, step=None, weights='ema'
) -> dict[str, attention_maps.View]:
  """Makes images, as `Run.sample`, and tells where both networks look.

    views = run.attention(['ring', 'star'])
    rows = views['generator'].blocks['attention_16'].rows
    rows[0, 5, 9]  # Where row 5, column 9 of the ring looks: sums to one.

  Args:
    run: a `Run`; this is its method `attention`.
    labels: numbers or names of classes, one per image.
    seed: of the latents.
    step: as in `Run.restore`.
    weights: of the generator, 'ema' or 'raw'.

  Returns:
    {'generator': view, 'discriminator': view}; a view holds the images and, by
    the name of the block, its `attention_maps.Maps`.

  Raises:
    UserError: as `Run.sample`.
  """
  numbers = labels_lib.numbers(labels, run.class_names)
  generator_lib.check(weights, 'standing')
  observer = attention_maps.Observer(run.gan)
  looker = Looker(run, step, observer, seed)
  return {
    view.network: view for view in joined(looker.generated(weights, numbers))
  }


def joined(
  batches: Iterator[list[attention_maps.View]],
) -> list[attention_maps.View]:
  """All that a method of `Looker` yields, as one view per network."""
  return [
    attention_maps.join_views(views) for views in zip(*batches, strict=True)
  ]


def measured(
  batches: Iterator[list[attention_maps.View]],
  masks: tuple[np.ndarray, np.ndarray] | None,
  *,
  draws_shapes: bool,
) -> list[dict]:
  """Means of `statistics` over images.

  Args:
    batches: of a method of `Looker`.
    masks: of the images, if they are known.
    draws_shapes: whether masks that are not known can be inferred by colour.

  Returns:
    A dict of JSON values per network and block: names, and means over images.
  """
  found: dict[tuple[str, str], list[dict]] = {}
  settings: dict[tuple[str, str], dict] = {}
  start = 0
  for views in batches:
    stop = start + len(views[0].labels)
    known = masks and tuple(mask[start:stop] for mask in masks)
    start = stop
    # The networks look at the same images.
    figure, marks, extra = _masks(views[0].images, known, draws_shapes)
    for view in views:
      for name, maps in view.blocks.items():
        values = {'share': maps.share, **extra}
        values |= statistics.spread(maps.rows)
        values |= statistics.colour_and_distance(maps.rows, view.images)
        if figure is not None:
          values |= statistics.on_figure(maps.rows, figure, marks)
        key = view.network, name
        found.setdefault(key, []).append(values)
        settings[key] = {
          'network': view.network,
          'images': view.source,
          'block': name,
          'gate': maps.gate,
          'keys': int(np.prod(maps.rows.shape[-2:])),
        }
  return [
    {**settings[key], 'num_images': start, **_means(parts)}
    for key, parts in found.items()
  ]


def _masks(images, known, draws_shapes):
  """(figure, marks, statistics of these), or (None, None, {})."""
  if known:
    return *known, {}
  if not draws_shapes:
    return None, None, {}
  figure, marks, fit = shape_masks.infer(images)
  return figure.astype(np.float32), marks.astype(np.float32), {'mask_fit': fit}


def _means(parts):
  means = {}
  for name in parts[0]:
    values = np.concatenate([part[name] for part in parts]).astype(float)
    values = values[np.isfinite(values)]
    means[name] = float(values.mean()) if len(values) else None
  return means


def real_images(run, labels: np.ndarray, count: int) -> tuple[Real, Real]:
  """Takes real images, in the order of the run's data with seed 0.

  Args:
    run: a `Run`.
    labels: int32 [n], of wanted images.
    count: of images of any classes.

  Returns:
    (images of these labels, grouped by class in the order of `labels`; the
    first `count` images). There are fewer where the data has fewer, or none
    was found among the first 8192.

  Raises:
    UserError: if the data is not there.
  """
  source = run.source
  places: dict[int, list[int]] = {int(label): [] for label in labels}
  wanted = {x: int((labels == x).sum()) for x in places}
  taken: dict[int, tuple[np.ndarray, int]] = {}
  place = 0
  for batch in source.batches(seed=0, batch_size=_READ):
    for image, label in zip(batch['image'], batch['label'], strict=True):
      label = int(label)
      if place < source.num_examples:
        lacking = label in wanted and len(places[label]) < wanted[label]
        if lacking:
          places[label].append(place)
        if lacking or place < count:
          taken[place] = image, label
      place += 1
    found = place >= count and all(len(places[x]) == wanted[x] for x in wanted)
    if found or place >= min(source.num_examples, max(_SEARCHED, count)):
      break
  chosen = [at for found in places.values() for at in found]
  first = [at for at in taken if at < count]
  return _real(source, taken, chosen), _real(source, taken, first)


def _real(source, taken, places):
  size = source.image_size
  images = [taken[at][0] for at in places]
  return Real(
    np.array(images, np.uint8).reshape(-1, size, size, 3),
    np.array([taken[at][1] for at in places], np.int32),
    shape_masks.true(source, np.array(places, int)),
  )
