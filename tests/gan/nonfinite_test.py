"""Steps with a batch or a loss that is not finite."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax.gan import losses
from sagan_jax.gan import state as state_lib
from sagan_jax.gan import step as step_lib
from tests.support import compilation, small, tiny

pytestmark = pytest.mark.slow


BOTH = {'num_microbatches': 2, 'n_dis': 2, 'ema_start_step': 1}


@functools.cache
def stepper(**fields):
  gan = small.tiny_gan(**fields)
  step = functools.partial(step_lib.train_step, gan)
  return gan, jax.jit(step, compiler_options=compilation.USUAL)


def batch(gan, seed=0, poisoned=()):
  """Images, float32 as uint8 ones would be; a pixel of some may be NaN."""
  made = small.random_batch(gan, 8, small.TINY_SIZE, seed)
  image = made['image'].astype(np.float32)
  for update, i in poisoned:
    image[update, i, 0, 0, 0] = np.nan
  return made | {'image': image}


def same(a, b):
  return all(
    np.array_equal(x, y)
    for x, y in zip(tiny.leaves(a), tiny.leaves(b), strict=True)
  )


def test_a_poisoned_batch_changes_nothing_of_the_discriminator():
  """In the second of two parts of the first or second of two updates."""
  gan, step = stepper(skip_nonfinite=True, **BOTH)
  start = small.fresh_state(gan, small.TINY_SIZE)
  start, metrics = step(start, batch(gan))
  assert metrics['d_skipped'] == metrics['g_skipped'] == 0
  for poisoned, skipped in ([(0, 5)], 1), ([(1, 0)], 1), ([(0, 5), (1, 0)], 2):
    after, metrics = step(start, batch(gan, 1, poisoned))
    assert (metrics['d_skipped'], metrics['g_skipped']) == (skipped, 0)
    assert int(after.step) == 2
    assert state_lib.all_finite(after)
    assert not same(after.generator, start.generator)
    assert not same(after.ema_params, start.ema_params)
    counts = [x.discriminator.opt_state[0].count for x in (start, after)]
    assert counts[1] - counts[0] == 2 - skipped
    assert same(after.discriminator, start.discriminator) == (skipped == 2)


def test_without_it_the_same_batch_spoils_the_weights():
  gan, step = stepper(skip_nonfinite=False, **BOTH)
  state, metrics = step(
    small.fresh_state(gan, small.TINY_SIZE), batch(gan, 0, [(0, 3)])
  )
  assert 'd_skipped' not in metrics
  assert not state_lib.all_finite(state.generator.params)


@pytest.mark.parametrize(
  'spoil',
  [lambda loss: loss * jnp.nan, lambda loss: 1e25 * loss],  # Its square: inf.
)
def test_a_generator_that_is_not_finite_keeps_its_average(spoil):
  loss = losses.HINGE._replace(
    generator=lambda logit: spoil(losses.HINGE.generator(logit))
  )
  gan, step = stepper(skip_nonfinite=True, loss=loss)
  state = small.fresh_state(gan, small.TINY_SIZE)
  after, metrics = step(state, batch(gan))
  assert (metrics['d_skipped'], metrics['g_skipped']) == (0, 1)
  for name in ('generator', 'ema_params', 'ema_batch_stats'):
    assert same(getattr(after, name), getattr(state, name)), name
  assert not same(after.discriminator, state.discriminator)


def test_a_run_that_is_always_finite_has_the_same_bits():
  digests = set()
  for skip in (False, True):
    gan, step = stepper(skip_nonfinite=skip, **BOTH)
    state = small.fresh_state(gan, small.TINY_SIZE)
    for seed in range(5):
      state, _ = step(state, batch(gan, seed))
    digests.add(state_lib.digest(state))
  assert len(digests) == 1
