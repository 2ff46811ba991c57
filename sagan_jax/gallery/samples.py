"""What is asked of a trained generator, and its samples as files or a grid."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sagan_jax import errors
from sagan_jax.gallery import outputs
from sagan_jax.pictures import labelled
from sagan_jax.run import generator as generator_lib
from sagan_jax.run import stop

MAX_FILES = 1_000_000
# Of every table.
COLUMNS = (
  *('file', 'label', 'class', 'seed', 'index', 'step', 'weights'),
  *('statistics', 'truncation'),
)


@dataclasses.dataclass(frozen=True)
class Request:
  """Which images of a run are wanted.

  Image j of class k has the number j * num_classes + k, whatever other classes
  are asked for: the same images come again in any larger set.
  """

  run: Any  # a `Run`
  labels: list[int]  # of the classes
  num: int  # images per class
  seed: int = 0
  truncation: float | None = None
  step: int | str | None = None  # as in `Run.restore`
  weights: str = 'ema'
  statistics: str = 'standing'
  say: Callable[[str], None] = print

  def check(self, count: int) -> None:
    """Refuses more images than can be numbered or told apart.

    Args:
      count: of the images in all.

    Raises:
      UserError: if there are too many.
    """
    largest = self.num * self.run.config.num_classes
    if count > MAX_FILES or largest > 2**32:
      raise errors.UserError(
        f'{count:,} images are too many for one command, which makes up to '
        f'{MAX_FILES:,}; set --classes, --num or --frames'
      )

  @functools.cached_property
  def generator(self) -> generator_lib.Generator:
    """The generator, with a line that says which."""
    made = self.run.generator(
      step=self.step, weights=self.weights, statistics=self.statistics
    )
    self.say(f'{self.run.workdir}: {self.describe(made.step)}')
    return made

  def describe(self, step: int) -> str:
    """The settings in words."""
    cut = '' if self.truncation is None else f', truncation {self.truncation:g}'
    return (
      f'step {step:,}, {self.weights} weights, {self.statistics} statistics, '
      f'seed {self.seed}{cut}'
    )

  def name(self, label: int) -> str:
    """A class by number and name."""
    return f'{label} {self.run.class_names[label]}'

  def index(self, label: int, number: int) -> int:
    """The number of image `number` of a class in the set of the seed."""
    return number * self.run.config.num_classes + label

  def facts(self, file: str, label: int, number: int) -> tuple:
    """What `COLUMNS` says of image `number` of a class."""
    made = self.generator
    return (
      *(file, label, self.run.class_names[label], self.seed),
      *(self.index(label, number), made.step, made.weights),
      *(made.statistics, self.truncation),
    )

  def latents(self, index) -> np.ndarray:
    """The latents float32 [n, D] of numbered images."""
    return self.generator.latents(
      index, seed=self.seed, truncation=self.truncation
    )

  def images(self, z: np.ndarray, labels: np.ndarray) -> Iterator[np.ndarray]:
    """As `Generator.images`, with progress as they are used."""
    count, done = None, 0
    for images in self.generator.images(z, labels):
      # Only now: compiling says nothing of how long the others take.
      count = count or stop.counter('images', len(z), self.say)
      yield images
      done += len(images)
      count(done)

  def by_class(self) -> np.ndarray:
    """The images that are wanted, uint8 [classes, num, H, W, 3]."""
    # In the order of their numbers, for the statistics of batches.
    order = [(x, number) for number in range(self.num) for x in self.labels]
    z = self.latents([self.index(*x) for x in order])
    labels = np.array([x for x, _ in order], np.int32)
    images = np.concatenate([*self.images(z, labels)])
    shape = self.num, len(self.labels), *images.shape[1:]
    return images.reshape(shape).swapaxes(0, 1)


def write_files(request: Request, output: outputs.Output) -> None:
  """Writes every image as a PNG file, and samples.csv: what each of them is.

  Args:
    request: which images.
    output: where to.

  Raises:
    UserError: if there are too many, or `output` holds other files.
  """
  request.check(len(request.labels) * request.num)
  width = len(str(request.run.config.num_classes - 1))
  names = {
    (label, number): f'{label:0{width}d}-'
    f'{outputs.slug(request.run.class_names[label])}-{number:05d}.png'
    for label in request.labels
    for number in range(request.num)
  }
  output.claim({'samples.csv', *names.values()}, r'\d+-[A-Za-z0-9_]+-\d+\.png')
  order = sorted(names, key=lambda x: request.index(*x))
  z = request.latents([request.index(*x) for x in order])
  left = iter(order)
  for images in request.images(z, np.array([x for x, _ in order], np.int32)):
    # A stop waits for a file to be complete; `images` then raises.
    with stop.deferred():
      for image in images:
        output.png(names[next(left)], image)
  output.table(
    'samples.csv',
    COLUMNS,
    (request.facts(file, *which) for which, file in names.items()),
  )


def write_grid(request: Request, output: outputs.Output) -> None:
  """Writes grid.png: a row per class, with its name.

  Args:
    request: which images.
    output: where to.

  Raises:
    UserError: if it is too large, or `output` holds another grid.png.
  """
  labels, num = request.labels, request.num
  request.check(len(labels) * num)
  sheet = labelled.Sheet(
    request.run.config.image_size,
    num,
    [request.name(label) for label in labels],
    titles=(request.describe(10**6),),
  )
  sheet.check(
    f'a grid of {len(labels):,} classes of {num:,} images',
    'set --classes or --num, or --as=files',
  )
  output.claim(['grid.png'])
  images = request.by_class()
  title = request.describe(request.generator.step)
  output.png(
    'grid.png',
    sheet.draw(images.reshape(-1, *images.shape[2:]), title=title),
  )
