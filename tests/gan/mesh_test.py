"""One device or eight: the same training, and no traffic but sums."""

import dataclasses
import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax.cluster import sharding
from sagan_jax.data import shapes
from sagan_jax.gan import state as state_lib
from sagan_jax.gan import step as step_lib
from sagan_jax.models import norm
from tests.support import programs, small

pytestmark = pytest.mark.slow

BATCH_SIZE = 16
NUM_STEPS = 20
# Small enough that rounding does not grow: a rectifier or a hinge that it
# tips over changes a gradient by a finite amount, and Adam scales gradients
# up. At ten times these rates runs on 1 and 8 devices are 5e-4 apart after 20
# steps, and so (3e-3) are two on one device that start one rounding apart.
LEARNING_RATES = (1e-5, 4e-5)
RECIPE_RATES = (1e-4, 4e-4)


@functools.cache
def _batches():
  source = shapes.open_source(image_size=32, num_examples=512)
  batches = source.batches(
    seed=0, batch_size=BATCH_SIZE, start=0, process_index=0, process_count=1
  )
  return [
    jax.tree.map(lambda x: np.asarray(x)[None], dict(batch))
    for batch in itertools.islice(batches, NUM_STEPS)
  ]


@functools.cache
def _run(num_devices):
  compiled = small.conv_step(num_devices)
  gan, mesh, _ = compiled
  state = small.fresh_state(gan, 32, learning_rates=LEARNING_RATES, mesh=mesh)
  return small.run_conv_step(compiled, state, _batches())


def test_losses_do_not_depend_on_the_mesh():
  _, one = _run(1)
  _, many = _run(8)
  for name in ('d_loss', 'g_loss'):
    # They did train.
    assert np.abs(one[name][-1] - one[name][0]) > 0.5
    # Adam makes updates of the rounding of zero gradients: 5e-5 by step 20.
    np.testing.assert_allclose(many[name], one[name], rtol=1e-5, atol=1e-4)


def test_every_step_of_the_recipe_is_the_same_on_any_mesh():
  """At its rates, each step from the state that one device has reached."""
  steps = {n: small.conv_step(n) for n in (1, 8)}
  gan, mesh, _ = steps[1]
  state = small.fresh_state(gan, 32, learning_rates=RECIPE_RATES, mesh=mesh)
  for batch in _batches():
    here = jax.device_get(dataclasses.replace(state, rng=None))
    losses = {}
    for n, compiled in steps.items():
      start = dataclasses.replace(here, rng=jax.random.key(0))
      start = jax.device_put(start, sharding.replicated(compiled[1]))
      end, losses[n] = small.run_conv_step(compiled, start, [batch])
      if n == 1:
        state = end
    for name in ('d_loss', 'g_loss'):
      one, many = losses[1][name], losses[8][name]
      np.testing.assert_allclose(many, one, rtol=1e-5, atol=1e-5)


def test_statistics_do_not_depend_on_the_mesh():
  (one, _), (many, _) = _run(1), _run(8)
  for name in ('generator', 'discriminator'):
    stats = [getattr(state, name).stats for state in (one, many)]
    paths = jax.tree_util.tree_leaves_with_path(stats[0])
    for (path, x), y in zip(paths, jax.tree.leaves(stats[1]), strict=True):
      np.testing.assert_allclose(
        y, x, rtol=1e-3, atol=1e-4, err_msg=jax.tree_util.keystr(path)
      )


def test_latents_and_labels_do_not_depend_on_the_mesh():
  draws = []
  for num_devices in (None, 1, 2, 8):
    split = None
    if num_devices:
      split = sharding.split_batch(sharding.make_mesh(num_devices))
    z, label = jax.jit(
      functools.partial(
        step_lib.draw_inputs, small.tiny_gan(), batch_size=BATCH_SIZE
      ),
      out_shardings=split,
    )(jax.random.key(7))
    draws.append((np.asarray(z), np.asarray(label)))
  for z, label in draws[1:]:
    np.testing.assert_array_equal(z, draws[0][0])
    np.testing.assert_array_equal(label, draws[0][1])


def _text(variant):
  if variant == 'plain':
    return small.conv_step(8)[2].as_text()
  # Groups of four images, each on four of the devices.
  return small.conv_step(
    8,
    bn_group_size=4,
    num_microbatches=2,
    n_dis=2,
    resample='reference',
    unroll=False,
  )[2].as_text()


@pytest.mark.parametrize('variant', ['plain', 'parts'])
def test_devices_exchange_sums_only(variant):
  assert programs.collectives(_text(variant)) == {'all-reduce'}
  if variant == 'plain':
    assert not programs.collectives(small.conv_step(1)[2].as_text())


def test_devices_exchange_no_more_than_parameters_and_moments():
  gan, mesh, step = small.conv_step(8)
  state = small.fresh_state(gan, 32, mesh=mesh)
  nets = state.generator, state.discriminator
  num_bytes = 4 * sum(state_lib.num_params(net.params) for net in nets)
  assert 1 <= programs.collective_bytes(step.as_text()) / num_bytes < 1.1


@pytest.mark.parametrize(('variant', 'images'), [('plain', 2), ('parts', 1)])
def test_every_device_convolves_its_own_images(variant, images):
  batches = re.findall(
    r'= \w+\[(\d+),[\d,]+\]\S* convolution\(', _text(variant)
  )
  assert len(batches) > 50
  # The discriminator sees real and generated ones at once.
  assert {int(batch) for batch in batches} == {images, 2 * images}


def test_eight_devices_share_the_work():
  one, eight = (small.conv_step(n)[2].cost_analysis()['flops'] for n in (1, 8))
  # An eighth, and what each does anew: spectral norms and Adam.
  assert 1 / 8 <= eight / one < 1 / 4


@pytest.mark.parametrize('group_size', [None, 1, 2, 4, 8, 16])
@pytest.mark.parametrize('by', ['compiler', 'shares'])
def test_groups_of_batch_norm_stay_where_their_images_are(by, group_size):
  mesh = sharding.make_mesh()
  layer = norm.BatchNorm(num_classes=3, group_size=group_size)
  rng = np.random.default_rng(0)
  x = rng.standard_normal((BATCH_SIZE, 2, 2, 4)).astype(np.float32)
  label = rng.integers(3, size=BATCH_SIZE).astype(np.int32)
  variables = layer.init(jax.random.key(0), x, label, train=False)

  def fn(params, x, label):
    y, new = layer.apply(
      {**variables, 'params': params},
      x,
      label,
      train=True,
      mutable=['batch_stats'],
    )
    return jnp.mean(jnp.sin(y)), (y, new)

  def of_share(params, x, label):
    (by_params, by_x), (y, new) = grad(params, x, label)
    mean = sharding.mean_over_shares
    return (mean(by_params), by_x / mesh.size), (y, mean(new))

  split, whole = sharding.split_batch(mesh), sharding.replicated(mesh)
  ins, outs = (whole, split, split), ((whole, split), (split, whole))
  grad = jax.grad(fn, (0, 1), has_aux=True)
  program = jax.jit(grad, in_shardings=ins, out_shardings=outs)
  if by == 'shares':
    specs = jax.tree.map(lambda sharding: sharding.spec, (ins, outs))
    program = jax.jit(
      jax.shard_map(
        of_share,
        mesh=mesh,
        in_specs=specs[0],
        out_specs=specs[1],
        check_vma=False,
      )
    )
  args = variables['params'], x, label
  program = program.lower(*jax.device_put(args, ins)).compile()
  expected = jax.jit(grad)(*args)
  assert programs.collectives(program.as_text()) == {'all-reduce'}
  for one, other in zip(
    *map(jax.tree.leaves, (program(*jax.device_put(args, ins)), expected)),
    strict=True,
  ):
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_the_state_is_donated():
  gan, mesh, step = small.conv_step(8)
  state = small.fresh_state(gan, 32, mesh=mesh)
  num_bytes = sum(
    leaf.dtype.itemsize * leaf.size for leaf in jax.tree.leaves(state)
  )
  assert step.memory_analysis().alias_size_in_bytes >= num_bytes
  batch = sharding.put_batch(_batches()[0], sharding.split_batch(mesh, axis=1))
  new, _ = step(state, batch)
  assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))
  assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(batch))
  for leaf in jax.tree.leaves(new):
    assert leaf.sharding.is_fully_replicated


def test_batches_are_split_along_their_axis():
  mesh = sharding.make_mesh()
  x = np.arange(32).reshape(2, 16)
  placed = sharding.put_batch({'x': x}, sharding.split_batch(mesh, axis=1))['x']
  np.testing.assert_array_equal(placed, x)
  shards = {s.device: np.asarray(s.data) for s in placed.addressable_shards}
  for i, device in enumerate(mesh.devices):
    np.testing.assert_array_equal(shards[device], x[:, 2 * i : 2 * i + 2])


@pytest.mark.parametrize('num_devices', [0, 9])
def test_a_mesh_of_devices_that_are_not_there_is_refused(num_devices):
  message = rf'{num_devices} devices .* has 8 \(cpu\); .*--config.num_devices'
  with pytest.raises(ValueError, match=message):
    sharding.make_mesh(num_devices)


def test_several_processes_use_all_devices(monkeypatch):
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  message = '2 processes must use all 8 devices, not 4; .*--config.num_devices'
  with pytest.raises(ValueError, match=message):
    sharding.make_mesh(4)
  assert sharding.make_mesh(8).size == sharding.make_mesh().size == 8
