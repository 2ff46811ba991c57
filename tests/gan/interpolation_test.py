"""Ways between latents and classes."""

import numpy as np
import pytest

from sagan_jax.gan import interpolation

T = np.arange(5) / 4


def test_great_circles_keep_the_length_and_the_speed():
  a, b = np.float32([3, 0, 0]), np.float32([0, 3, 0])
  way = interpolation.slerp(a, b, T)
  angle = T * np.pi / 2
  expected = 3 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], -1)
  assert way.dtype == np.float32
  np.testing.assert_allclose(way, expected, atol=1e-6)


def test_ways_begin_and_end_exactly():
  rng = np.random.default_rng(0)
  a, b = rng.standard_normal((2, 7, 128)).astype(np.float32)
  for between in interpolation.slerp, interpolation.lerp:
    way = between(a, b, T)
    assert way.shape == (7, 5, 128)
    np.testing.assert_array_equal(way[:, 0], a)
    np.testing.assert_array_equal(way[:, -1], b)


@pytest.mark.parametrize('factor', [2.0, -2.0])
def test_parallel_latents_are_joined_by_the_straight_way(factor):
  a = np.float32([1.0, -2.0])
  b = np.float32(factor) * a
  way = interpolation.slerp(a, b, T)
  np.testing.assert_allclose(way, interpolation.lerp(a, b, T), atol=1e-6)


def test_a_round_trip_comes_back():
  assert interpolation.legs(2) == [(0, 1)]
  assert interpolation.legs(4) == [(0, 1), (1, 2), (2, 3), (3, 0)]


@pytest.mark.parametrize('count', [2, 3, 5])
@pytest.mark.parametrize('frames', [1, 4])
def test_a_round_trip_loops_in_equal_steps(count, frames):
  # Places on a circle, whose chords all are as long.
  angle = 2 * np.pi * np.arange(count) / count
  places = np.stack([np.cos(angle), np.sin(angle)], -1)
  ways = interpolation.segments(places, frames, interpolation.lerp)
  trip = interpolation.round_trip(len(ways), frames)
  path = np.stack([ways[leg, frame] for leg, frame in trip])
  steps = np.linalg.norm(path - np.roll(path, 1, 0), axis=-1)
  np.testing.assert_allclose(steps, steps[0], rtol=1e-5)
  assert steps[0] > 0
  assert len(path) == (2 if count == 2 else count) * frames
