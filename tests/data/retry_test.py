"""Batches of a source that fails for a moment, or for good."""

import itertools

import pytest

from sagan_jax import errors
from sagan_jax.data import retry


@pytest.fixture
def pauses(monkeypatch):
  found = []
  monkeypatch.setattr(retry.time, 'sleep', found.append)
  return found


def flaky(fails):
  """Numbers from `start` on, but for an error before each of some calls."""
  calls = itertools.count()

  def make(start):
    for number in itertools.count(start):
      if next(calls) in fails:
        raise OSError(5, 'Input/output error')
      yield number

  return make


def test_no_item_is_lost_or_repeated(pauses):
  said = []
  items = retry.retrying(flaky({0, 3, 4, 7}), 'tfds:x', 5, said.append)
  assert list(itertools.islice(items, 6)) == [5, 6, 7, 8, 9, 10]
  assert pauses == [1, 1, 3, 1]  # A success ends the count.
  assert said[2] == (
    'tfds:x cannot be read: Input/output error; attempt 3 of 6 in 3 s'
  )


def test_what_stays_broken_is_named(pauses):
  items = retry.retrying(flaky(range(9)), 'tfds:x', 0, lambda _: None)
  with pytest.raises(errors.UserError, match='tfds:x .* error; 6 attempts'):
    next(items)
  assert pauses == [*retry.PAUSES_SECS]


def test_the_end_and_other_errors_pass(pauses):
  items = retry.retrying(lambda start: iter(range(start, 3)), 'x', 1, print)
  assert list(items) == [1, 2]

  def broken(start):
    raise errors.UserError(f'image {start} is damaged')
    yield

  with pytest.raises(errors.UserError, match='image 4 is damaged'):
    next(retry.retrying(broken, 'x', 4, print))
  assert pauses == []
