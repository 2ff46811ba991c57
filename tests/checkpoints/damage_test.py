"""A bad disk: what is damaged is found, and the state before it is used."""

import gc
import json
import shutil

import numpy as np
import pytest

from sagan_jax import errors
from sagan_jax.checkpoints import damage as checkpoint_damage
from sagan_jax.gan import state as state_lib
from tests.support import checkpoints

# Orbax leaves coroutines behind where it fails.
pytestmark = [
  pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning'),
  pytest.mark.slow,
]
NUM_FLIPS = 40


@pytest.fixture(autouse=True)
def end_of_coroutines():
  """They end here, not in some other test."""
  yield
  gc.collect()


@pytest.fixture(scope='module')
def intact(tmp_path_factory):
  """A directory with checkpoints of steps 3 and 7."""
  directory = tmp_path_factory.mktemp('intact') / 'ckpt'
  state = checkpoints.make_state()
  with checkpoints.opener(directory) as make:
    checkpoints.saved(make, checkpoints.at(state, 3), state)
  return directory


@pytest.fixture
def copy(intact, tmp_path):
  """A copy of it that may be damaged."""
  return shutil.copytree(intact, tmp_path / 'ckpt')


def _flip(path, position):
  """Flips a bit of a file."""
  content = bytearray(path.read_bytes())
  content[position // 8] ^= 1 << position % 8
  path.write_bytes(content)


def _data(directory):
  """The largest file of a checkpoint: weights and moments."""
  files = [x for x in directory.rglob('*') if x.is_file()]
  return max(files, key=lambda x: x.stat().st_size)


def test_no_flipped_bit_is_restored(copy):
  state = checkpoints.make_state()
  path, wanted = _data(copy / '7'), state_lib.digest(state)
  bits = 8 * path.stat().st_size
  refused = 0
  with checkpoints.opener(copy) as make:
    reader = make(writes=False)
    for position in np.random.default_rng(0).integers(bits, size=NUM_FLIPS):
      _flip(path, position)
      try:
        found = reader.restore(checkpoints.shapes(state), 7)
      except checkpoint_damage.Damaged:
        refused += 1
      else:  # Of a part of the file that holds nothing.
        assert state_lib.digest(found) == wanted, position
      _flip(path, position)
    assert state_lib.digest(reader.restore_newest(checkpoints.shapes(state)))
  assert refused > NUM_FLIPS / 2


def _damage(directory):
  path = _data(directory)
  path.write_bytes(b'\xff' * path.stat().st_size)


def test_the_one_before_is_used_and_the_damaged_one_is_set_aside(copy):
  state, lines = checkpoints.make_state(), []
  _damage(copy / '7')
  with checkpoints.opener(copy) as make:
    saver = make(log=lines.append)
    found = saver.restore_newest(checkpoints.shapes(state))
    assert int(found.step) == 3 and saver.steps() == [3]
    assert (copy / '7.damaged').is_dir()
    saver.save(state)  # The step is free again.
    saver.wait()
    again = saver.restore_newest(checkpoints.shapes(state))
    assert state_lib.digest(again) == state_lib.digest(state)
    _damage(copy / '7')  # There is one set aside already.
    assert int(saver.restore_newest(checkpoints.shapes(state)).step) == 3
  assert len(lines) == 2
  assert lines[0].startswith(f'the checkpoint {copy}/7 is damaged (')
  assert lines[0].endswith('; going back to the checkpoint before it')


def test_a_reader_leaves_it_where_it_is(copy):
  _damage(copy / '7')
  with checkpoints.opener(copy) as make:
    reader = make(writes=False, log=lambda _: None)
    shapes = checkpoints.shapes(checkpoints.make_state())
    assert int(reader.restore_newest(shapes).step) == 3
    assert reader.steps() == [3, 7]


def test_if_all_are_damaged_they_stay_and_the_first_is_named(copy):
  _damage(copy / '3')
  _damage(copy / '7')
  with checkpoints.opener(copy) as make:
    saver = make(log=lambda _: None)
    with pytest.raises(errors.UserError, match='ckpt/3 is damaged'):
      saver.restore_newest(checkpoints.shapes(checkpoints.make_state()))
    assert saver.steps() == [3]


def test_refuses_a_directory_without_checkpoints(tmp_path):
  with checkpoints.opener(tmp_path / 'empty') as make:
    shapes = checkpoints.shapes(checkpoints.make_state())
    with pytest.raises(errors.UserError, match='empty holds no checkpoint yet'):
      make().restore_newest(shapes)


def test_a_checkpoint_from_before_there_were_checksums(copy):
  state = checkpoints.make_state()
  path = copy / '7' / 'meta' / 'metadata'
  meta = json.loads(path.read_text())
  assert len(meta.pop('sums')) == len(meta['leaves'])
  path.write_text(json.dumps(meta))
  with checkpoints.opener(copy) as make:
    found = make(writes=False).restore(checkpoints.shapes(state), 7)
  assert state_lib.digest(found) == state_lib.digest(state)


@pytest.mark.parametrize(
  'error',
  [PermissionError(13, 'no'), ValueError('UNAVAILABLE: try again')],
)
def test_what_may_pass_is_no_damage(copy, monkeypatch, error):
  def fail(*_, **__):
    raise error

  with checkpoints.opener(copy) as make:
    saver = make()
    monkeypatch.setattr(saver._manager, 'restore', fail)
    with pytest.raises(errors.UserError, match='ckpt/7 cannot be read') as e:
      saver.restore_newest(checkpoints.shapes(checkpoints.make_state()))
    assert not isinstance(e.value, checkpoint_damage.Damaged)
    assert saver.steps() == [3, 7]
