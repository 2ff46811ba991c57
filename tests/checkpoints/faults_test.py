"""Checkpoints that are refused, damaged, old, or cannot be written."""

import contextlib
import dataclasses
import gc
import re
import resource
import shutil
import threading
import time

import jax
import jax.numpy as jnp
import pytest

from sagan_jax import errors
from sagan_jax.checkpoints import checkpoint
from sagan_jax.checkpoints import table as checkpoint_table
from sagan_jax.gan import state as state_lib
from tests.support import checkpoints

# Orbax leaves coroutines behind where it fails.
pytestmark = [
  pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning'),
  pytest.mark.slow,
]


@pytest.fixture(autouse=True)
def end_of_coroutines():
  """They end here, not in some other test."""
  yield
  gc.collect()


@pytest.fixture
def make(tmp_path):
  """Opens checkpointers of one directory, and closes them at the end."""
  with checkpoints.opener(tmp_path / 'ckpt') as make:
    yield make


def test_refuses_the_checkpoint_of_another_model(make):
  saver = checkpoints.saved(make, checkpoints.make_state())
  target = checkpoints.shapes(checkpoints.make_state(num_classes=12))
  with pytest.raises(errors.UserError) as error:
    saver.restore(target, 7)
  text = str(error.value)
  assert re.match(
    'the checkpoint .*ckpt/7 is of another model: use the config it was '
    'trained with, or another --workdir; these arrays differ:\n',
    text,
  )
  # D's table and its two moments, its u; G's gamma and beta with two moments
  # each, and their averages: 4 + 6 + 2, of which five are shown.
  assert 'and 7 more' in text
  assert text.count('checkpoint [[10') == 5
  assert text.count('model [[12') == 5
  assert ".ema_params['norm']['beta']: checkpoint [[10, 3], 'float32']" in text


@pytest.mark.parametrize('change', ['lacks', 'adds'])
def test_refuses_a_checkpoint_with_other_leaves(make, change):
  state = checkpoints.make_state()
  fewer = dataclasses.replace(
    state, ema_params={'dense': state.ema_params['dense']}
  )
  saved, wanted = (state, fewer) if change == 'lacks' else (fewer, state)
  saver = checkpoints.saved(make, saved)
  missing = 'model nothing' if change == 'lacks' else 'checkpoint nothing'
  path = r"\.ema_params\['norm'\]\['gamma'\]: .*"
  with pytest.raises(errors.UserError, match=path + missing):
    saver.restore(checkpoints.shapes(wanted), 7)


def test_refuses_another_dtype_instead_of_casting(make):
  state = checkpoints.make_state()
  saver = checkpoints.saved(make, state)
  target = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(
      x.shape,
      jnp.bfloat16 if x.dtype == jnp.float32 else x.dtype,
      sharding=x.sharding,
    ),
    checkpoints.shapes(state),
  )
  with pytest.raises(
    errors.UserError,
    match=r"checkpoint \[.*'float32'\], model \[.*'bfloat16'\]",
  ):
    saver.restore(target, 7)


def test_refuses_another_format(make, monkeypatch):
  monkeypatch.setattr(checkpoint_table, 'FORMAT', 99)
  saver = checkpoints.saved(make, checkpoints.make_state())
  monkeypatch.undo()
  message = 'the checkpoint .*ckpt/7 has format 99, .* reads 1; use the version'
  with pytest.raises(errors.UserError, match=message):
    saver.restore(checkpoints.shapes(checkpoints.make_state()), 7)


@pytest.fixture(scope='module')
def intact(tmp_path_factory):
  """A directory with a checkpoint of step 7."""
  directory = tmp_path_factory.mktemp('intact') / 'ckpt'
  with checkpoints.opener(directory) as make:
    checkpoints.saved(make, checkpoints.make_state())
  return directory


DAMAGES = {
  'deleted': lambda path: path.unlink(),
  'empty': lambda path: path.write_bytes(b''),
  'cut': lambda path: path.write_bytes(path.read_bytes()[:-9]),
  'garbage': lambda path: path.write_bytes(b'\xff' * path.stat().st_size),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_a_damaged_file_is_refused_or_of_no_consequence(
  intact, tmp_path, damage
):
  state = checkpoints.make_state()
  refused = set()
  files = [f.relative_to(intact) for f in intact.rglob('*') if f.is_file()]
  for i, name in enumerate(files):
    directory = tmp_path / str(i)
    shutil.copytree(intact, directory)
    DAMAGES[damage](directory / name)
    with checkpoints.opener(directory) as make:
      try:
        found = make(writes=False).restore(checkpoints.shapes(state), 7)
      except errors.UserError as e:
        (line,) = str(e).splitlines()
        assert line.startswith(f'the checkpoint {directory}/7 is damaged (')
        assert line.endswith(
          '); restore its files from a copy, or move it away to go on from the '
          'one before it, or to begin anew if there is none'
        )
        refused.add(str(name))
      else:
        assert state_lib.digest(found) == state_lib.digest(state), name
  needed = {'7/meta/metadata', '7/state/_METADATA', '7/state/manifest.ocdbt'}
  assert needed <= refused


@pytest.mark.parametrize(
  'content', ['{}', '[]', 'null', '{"format": 1}', '{"format": 1, "leaves": 3}']
)
def test_metadata_of_another_form_is_damaged(make, tmp_path, content):
  state = checkpoints.make_state()
  saver = checkpoints.saved(make, checkpoints.at(state, 3), state)
  (tmp_path / 'ckpt' / '7' / 'meta' / 'metadata').write_text(content)
  message = 'ckpt/7 is damaged .*, or move it away to go on from the one before'
  with pytest.raises(errors.UserError, match=message):
    saver.restore(checkpoints.shapes(state), 7)


def test_a_directory_that_is_no_checkpoint_is_damaged(make, tmp_path):
  (tmp_path / 'ckpt' / '9' / 'meta').mkdir(parents=True)
  saver = make()
  assert saver.last_step() == 9
  with pytest.raises(
    errors.UserError, match=r'ckpt/9 is damaged \(UserError: '
  ):
    saver.restore(checkpoints.shapes(checkpoints.make_state()), 9)


def test_an_error_of_the_device_is_not_taken_for_damage(make, monkeypatch):
  state = checkpoints.make_state()
  saver = checkpoints.saved(make, state)

  def fail(*_, **__):
    raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: out of memory')

  for name in ('restore', 'save'):
    monkeypatch.setattr(saver._manager, name, fail)
  with pytest.raises(jax.errors.JaxRuntimeError, match='out of memory'):
    saver.restore(checkpoints.shapes(state), 7)
  with pytest.raises(jax.errors.JaxRuntimeError, match='out of memory'):
    saver.save(checkpoints.at(state, 8))


def test_other_fields_may_not_be_missing(make):
  state = checkpoints.make_state()
  saver = checkpoints.saved(make, dataclasses.replace(state, ema_params={}))
  with pytest.raises(errors.UserError, match='ema_params.* checkpoint nothing'):
    saver.restore(checkpoints.shapes(state), 7)


def test_a_file_in_place_of_the_directory_is_refused(make, tmp_path):
  (tmp_path / 'ckpt').write_text('')
  with pytest.raises(errors.UserError, match='ckpt must be a directory'):
    make()


def test_a_directory_that_cannot_be_made_is_refused(tmp_path):
  (tmp_path / 'file').write_text('')
  message = 'cannot write .*file/ckpt: Not a directory; free space there'
  with pytest.raises(errors.UserError, match=message):
    checkpoint.Checkpointer(tmp_path / 'file' / 'ckpt', keep_last=2)


def test_a_save_that_orbax_passes_over_is_noticed(make, tmp_path):
  (tmp_path / 'ckpt' / '999' / 'state').mkdir(parents=True)
  message = (
    'the checkpoint of step 7 was not written: .*ckpt already has one of step '
    '999; move that away'
  )
  with pytest.raises(errors.UserError, match=message):
    make().save(checkpoints.make_state())


@contextlib.contextmanager
def limited_files(num_bytes):
  """Files cannot grow beyond some size, as if the disk were full."""
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize('notices', ['check', 'wait', 'close'])
def test_a_full_disk_leaves_earlier_checkpoints_intact(make, notices):
  state = checkpoints.make_state()
  saver = checkpoints.saved(make, state)
  message = (
    r'^a checkpoint could not be written to .*ckpt \(\w+: .*\); that of step 7 '
    'is intact: free space there or mend its permissions, and run the same '
    'command again$'
  )
  with limited_files(10_000), pytest.raises(errors.UserError, match=message):
    saver.save(checkpoints.at(state, 8))
    while saver._manager.is_saving_in_progress() and notices == 'check':
      time.sleep(0.01)
    getattr(saver, notices)()
  again = make()
  assert again.steps() == [7]
  restored = again.restore(checkpoints.shapes(state), 7)
  assert state_lib.digest(restored) == state_lib.digest(state)


def test_a_save_that_cannot_begin_leaves_no_thread_behind(make, tmp_path):
  """Else the process would wait ten minutes for it when it ends."""
  saver = make()
  before = set(threading.enumerate())
  (tmp_path / 'ckpt').rmdir()
  (tmp_path / 'ckpt').write_text('')
  message = (
    r'the checkpoint of step 7 could not be written to .*ckpt '
    r'\(\w+Error: .*; there is no earlier one: free space there'
  )
  with pytest.raises(errors.UserError, match=message):
    saver.save(checkpoints.make_state())
  saver.close()
  new = {t for t in threading.enumerate() if not t.daemon} - before
  # Idle threads of asyncio's pool end with the process.
  assert [t for t in new if not t.name.startswith('asyncio_')] == []


def test_a_check_does_not_wait_for_a_save_in_progress(make, monkeypatch):
  saver = make()
  saver.check()
  monkeypatch.setattr(saver._manager, 'is_saving_in_progress', lambda: True)

  def wait():
    raise AssertionError('it waited')

  with monkeypatch.context() as patch:
    patch.setattr(saver._manager, 'wait_until_finished', wait)
    saver.check()
