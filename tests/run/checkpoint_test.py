"""Tests of saving and restoring states."""

import contextlib
import dataclasses
import functools
import gc
import resource
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax.cluster import sharding
from sagan_jax.gan import build
from sagan_jax.gan import state as state_lib
from sagan_jax.run import checkpoint
from tests.support import tiny


@functools.cache
def make_state(num_classes=10):
  """A state whose every leaf is different from its start, born on a mesh."""
  with tiny.small_networks():
    c = tiny.config(num_classes=num_classes)
    mesh = sharding.make_mesh(1)
    state = jax.jit(
      functools.partial(
        state_lib.init_state, build.build_gan(c, mesh), c.image_size
      ),
      out_shardings=sharding.replicated(mesh),
    )(c.seed)
  random = np.random.default_rng(0)

  def fill(x):
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) or x.dtype == jnp.int32:
      return x
    # All bits count: subnormal numbers, a negative zero, infinities.
    values = random.standard_normal(x.shape).astype(x.dtype).reshape(-1)
    special = np.array([-0.0, 1e-42, np.inf, np.float32(1) / 3], x.dtype)
    values[: special.size] = special[: values.size]
    return jax.device_put(values.reshape(x.shape), x.sharding)

  return at(jax.tree.map(fill, state), 7)


def at(state, step):
  return dataclasses.replace(
    state, step=jax.device_put(jnp.int32(step), state.step.sharding)
  )


def shapes(state, mesh=None):
  whole = sharding.replicated(mesh or sharding.make_mesh(1))
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=whole), state
  )


@pytest.fixture
def make(tmp_path):
  """Opens checkpointers of one directory, and closes them at the end."""
  opened = []

  def open_one(**options):
    options = {'keep_last': 2} | options
    opened.append(checkpoint.Checkpointer(tmp_path / 'ckpt', **options))
    return opened[-1]

  yield open_one
  for one in opened:
    one._manager.close()


def test_restores_all_leaves_bit_for_bit(make):
  state = make_state()
  saver = make()
  assert saver.steps() == []
  saver.save(state)
  saver.wait()
  restored = make().restore(shapes(state), 7)
  assert state_lib.digest(restored) == state_lib.digest(state)
  assert jax.tree.structure(restored) == jax.tree.structure(state)
  for new, old in zip(
    jax.tree.leaves(restored), jax.tree.leaves(state), strict=True
  ):
    assert (new.dtype, new.shape) == (old.dtype, old.shape)
    assert new.sharding == old.sharding


def test_only_the_writer_removes_what_is_half_written(make, tmp_path):
  half = tmp_path / 'ckpt' / '3.orbax-checkpoint-tmp'
  half.mkdir(parents=True)
  reader = make(writes=False)
  assert reader.steps() == []
  reader.close()
  assert half.exists()
  writer = make()
  writer.save(make_state())
  writer.wait()
  assert not half.exists()
  assert writer.steps() == [7]


def test_the_key_stays_a_typed_key(make):
  state = make_state()
  saver = make()
  saver.save(state)
  saver.wait()
  rng = saver.restore(shapes(state), 7).rng
  assert jnp.issubdtype(rng.dtype, jax.dtypes.prng_key)
  assert rng.dtype == state.rng.dtype
  assert (jax.random.bits(rng, (3,)) == jax.random.bits(state.rng, (3,))).all()


def test_the_state_may_be_donated_as_soon_as_save_returns(make):
  state = jax.tree.map(jnp.copy, make_state())
  before = state_lib.digest(state)
  saver = make()
  saver.save(state)
  donate = jax.jit(
    lambda s: jax.tree.map(
      lambda x: x if x.dtype == state.rng.dtype else x * 0, s
    ),
    donate_argnums=0,
  )
  jax.block_until_ready(donate(state))
  assert state.ema_params['dense']['kernel'].is_deleted()
  saver.wait()
  restored = saver.restore(shapes(make_state()), 7)
  assert state_lib.digest(restored) == before


def test_restores_onto_more_devices(make):
  state = make_state()
  saver = make()
  saver.save(state)
  saver.wait()
  mesh = sharding.make_mesh(8)
  restored = saver.restore(shapes(state, mesh), 7)
  assert state_lib.digest(restored) == state_lib.digest(state)
  for leaf in jax.tree.leaves(restored):
    assert leaf.sharding == sharding.replicated(mesh)
    assert len(leaf.devices()) == 8


def test_keeps_the_last_few(make):
  saver = make(keep_last=2)
  for step in range(1, 6):
    saver.save(at(make_state(), step))
    saver.wait()
  assert saver.steps() == [4, 5]
  assert make().steps() == [4, 5]


def test_keeps_multiples_of_a_period_too(make):
  saver = make(keep_last=1, keep_every_steps=3)
  for step in range(1, 9):
    saver.save(at(make_state(), step))
    saver.wait()
  assert saver.steps() == [3, 6, 8]
  restored = saver.restore(shapes(make_state()), 3)
  assert int(restored.step) == 3


def test_steps_ascend_as_numbers(make):
  saver = make(keep_last=9)
  for step in (9, 10, 100):
    saver.save(at(make_state(), step))
    saver.wait()
  assert saver.steps() == [9, 10, 100]


def test_refuses_the_checkpoint_of_another_model(make):
  saver = make()
  saver.save(make_state())
  saver.wait()
  target = shapes(make_state(num_classes=12))
  with pytest.raises(ValueError) as error:
    saver.restore(target, 7)
  text = str(error.value)
  assert 'the checkpoint of step 7 is of another model' in text
  # D's table and its two moments, its u; G's gamma and beta with two moments
  # each, and their averages: 4 + 6 + 2, of which five are shown.
  assert 'and 7 more' in text
  assert text.count('checkpoint [[10') == 5
  assert text.count('model [[12') == 5
  assert ".ema_params['norm']['beta']: checkpoint [[10, 3], 'float32']" in text
  assert 'another --workdir' in text


@pytest.mark.parametrize('change', ['lacks', 'adds'])
def test_refuses_a_checkpoint_with_other_leaves(make, change):
  state = make_state()
  fewer = dataclasses.replace(
    state, ema_params={'dense': state.ema_params['dense']}
  )
  saved, wanted = (state, fewer) if change == 'lacks' else (fewer, state)
  saver = make()
  saver.save(saved)
  saver.wait()
  missing = 'model nothing' if change == 'lacks' else 'checkpoint nothing'
  path = r"\.ema_params\['norm'\]\['gamma'\]: .*"
  with pytest.raises(ValueError, match=path + missing):
    saver.restore(shapes(wanted), 7)


def test_refuses_another_dtype_instead_of_casting(make):
  state = make_state()
  saver = make()
  saver.save(state)
  saver.wait()
  target = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(
      x.shape,
      jnp.bfloat16 if x.dtype == jnp.float32 else x.dtype,
      sharding=x.sharding,
    ),
    shapes(state),
  )
  with pytest.raises(
    ValueError, match=r"checkpoint \[.*'float32'\], model \[.*'bfloat16'\]"
  ):
    saver.restore(target, 7)


def test_later_checkpoints_can_be_deleted(make):
  saver = make(keep_last=9)
  for step in (2, 4, 6):
    saver.save(at(make_state(), step))
    saver.wait()
  saver.delete_after(4)
  assert saver.steps() == [2, 4]
  assert make().steps() == [2, 4]


def test_refuses_another_format(make, monkeypatch):
  saver = make()
  monkeypatch.setattr(checkpoint, 'FORMAT', 99)
  saver.save(make_state())
  saver.wait()
  monkeypatch.undo()
  message = 'the checkpoint of step 7 in .*ckpt has format 99, .* reads 1'
  with pytest.raises(ValueError, match=message):
    saver.restore(shapes(make_state()), 7)


def test_an_unfinished_save_is_passed_over(make, tmp_path):
  """What a process leaves that is killed while it writes."""
  saver = make()
  saver.save(make_state())
  saver.wait()
  directory = tmp_path / 'ckpt'
  shutil.copytree(directory / '7', directory / '9.orbax-checkpoint-tmp')
  again = make()
  assert again.steps() == [7]
  again.save(at(make_state(), 9))
  again.wait()
  assert again.steps() == [7, 9]
  assert sorted(p.name for p in directory.iterdir()) == ['7', '9']


@contextlib.contextmanager
def limited_files(num_bytes):
  """Files cannot grow beyond some size, as if the disk were full."""
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# Orbax leaves coroutines behind; gc ends them here, not in some other test.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
def test_a_write_that_fails_is_a_runtime_error(make):
  saver = make()
  saver.save(make_state())
  saver.wait()
  message = (
    r'could not be written \(\w+: (.|\n)*earlier checkpoints are intact: mend '
    'the cause and run the same command again'
  )
  with limited_files(10_000), pytest.raises(RuntimeError, match=message):
    saver.save(at(make_state(), 8))
    saver.wait()
  gc.collect()
  again = make()
  assert again.steps() == [7]
  restored = again.restore(shapes(make_state()), 7)
  assert state_lib.digest(restored) == state_lib.digest(make_state())


def test_an_error_in_the_background_is_raised_by_check(make, monkeypatch):
  saver = make()
  saver.check()

  def fail():
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr(saver._manager, 'check_for_errors', fail)
  message = (
    r'a checkpoint in the background could not be written \(OSError: '
    r'\[Errno 28\] No space left on device\); earlier'
  )
  with pytest.raises(RuntimeError, match=message) as error:
    saver.check()
  assert isinstance(error.value.__cause__, OSError)


def test_table_tells_shapes_and_dtypes_by_path():
  table = checkpoint.table(make_state())
  assert table['.step'] == [[], 'int32']
  assert table['.rng'] == [[], 'key<fry>']
  assert table[".generator.params['dense']['kernel']"] == [
    [128, 48],
    'float32',
  ]
  assert len(table) == len(jax.tree.leaves(make_state()))
