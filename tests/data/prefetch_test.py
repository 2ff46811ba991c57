"""Tests of the background reader."""

import threading
import time
import traceback

import pytest

from sagan_jax import errors
from sagan_jax.data import prefetch


def _wait_until(condition):
  deadline = time.monotonic() + 10
  while not condition():
    assert time.monotonic() < deadline
    time.sleep(0.001)


def test_items_come_in_order_through_put():
  with prefetch.Prefetcher(iter(range(50)), lambda x: -x, depth=3) as reader:
    assert list(reader) == [-x for x in range(50)]
    with pytest.raises(StopIteration):
      next(reader)


def test_reads_exactly_depth_ahead_in_another_thread():
  threads = []

  def put(x):
    threads.append(threading.get_ident())
    return x

  with prefetch.Prefetcher(iter(range(50)), put, depth=3) as reader:
    _wait_until(lambda: len(threads) == 3)
    time.sleep(0.05)
    assert len(threads) == 3
    assert next(reader) == 0
    _wait_until(lambda: len(threads) == 4)
  assert set(threads) != {threading.get_ident()}


@pytest.mark.parametrize('where', ['iterator', 'put'])
def test_errors_reach_the_consumer_with_their_traceback(where):
  def broken_place(x):
    raise KeyError(f'broken {x}')

  def generate():
    yield 0
    yield 1
    if where == 'iterator':
      broken_place(2)
    yield 2

  def put(x):
    return broken_place(x) if x == 2 else x

  with prefetch.Prefetcher(generate(), put, depth=4) as reader:
    assert [next(reader), next(reader)] == [0, 1]
    with pytest.raises(KeyError, match='broken 2') as caught:
      next(reader)
  names = [f.name for f in traceback.extract_tb(caught.value.__traceback__)]
  assert 'broken_place' in names


def test_an_error_is_known_before_the_items_in_reserve_are_used():
  def generate():
    yield from range(6)
    raise KeyError('broken')

  with prefetch.Prefetcher(
    generate(), lambda x: x, depth=1, reserve=2
  ) as reader:
    for i in range(4):
      assert next(reader) == i
      known = reader.error is not None
      assert i == 3 or not known  # Two are known to be behind.
    assert next(reader) == 4
    assert reader.error is not None
    assert next(reader) == 5
    with pytest.raises(KeyError, match='broken'):
      next(reader)


def test_an_error_while_closing_the_iterator_is_not_lost():
  def generate():
    try:
      yield 0
    finally:
      raise OSError('cannot close')

  with prefetch.Prefetcher(generate(), lambda x: x, depth=2) as reader:
    assert next(reader) == 0
    with pytest.raises(OSError, match='cannot close'):
      next(reader)


def test_close_stops_an_endless_reader_and_closes_its_iterator():
  closed = []

  def generate():
    try:
      while True:
        yield 0
    finally:
      closed.append(threading.current_thread().name)

  reader = prefetch.Prefetcher(generate(), lambda x: x, depth=2)
  next(reader)
  start = time.monotonic()
  reader.close()
  assert time.monotonic() - start < 5
  assert closed == ['prefetch']
  reader.close()  # Again does no harm.
  with pytest.raises(RuntimeError, match='the prefetcher is closed'):
    next(reader)


def test_close_does_not_wait_for_a_hanging_read(monkeypatch):
  monkeypatch.setattr(prefetch, '_CLOSE_SECS', 0.05)
  release = threading.Event()

  def generate():
    release.wait(30)
    yield 0

  items = []
  reader = prefetch.Prefetcher(generate(), items.append, depth=1)
  start = time.monotonic()
  reader.close()
  assert time.monotonic() - start < 5
  release.set()


def test_wait_secs_counts_waiting_only():
  gate = threading.Event()

  def generate():
    yield 0
    gate.wait(10)
    yield 1

  with prefetch.Prefetcher(generate(), lambda x: x, depth=2) as reader:
    _wait_until(lambda: len(reader._ready) == 1)
    next(reader)
    assert reader.wait_secs < 0.1
    threading.Timer(0.3, gate.set).start()
    next(reader)
    assert 0.2 < reader.wait_secs < 5
    before = reader.wait_secs
    time.sleep(0.1)
    assert reader.wait_secs == before


def test_depth_zero_is_refused():
  with pytest.raises(
    errors.UserError, match='prefetch depth 0 must be .*config.prefetch'
  ):
    prefetch.Prefetcher(iter(()), lambda x: x, depth=0)


def test_whoever_waits_is_asked_and_can_leave():
  release = threading.Event()

  def stalled():
    release.wait()
    yield 1

  class Left(Exception):
    pass

  waited = []

  def waiting(secs):
    waited.append(secs)
    if len(waited) == 2:
      raise Left

  with prefetch.Prefetcher(stalled(), lambda x: x, depth=1) as reader:
    with pytest.raises(Left):
      reader.next(waiting)
    assert 0.4 < waited[0] < waited[1] <= reader.wait_secs
    release.set()
    assert reader.next(waiting) == 1
