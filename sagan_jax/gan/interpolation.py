"""Ways from one latent, or one class, to the next and back to the first."""

import numpy as np


def slerp(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
  """Interpolates along great circles.

  The straight way between two independent latents leads through shorter ones,
  which a generator has hardly seen (White 2016, arXiv:1609.04468).

  Args:
    a: float [..., D].
    b: float [..., D].
    t: float [T], 0 at a and 1 at b.

  Returns:
    float32 [..., T, D]; where a and b are (nearly) parallel, the straight way.
  """
  a, b = a[..., None, :].astype(np.float64), b[..., None, :].astype(np.float64)
  t = np.asarray(t, np.float64)[:, None]
  norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
  cosine = (a * b).sum(-1) / np.maximum(norms, 1e-300)
  angle = np.arccos(np.clip(cosine, -1, 1))[..., None]
  curved = np.sin(angle) > 1e-6
  sine = np.where(curved, np.sin(angle), 1)
  at_a = np.where(curved, np.sin((1 - t) * angle) / sine, 1 - t)
  at_b = np.where(curved, np.sin(t * angle) / sine, t)
  return (at_a * a + at_b * b).astype(np.float32)


def lerp(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
  """Interpolates along straight lines; arguments and result as `slerp`."""
  a, b = a[..., None, :].astype(np.float64), b[..., None, :].astype(np.float64)
  t = np.asarray(t, np.float64)[:, None]
  return ((1 - t) * a + t * b).astype(np.float32)


def legs(count: int) -> list[tuple[int, int]]:
  """The pairs of places that a round trip of `count` >= 2 places is made of.

  Two places have one leg: the way back is the same.
  """
  if count == 2:
    return [(0, 1)]
  return [(i, (i + 1) % count) for i in range(count)]


def segments(places: np.ndarray, frames: int, between) -> np.ndarray:
  """All legs of a round trip.

  Args:
    places: float [..., n, D], n >= 2.
    frames: from one place to the next, >= 1.
    between: `slerp` or `lerp`.

  Returns:
    float32 [..., number of legs, frames + 1, D], with both ends of each leg.
  """
  start, end = np.transpose(legs(places.shape[-2]))
  t = np.arange(frames + 1) / frames
  return between(places[..., start, :], places[..., end, :], t)


def round_trip(num_legs: int, frames: int) -> list[tuple[int, int]]:
  """The order of the frames of `segments` that loops without a jump.

  Args:
    num_legs: of the trip; one is gone there and back.
    frames: from one place to the next.

  Returns:
    A list of (leg, frame of the leg).
  """
  if num_legs == 1:
    return [(0, f) for f in (*range(frames), *range(frames, 0, -1))]
  return [(leg, f) for leg in range(num_legs) for f in range(frames)]
