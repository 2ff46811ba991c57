"""The three losses at values worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax.gan import losses

REAL = np.array([2.0, 0.5, -1.0], np.float32)
FAKE = np.array([-2.0, 0.0, 1.5], np.float32)


def _softplus(x):
  return np.log1p(np.exp(np.asarray(x, np.float64)))


# name: (loss of the discriminator, loss of the generator).
EXPECTED = {
  # Margins 1 - real: 0, 0.5, 2; 1 + fake: 0, 1, 2.5.
  'hinge': (2.5 / 3 + 3.5 / 3, 0.5 / 3),
  'logistic': (
    np.mean(_softplus(-REAL)) + np.mean(_softplus(FAKE)),
    np.mean(_softplus(-FAKE)),
  ),
  # Squares of real - 1: 1, 0.25, 4; of fake: 4, 0, 2.25; of fake - 1: 9, 1,
  # 0.25.
  'least_squares': (0.5 * 5.25 / 3 + 0.5 * 6.25 / 3, 0.5 * 10.25 / 3),
}


def test_every_loss_is_expected_here():
  assert losses.LOSSES.keys() == EXPECTED.keys()


@pytest.mark.parametrize('name', EXPECTED)
def test_values(name):
  loss = losses.LOSSES[name]
  discriminator, generator = EXPECTED[name]
  for value, expected in (
    (loss.discriminator(REAL, FAKE), discriminator),
    (loss.generator(FAKE), generator),
  ):
    assert value.shape == () and value.dtype == jnp.float32
    np.testing.assert_allclose(value, expected, rtol=1e-6)


# name: (gradient of D's loss by real and by fake logits, of G's by fake ones),
# times the number of logits.
GRADIENTS = {
  'hinge': ([0, -1, -1], [0, 1, 1], [-1, -1, -1]),
  'logistic': (
    -1 / (1 + np.exp(REAL)),
    1 / (1 + np.exp(-FAKE)),
    -1 / (1 + np.exp(FAKE)),
  ),
  'least_squares': (REAL - 1, FAKE, FAKE - 1),
}


@pytest.mark.parametrize('name', GRADIENTS)
def test_gradients(name):
  loss = losses.LOSSES[name]
  by_real, by_fake = jax.grad(loss.discriminator, (0, 1))(REAL, FAKE)
  grads = (by_real, by_fake, jax.grad(loss.generator)(FAKE))
  for grad, expected in zip(grads, GRADIENTS[name], strict=True):
    np.testing.assert_allclose(3 * grad, expected, rtol=1e-5)


def test_the_logistic_loss_does_not_overflow():
  large = jnp.array([1000.0])
  loss = losses.LOGISTIC
  np.testing.assert_array_equal(loss.discriminator(large, -large), 0)
  np.testing.assert_array_equal(loss.discriminator(-large, large), 2000)
  np.testing.assert_array_equal(loss.generator(-large), 1000)
