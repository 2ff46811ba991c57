"""Decisions of several processes, which here are threads."""

import random
import time

import pytest

from sagan_jax import errors
from sagan_jax.cluster import agree
from tests.support import fake_store


def _groups(count):
  store = fake_store.Store()
  return [agree.Group(store, i, count) for i in range(count)]


def test_a_single_process_decides_alone():
  assert agree.group() is None
  agree.enter()
  agree.same('data', {'seed': 1})
  assert agree.decide('skip', True) is True


def test_what_process_0_decides_holds_for_all():
  groups = _groups(3)
  found = fake_store.together(3, lambda i: groups[i].decide('skip', i))
  assert found == [0, 0, 0]


def test_in_another_round_a_name_is_another_one():
  groups = _groups(2)

  def run(i):
    found = [groups[i].decide('skip', i), groups[i].gather('failed', i)]
    groups[i].next_round()
    return [
      *found,
      groups[i].decide('skip', i + 5),
      groups[i].gather('failed', i + 5),
    ]

  assert fake_store.together(2, run) == [[0, [0, 1], 5, [5, 6]]] * 2
  agree.next_round()  # Nothing in a single process.


def test_gather_gives_the_values_of_all_in_order():
  groups = _groups(3)
  found = fake_store.together(3, lambda i: groups[i].gather('failed', i * 10))
  assert found == [[0, 10, 20]] * 3


def test_one_that_is_early_waits_while_the_others_wait_for_nothing():
  groups = _groups(3)

  def come(i):
    groups[i].show(0)
    time.sleep(0.3 * i)
    return groups[i].gather('failed', i, early=i == 0)

  assert fake_store.together(3, come) == [[0, 1, 2]] * 3


def test_one_that_others_wait_for_elsewhere_does_not_wait_for_them():
  groups = _groups(3)
  groups[2].enter()  # Something that the first has left out.
  for group in groups:
    group.show(0)
  with pytest.raises(agree.LeftOut, match='failed'):
    groups[0].gather('failed', 'KeyError', early=True)


def test_equal_facts_are_no_difference():
  groups = _groups(3)
  facts = {'seed': 1, 'shape': [2, 3]}
  found = fake_store.together(3, lambda i: groups[i].same('config', facts))
  assert found == [None] * 3


def test_every_difference_is_told_to_all():
  groups = _groups(3)
  facts = [{'seed': 1, 'b2': 0.9}, {'seed': 1}, {'seed': 7, 'b2': 0.9}]
  found = fake_store.together(3, lambda i: groups[i].same('config', facts[i]))
  for error in found:
    assert isinstance(error, errors.UserError)
    assert str(error) == (
      'the processes of this run differ in the config:\n'
      '  b2: 0.9 on process 0, None on process 1\n'
      '  seed: 1 on process 0, 7 on process 2\n'
      'run the same command in all of them, on the same code and data'
    )


def test_a_process_that_tells_nothing_is_named():
  groups = _groups(3)

  def tell(i):
    if i != 2:
      groups[i].same('config', {}, secs=0.2)

  first, second, _ = fake_store.together(3, tell)
  for error in first, second:
    with pytest.raises(
      errors.UserError, match='process 2 has not told its config in 0 s'
    ):
      raise error


def test_silence_of_process_0_is_told(monkeypatch):
  group = _groups(2)[1]
  monkeypatch.setattr(
    group.store, 'wait_for', lambda key, secs: _time_out(key, secs)
  )
  with pytest.raises(
    errors.UserError, match='process 0 has not told its config within 15 s'
  ):
    group.same('config', {}, secs=5)


def _time_out(key, secs):
  del secs
  raise TimeoutError(key)


@pytest.mark.parametrize('seed', range(10))
def test_all_stop_at_the_furthest(seed):
  """They are held at any moment, and none may wait for one that has stopped."""
  draw = random.Random(seed)
  count = 4
  groups = _groups(count)
  barriers = fake_store.Store()
  delays = [draw.uniform(0, 0.05) for _ in range(count)]

  def steps(i):
    for step in range(10_000):
      try:
        groups[i].enter()
      except agree.Stopped:
        return step
      # An operation that ends when all others have entered it.
      barriers.set(f'{step}/{i}', True)
      for j in range(count):
        barriers.wait_for(f'{step}/{j}')
    return None

  def watch(i):
    time.sleep(0.1 + delays[i])
    places = groups[i].gather('places', groups[i].hold())
    groups[i].release(max(places))

  found = fake_store.together(
    2 * count, lambda i: steps(i) if i < count else watch(i - count)
  )
  assert found[0] > 0
  assert found[:count] == [found[0]] * count


def test_between_two_operations_all_may_stop_as_well():
  (group,) = _groups(1)
  group.enter()
  group.check()
  assert group.hold() == 1
  group.release(2)
  group.check()
  group.enter()
  with pytest.raises(agree.Stopped, match='stopped'):
    group.check()


def test_what_saves_the_state_after_a_stop_is_not_stopped():
  (group,) = _groups(1)
  group.release(group.hold())
  with pytest.raises(agree.Stopped, match='stopped'):
    group.enter()
  group.enter()
  group.check()
