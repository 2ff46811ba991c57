"""What is kept while a disk is full, and for how long."""

import pytest

from sagan_jax import errors
from sagan_jax.run import room, stop

FULL = errors.DiskFull('no room')


class _Disk:
  """Takes what is written, unless it is full."""

  def __init__(self):
    self.full = False
    self.written = []

  def writer(self, name):
    def write():
      if self.full:
        raise FULL
      self.written.append(name)

    return write


@pytest.fixture
def now(monkeypatch):
  clock = [0.0]
  monkeypatch.setattr(room.time, 'monotonic', lambda: clock[0])
  monkeypatch.setattr(room.time, 'sleep', lambda secs: _add(clock, secs))
  return clock


def _add(clock, secs):
  clock[0] += secs


def test_what_is_refused_is_written_later_in_order(tmp_path, now):
  disk, said = _Disk(), []
  one = room.Room(tmp_path, 600, said.append)
  one.write(disk.writer('a'), 1)
  disk.full = True
  for i, name in enumerate('bcd'):
    now[0] = 25.0 * i
    one.write(disk.writer(name), 100)
  assert disk.written == ['a'] and one.pauses and len(said) == 1
  assert f'{tmp_path} needs 100 bytes' in said[0] and 'for 10m00s' in said[0]
  now[0] = 61
  one.retry()
  assert len(said) == 2 and 'needs 300 bytes' in said[1]
  disk.full = False
  one.write(disk.writer('e'), 1)
  assert disk.written == list('abcde') and not one.pauses
  assert said[2].startswith('all is written that a full disk had refused for 1')


def test_a_state_that_is_not_saved_keeps_the_pause(tmp_path, now):
  del now
  said = []
  one = room.Room(tmp_path, 600, said.append)
  one.refused(FULL, state_bytes=2**62)
  one.retry()
  assert one.pauses and one.is_hopeless and '4,611,686,018' in said[0]
  one.saved(7)
  assert not one.pauses and 'there is room again: step 7 is saved' in said


def test_time_is_over_at_last(tmp_path, now):
  disk = _Disk()
  disk.full = True
  one = room.Room(tmp_path, 600, lambda _: None)
  one.write(disk.writer('a'), 5)
  match = (
    f'the disk of {tmp_path} has been full for 10m00s.*needs 5 bytes, .*free'
  )
  with pytest.raises(errors.DiskFull, match=match):
    while now[0] < 700:
      one.wait()
  assert 600 <= now[0] < 602


def test_without_time_it_ends_at_once(tmp_path):
  disk = _Disk()
  disk.full = True
  one = room.Room(tmp_path)
  assert not one.may_pause
  with pytest.raises(errors.DiskFull, match='^no room$'):
    one.write(disk.writer('a'), 5)


def test_what_is_kept_is_bounded(tmp_path):
  disk = _Disk()
  disk.full = True
  one = room.Room(tmp_path, 600, lambda _: None)
  one.write(disk.writer('a'), 2**28)
  with pytest.raises(errors.DiskFull, match='needs 268,435,457 bytes'):
    one.write(disk.writer('b'), 1)


def test_a_stop_does_not_wait_for_room(tmp_path, monkeypatch):
  monkeypatch.setattr(stop, 'requested', lambda: True)
  one = room.Room(tmp_path, 600, lambda _: None)
  one.refused(FULL)
  with pytest.raises(errors.DiskFull, match='has been full for'):
    one.wait()


def test_other_errors_are_not_kept(tmp_path):
  def fail():
    raise errors.UserError('read-only')

  one = room.Room(tmp_path, 600)
  with pytest.raises(errors.UserError, match='read-only'):
    one.write(fail, 1)
  one.retry()
