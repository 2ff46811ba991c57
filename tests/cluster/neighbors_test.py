"""What a process does when it hears of others, which here are made up."""

import pytest

from sagan_jax.cluster import agree, coordination, neighbors
from tests.support import fake_store


class _Ended(BaseException):
  """In place of the end of the process; holds its code."""


class _Clock:
  now = 100.0

  @classmethod
  def monotonic(cls):
    return cls.now

  @classmethod
  def sleep(cls, secs):
    cls.now += secs


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
  monkeypatch.setattr(neighbors, 'time', _Clock)

  def end(code):
    raise _Ended(code)

  monkeypatch.setattr(neighbors.os, '_exit', end)


def _watched(index, count=2, later=True, store=None):
  group = agree.Group(store or fake_store.Store(), index, count)
  return group, neighbors.Neighbors(group, lambda: later)


def test_a_failure_elsewhere_ends_the_process_with_its_code(capfd):
  group, watched = _watched(1)
  group.store.set('failed/0', [2, 'error: the disk is full'])
  with pytest.raises(_Ended, match='2'):
    watched._read()
  assert capfd.readouterr().err == 'process 0: error: the disk is full\n'
  assert group.store.entries('gone/') == {'1': True}


def test_a_failure_here_is_told():
  group, watched = _watched(1)
  with pytest.raises(_Ended, match='1'):
    watched.fail(1, 'KeyError: x')
  assert group.store.entries('failed/') == {'1': [1, 'KeyError: x']}


def test_a_stop_lets_all_go_on_to_the_furthest(capfd):
  group, watched = _watched(0)
  group.enter()
  watched._read()
  other = neighbors.Neighbors(agree.Group(group.store, 1, 2), lambda: True)
  other.request_stop()
  watched._read()
  assert group.store.entries('places/') == {'0': 1}
  group.store.set('places/1', 2)
  watched._read()
  group.enter()
  with pytest.raises(agree.Stopped, match='stopped'):
    group.enter()
  watched._read()  # Nothing is left to do.
  assert capfd.readouterr().err == 'process 1 was asked to stop; all will\n'


@pytest.mark.parametrize('later', [False, True])
def test_where_one_has_nothing_to_lose_nobody_has(later, capfd):
  group, watched = _watched(1, later=later)
  group.store.set('stop/0', True)
  group.store.set('places/0', 3 if not later else None)
  with pytest.raises(_Ended, match='75'):
    watched._read()
  assert 'run the same command again to go on' in capfd.readouterr().err


def test_process_0_names_who_is_silent(capfd):
  group, watched = _watched(0, count=3)
  for rounds in range(30):
    for i in 0, 1:
      group.store.set(f'alive/{i}', [rounds, 0])
    group.store.set('alive/2', [0, 0])
    watched._find_silent()
    _Clock.sleep(0.5)
  _Clock.sleep(0.1)
  group.store.set('alive/1', [30, 0])
  with pytest.raises(_Ended, match='76'):
    watched._find_silent()
  text = 'process 2 is dead or stuck, it has not been heard of for 15 s'
  assert capfd.readouterr().err == f'{text}\n'
  assert group.store.entries('failed/') == {'0': [76, text]}


def test_who_has_finished_may_be_silent():
  group, watched = _watched(0)
  group.store.set('alive/1', [5, 0])
  group.store.set('finished/1', 0)
  for _ in range(100):
    watched._find_silent()
    _Clock.sleep(1)


def test_the_end_waits_for_all():
  group, watched = _watched(1)
  group.store.set('finished/0', 0)
  with pytest.raises(_Ended, match='0'):
    watched.finish(0)
  assert group.store.entries('finished/') == {'0': 0, '1': 0}


class _Dead(fake_store.Store):
  """A coordinator that refuses, as it has ended."""

  def set(self, key, value):
    del key, value
    raise coordination.Gone('connection refused')

  def entries(self, prefix):
    del prefix
    raise coordination.Gone('connection refused')


def test_a_coordinator_that_has_gone_ends_the_process(capfd):
  _, watched = _watched(1, store=_Dead())
  with pytest.raises(_Ended, match='76'):
    watched._watch()
  _, watched = _watched(1, store=_Dead())
  with pytest.raises(_Ended, match='76'):
    watched.finish(0)
  _, watched = _watched(1, store=_Dead())
  with pytest.raises(_Ended, match='1'):
    watched.fail(1, 'KeyError: x')
  text = capfd.readouterr().err
  assert 'process 0, which coordinates, has gone (connection refused)' in text
  assert 'process 0 has ended before this one' in text


def test_a_coordinator_that_does_not_answer_ends_the_process(capfd):
  _, watched = _watched(1)
  with pytest.raises(_Ended, match='76'):
    watched._watch_coordinator()
  assert 'coordinates, has not answered for 16 s' in capfd.readouterr().err


class _Living(fake_store.Store):
  """Where processes show signs of life, once per look, up to a number."""

  def __init__(self, **last):
    super().__init__()
    self._last = last
    self._rounds = 5

  def entries(self, prefix):
    self._rounds += 1
    for i, last in self._last.items():
      self.set(f'alive/{i[1:]}', [min(self._rounds, last), 0])
    return super().entries(prefix)


def test_no_other_is_to_blame_when_all_show_that_they_live():
  _, watched = _watched(1, store=_Living(_0=99, _1=99))
  before = _Clock.now
  watched.find_culprit()
  assert 0 < _Clock.now - before < 2 * neighbors.POLL_SECS


@pytest.mark.parametrize('last', [6, 7])
def test_one_that_shows_no_more_life_is_to_blame(capfd, last):
  """One sign may have been on its way when it died."""
  group, watched = _watched(1, store=_Living(_0=99, _1=99, _2=last))
  with pytest.raises(_Ended, match='76'):
    watched.find_culprit()
  text = 'process 2 is dead or stuck, it has not been heard of for 5 s'
  assert capfd.readouterr().err == f'{text}\n'
  assert group.store.entries('failed/') == {'1': [76, text]}


def test_no_life_is_asked_of_a_coordinator_that_has_gone():
  _, watched = _watched(1, store=_Dead())
  before = _Clock.now
  watched.find_culprit()
  assert _Clock.now - before >= neighbors.SILENCE_SECS
