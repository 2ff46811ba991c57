"""Known answers of the oracle's operations."""

import numpy as np
import pytest

from tests.oracle import layers as oracle

SEED = 0


def _rng():
  return np.random.default_rng(SEED)


def test_four_times_identity_has_sigma_four():
  kernel, u, sigma = oracle.spectral_normalize(4 * np.eye(5), np.arange(5.0))
  assert sigma == pytest.approx(4, rel=1e-11)
  np.testing.assert_allclose(kernel, np.eye(5), atol=1e-11)
  np.testing.assert_allclose(u, np.arange(5) / np.sqrt(30), rtol=1e-11)


def test_one_iteration_by_hand():
  # u W^T = (3, 4), so v = (3, 4) / 5; v W = (1.8, 3.2), of norm
  # sqrt(13.48), which is sigma because u' is v W normalised.
  matrix = np.array([[3.0, 0.0], [0.0, 4.0]])
  _, u, sigma = oracle.spectral_normalize(matrix, np.array([1.0, 1.0]))
  assert sigma == pytest.approx(np.sqrt(13.48), rel=1e-11)
  np.testing.assert_allclose(u, np.array([1.8, 3.2]) / sigma, rtol=1e-11)


def test_conv_kernel_is_flattened_to_inputs_by_outputs():
  kernel = _rng().standard_normal((3, 3, 4, 6))
  u = np.ones(6)
  for _ in range(500):
    kernel_bar, u, sigma = oracle.spectral_normalize(kernel, u)
  exact = np.linalg.norm(kernel.reshape(36, 6), ord=2)
  assert sigma == pytest.approx(exact, rel=1e-9)
  np.testing.assert_allclose(kernel_bar * exact, kernel, rtol=1e-9)


def test_embedding_is_transposed_and_back():
  table = _rng().standard_normal((7, 4))
  u = _rng().standard_normal(7)
  table_bar, new_u, sigma = oracle.spectral_normalize_embedding(table, u)
  v = u @ table / np.linalg.norm(u @ table)  # one value a channel
  assert sigma == pytest.approx(np.linalg.norm(table @ v), rel=1e-11)
  np.testing.assert_allclose(new_u, table @ v / sigma, rtol=1e-9)
  np.testing.assert_allclose(table_bar, table / sigma, rtol=1e-11)


def test_conv_of_ones_counts_the_taps_inside_the_image():
  y = oracle.conv(np.ones((1, 3, 3, 1)), np.ones((3, 3, 1, 1)), np.ones(1))
  np.testing.assert_array_equal(
    y[0, :, :, 0], [[5, 7, 5], [7, 10, 7], [5, 7, 5]]
  )


def test_conv_does_not_flip_its_kernel():
  kernel = np.zeros((3, 3, 1, 1))
  kernel[0, 1] = 1  # the pixel above
  x = np.arange(1.0, 7.0).reshape(1, 3, 2, 1)
  np.testing.assert_array_equal(
    oracle.conv(x, kernel)[0, :, :, 0], [[0, 0], [1, 2], [3, 4]]
  )


def test_conv_mixes_channels():
  kernel = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])[None, None]
  y = oracle.conv(np.array([[[[1.0, 1.0, 2.0]]]]), kernel, np.array([0.5, 1]))
  np.testing.assert_array_equal(y[0, 0, 0], [9.5, 91])


def test_resampling():
  x = np.arange(8.0).reshape(1, 2, 4, 1)  # [[0, 1, 2, 3], [4, 5, 6, 7]]
  np.testing.assert_array_equal(oracle.avgpool2(x)[0, :, :, 0], [[2.5, 4.5]])
  np.testing.assert_array_equal(oracle.maxpool2(x)[0, :, :, 0], [[5, 7]])
  np.testing.assert_array_equal(
    oracle.upsample2(x[:, :1, :2])[0, :, :, 0],
    [[0, 0, 1, 1], [0, 0, 1, 1]],
  )


def test_batch_norm_by_hand():
  # Values 0, 2, 4, 6: mean 3, biased variance 5.
  x = np.array([0.0, 2, 4, 6]).reshape(2, 2, 1, 1)
  y = oracle.batch_norm(x, np.array([2.0]), np.array([1.0]), eps=4.0)
  np.testing.assert_allclose(y.ravel(), [-1, 1 / 3, 5 / 3, 3], rtol=1e-12)


def test_batch_norm_groups_are_consecutive_images():
  x = _rng().standard_normal((4, 2, 2, 3))
  gamma, beta = _rng().standard_normal((2, 3))
  np.testing.assert_allclose(
    oracle.batch_norm(x, gamma, beta, group_size=2),
    np.concatenate(
      [
        oracle.batch_norm(x[:2], gamma, beta),
        oracle.batch_norm(x[2:], gamma, beta),
      ]
    ),
    rtol=1e-12,
  )
