"""Saving and restoring states."""

import dataclasses
import shutil

import flax
import jax
import jax.numpy as jnp
import pytest

from sagan_jax.checkpoints import table as checkpoint_table
from sagan_jax.cluster import sharding
from sagan_jax.gan import state as state_lib
from tests.support import checkpoints

pytestmark = pytest.mark.slow


@pytest.fixture
def make(tmp_path):
  """Opens checkpointers of one directory, and closes them at the end."""
  with checkpoints.opener(tmp_path / 'ckpt') as make:
    yield make


def test_restores_all_leaves_bit_for_bit(make):
  state = checkpoints.make_state()
  saver = make()
  assert (saver.steps(), saver.last_step()) == ([], None)
  saver.save(state)
  saver.wait()
  restored = make().restore(checkpoints.shapes(state), 7)
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
  writer.save(checkpoints.make_state())
  writer.wait()
  assert not half.exists()
  assert writer.steps() == [7]


def test_the_key_stays_a_typed_key(make):
  state = checkpoints.make_state()
  saver = make()
  saver.save(state)
  saver.wait()
  rng = saver.restore(checkpoints.shapes(state), 7).rng
  assert jnp.issubdtype(rng.dtype, jax.dtypes.prng_key)
  assert rng.dtype == state.rng.dtype
  assert (jax.random.bits(rng, (3,)) == jax.random.bits(state.rng, (3,))).all()


def test_the_state_may_be_donated_as_soon_as_save_returns(make):
  state = jax.tree.map(jnp.copy, checkpoints.make_state())
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
  restored = saver.restore(checkpoints.shapes(checkpoints.make_state()), 7)
  assert state_lib.digest(restored) == before


def test_restores_onto_more_devices(make):
  state = checkpoints.make_state()
  saver = make()
  saver.save(state)
  saver.wait()
  mesh = sharding.make_mesh(8)
  restored = saver.restore(checkpoints.shapes(state, mesh), 7)
  assert state_lib.digest(restored) == state_lib.digest(state)
  for leaf in jax.tree.leaves(restored):
    assert leaf.sharding == sharding.replicated(mesh)
    assert len(leaf.devices()) == 8


def test_keeps_the_last_few(make):
  saver = make(keep_last=2)
  for step in range(1, 6):
    saver.save(checkpoints.at(checkpoints.make_state(), step))
    saver.wait()
  assert saver.steps() == [4, 5]
  assert make().steps() == [4, 5]


def test_keeps_multiples_of_a_period_too(make):
  saver = make(keep_last=1, keep_every_steps=3)
  for step in range(1, 9):
    saver.save(checkpoints.at(checkpoints.make_state(), step))
    saver.wait()
  assert saver.steps() == [3, 6, 8]
  restored = saver.restore(checkpoints.shapes(checkpoints.make_state()), 3)
  assert int(restored.step) == 3


def test_steps_ascend_as_numbers(make):
  saver = make(keep_last=9)
  for step in (9, 10, 100):
    saver.save(checkpoints.at(checkpoints.make_state(), step))
    saver.wait()
  assert saver.steps() == [9, 10, 100]
  assert saver.last_step() == 100


def test_later_checkpoints_can_be_deleted(make):
  saver = make(keep_last=9)
  for step in (2, 4, 6):
    saver.save(checkpoints.at(checkpoints.make_state(), step))
    saver.wait()
  saver.delete_after(4)
  assert saver.steps() == [2, 4]
  assert make().steps() == [2, 4]


def test_an_unfinished_save_is_passed_over(make, tmp_path):
  """What a process leaves that is killed while it writes."""
  saver = make()
  saver.save(checkpoints.make_state())
  saver.wait()
  directory = tmp_path / 'ckpt'
  shutil.copytree(directory / '7', directory / '9.orbax-checkpoint-tmp')
  again = make()
  assert again.steps() == [7]
  again.save(checkpoints.at(checkpoints.make_state(), 9))
  again.wait()
  assert again.steps() == [7, 9]
  assert sorted(p.name for p in directory.iterdir()) == ['7', '9']


@flax.struct.dataclass
class Older:
  """A `GanState` from before `ema_batch_stats`."""

  step: jax.Array
  rng: jax.Array
  generator: state_lib.NetState
  discriminator: state_lib.NetState
  ema_params: dict


def _older(state):
  names = [field.name for field in dataclasses.fields(Older)]
  return Older(**{name: getattr(state, name) for name in names})


def test_a_checkpoint_that_is_older_than_a_field_still_loads(make):
  state = checkpoints.make_state()
  checkpoints.saved(make, _older(state))
  lines = []
  target = checkpoints.shapes(state)
  restored = make(log=lines.append).restore(target, 7)
  assert len(lines) == 1
  assert lines[0].endswith(
    'ckpt/7 was saved before the state had ema_batch_stats: fresh there'
  )
  assert state_lib.digest(_older(restored)) == state_lib.digest(_older(state))
  moments = state.generator.stats['batch_stats']
  assert state_lib.digest(restored.ema_batch_stats) == state_lib.digest(moments)
  assert jax.tree.structure(restored) == jax.tree.structure(state)
  assert jax.tree.map(lambda x: x.sharding, restored) == jax.tree.map(
    lambda x: x.sharding, target
  )
  # It can be donated: no buffer is in it twice.
  leaves = [x for x in jax.tree.leaves(restored) if x.dtype == jnp.float32]
  pointers = {x.unsafe_buffer_pointer() for x in leaves}
  assert len(pointers) == len(leaves)


def test_table_tells_shapes_and_dtypes_by_path():
  table = checkpoint_table.table(checkpoints.make_state())
  assert table['.step'] == [[], 'int32']
  assert table['.rng'] == [[], 'key<fry>']
  assert table[".generator.params['dense']['kernel']"] == [
    [128, 48],
    'float32',
  ]
  assert len(table) == len(jax.tree.leaves(checkpoints.make_state()))
