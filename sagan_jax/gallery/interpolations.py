"""Ways between latents or classes, as a strip and as an animation."""

from collections.abc import Sequence

import numpy as np

from sagan_jax import errors
from sagan_jax.gallery import outputs, samples
from sagan_jax.gan import interpolation
from sagan_jax.pictures import animation, labelled

_MIN_FRAME = 128  # px; smaller images are enlarged in animations.


def write_latent(
  request: samples.Request, frames: int, output: outputs.Output
) -> None:
  """Writes the ways from one latent to the next and back, for every class.

  latent.png has a row per class and pair of latents, latent.gif all classes
  side by side.

  Args:
    request: which images; `num` latents per class.
    frames: from one latent to the next.
    output: where to.

  Raises:
    UserError: if there is one latent only, the pictures are too large, or
      `output` holds other files of these names.
  """
  labels, num = request.labels, request.num
  if num < 2:
    raise errors.UserError(
      f'--num={num}: a way between latents needs at least 2'
    )
  names = [request.name(label) for label in labels]
  legs = interpolation.legs(num)
  ways = _Ways(
    request,
    frames,
    [f'{name}: {a} → {b}' for name in names for a, b in legs],
    len(legs),
    captions=names,
  )
  output.claim(['latent.png', 'latent.gif'])
  z = request.latents(
    [request.index(label, j) for label in labels for j in range(num)]
  )
  z = interpolation.segments(
    z.reshape(len(labels), num, -1), frames, interpolation.slerp
  )
  each = np.repeat(np.array(labels, np.int32), len(legs) * (frames + 1))
  ways.write(z.reshape(-1, z.shape[-1]), each, 'latent', output)


def write_class(
  request: samples.Request, frames: int, output: outputs.Output
) -> None:
  """Writes the ways from one class to the next and back, for fixed latents.

  Between two classes the rows of the conditional batch norms are blended.
  class.png has a row per latent and pair of classes, class.gif all latents
  side by side.

  Args:
    request: which images; `num` latents go through its classes.
    frames: from one class to the next.
    output: where to.

  Raises:
    UserError: if there is one class only, the pictures are too large, or
      `output` holds other files of these names.
  """
  labels, num = request.labels, request.num
  if len(labels) < 2:
    raise errors.UserError(
      f'a way between classes needs at least 2, not {len(labels)}; set --classes'
    )
  legs = interpolation.legs(len(labels))
  ends = [
    f'{request.name(labels[a])} → {request.name(labels[b])}' for a, b in legs
  ]
  ways = _Ways(request, frames, ends * num, len(legs), titles=ends)
  output.claim(['class.png', 'class.gif'])
  # Latent j is that of image j of the first class.
  z = request.latents([request.index(labels[0], j) for j in range(num)])
  shares = np.eye(request.run.config.num_classes, dtype=np.float32)[labels]
  shares = interpolation.segments(shares, frames, interpolation.lerp)
  shares = shares.reshape(-1, shares.shape[-1])
  z = z.repeat(len(shares), 0)
  ways.write(z, np.tile(shares, (num, 1)), 'class', output)


class _Ways:
  """The strip and the animation of some walkers that go the same legs.

  Args:
    request: which images.
    frames: per leg.
    names: of the strip's rows: the legs of each walker, one after the other.
    num_legs: of each walker.
    titles: above the animation, one per leg; or none.
    captions: below each walker in the animation; or none.

  Raises:
    UserError: if a picture would be too large.
  """

  def __init__(
    self,
    request: samples.Request,
    frames: int,
    names: Sequence[str],
    num_legs: int,
    titles: Sequence[str] = ('',),
    captions: Sequence[str] = (),
  ):
    self._request, self._frames, self._num_legs = request, frames, num_legs
    self._titles, self._captions = titles, captions
    self._walkers = len(names) // num_legs
    size = request.run.config.image_size
    columns, rows = labelled.square(self._walkers)
    request.check(len(names) * (frames + 1))
    self._strip = labelled.Sheet(
      size, frames + 1, names, titles=(request.describe(10**6),)
    )
    self._frame = labelled.Sheet(
      size,
      columns,
      [''] * rows,
      titles=titles,
      captions=bool(captions),
      min_image=_MIN_FRAME,
    )
    advice = 'set --classes, --num or --frames'
    self._strip.check(f'a strip of {len(names):,} rows', advice)
    self._frame.check(f'a frame of {self._walkers:,} images', advice)
    self._trip = interpolation.round_trip(num_legs, frames)

  def write(
    self,
    z: np.ndarray,
    labels: np.ndarray,
    name: str,
    output: outputs.Output,
  ) -> None:
    """Makes the images [walkers * legs * (frames + 1)] and writes both."""
    images = np.concatenate([*self._request.images(z, labels)])
    title = self._request.describe(self._request.generator.step)
    output.png(f'{name}.png', self._strip.draw(images, title=title))
    images = images.reshape(
      self._walkers, self._num_legs, self._frames + 1, *images.shape[1:]
    )
    sheets = (
      self._frame.draw(
        images[:, leg, frame],
        title=self._titles[leg % len(self._titles)],
        captions=self._captions,
      )
      for leg, frame in self._trip
    )
    rests = [frame in (0, self._frames) for _, frame in self._trip]
    output.gif(f'{name}.gif', animation.gif(sheets, rests, outputs.MARK))
