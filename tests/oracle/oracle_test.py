"""Known answers of the oracle's blocks."""

import numpy as np
import pytest

from tests.oracle import networks as oracle
from tests.oracle import shapes as oracle_shapes

SEED = 0


def _rng():
  return np.random.default_rng(SEED)


def _e(index, length):
  """A unit vector."""
  return np.eye(length)[index]


def _one_tap(inputs, outputs, size=1):
  """A kernel whose centre tap is the outer product of two unit vectors.

  Its singular value is 1 and reached by one iteration from a u of ones, so
  spectral normalisation leaves it alone.
  """
  kernel = np.zeros((size, size, len(inputs), len(outputs)))
  kernel[size // 2, size // 2] = np.outer(inputs, outputs)
  return {'kernel': kernel}, {'u': np.ones(len(outputs)), 'sigma': 1.0}


def test_conditional_batch_norm_reads_one_row_a_label():
  x = np.array([-1.0, 1, -1, 1]).reshape(2, 2, 1, 1)
  params = {
    'gamma': np.array([[1.0], [2.0], [3.0]]),
    'beta': np.array([[0.0], [10.0], [20.0]]),
  }
  y = oracle.conditional_batch_norm(x, params, np.array([2, 1]))
  np.testing.assert_allclose(y.ravel(), [17, 23, 8, 12], rtol=1e-4)


def _attention_case(formula, gate):
  """Scores log 3 where query and key are both marked, 0 elsewhere.

  Channel 0 marks positions, channel 1 holds the value, channel 2 takes the
  result.
  """
  value = 4 if formula == 'code' else 1
  layers = {
    'query': _one_tap(_e(0, 8), _e(0, 1)),
    'key': _one_tap(_e(0, 8), _e(0, 1)),
    'value': _one_tap(_e(1, 8), _e(0, value)),
    'out': _one_tap(_e(0, value), _e(2, 8)),
  }
  params = {name: layer[0] for name, layer in layers.items()}
  spectral = {name: layer[1] for name, layer in layers.items()}
  x = np.zeros((1, 2, 2, 8))
  x[0, 1, :, 0] = np.sqrt(np.log(3))  # the lower two positions are marked
  x[0, 0, 0, 1] = 8
  return x, params | {'gate': gate}, spectral


def test_paper_attention_by_hand():
  x, params, spectral = _attention_case('paper', gate=0.5)
  y, attention, _ = oracle.self_attention(x, params, spectral, 'paper')
  upper, lower = [1 / 4] * 4, [1 / 8, 1 / 8, 3 / 8, 3 / 8]
  np.testing.assert_allclose(
    attention[0], [upper, upper, lower, lower], rtol=1e-10
  )
  np.testing.assert_allclose(
    (y - x)[0, :, :, 2], 0.5 * np.array([[2, 2], [1, 1]]), rtol=1e-10
  )
  np.testing.assert_array_equal(np.delete(y - x, 2, axis=-1), 0)


def test_code_attention_pools_keys_and_values():
  x, params, spectral = _attention_case('code', gate=0.5)
  # Each position of the 2 x 2 case becomes a square of the 4 x 4 one. The
  # squares' other pixels are lower, so a maximum, not a mean, restores them.
  x_4x4 = x.repeat(2, axis=1).repeat(2, axis=2)
  x_4x4[:, 1::2, 1::2, :2] = -1
  y, attention, _ = oracle.self_attention(x_4x4, params, spectral, 'code')
  assert attention.shape == (1, 16, 4)
  upper, lower = [1 / 4] * 4, [1 / 8, 1 / 8, 3 / 8, 3 / 8]
  np.testing.assert_allclose(
    attention[0, [0, 2, 8, 10]], [upper, upper, lower, lower], rtol=1e-10
  )
  np.testing.assert_allclose(
    (y - x_4x4)[0, ::2, ::2, 2], 0.5 * np.array([[2, 2], [1, 1]]), rtol=1e-10
  )


@pytest.mark.parametrize('formula', ['code', 'paper'])
def test_attention_rows_sum_to_one_and_a_closed_gate_is_identity(formula):
  shapes = oracle_shapes.generator_shapes(
    image_size=32, ch=4, num_classes=3, attention=(8,), formula=formula
  )['attention_8']
  params = oracle_shapes.random_params(shapes, _rng()) | {'gate': 0.0}
  spectral = oracle_shapes.random_spectral(shapes, _rng())
  x = _rng().standard_normal((2, 8, 8, 16))
  y, attention, _ = oracle.self_attention(x, params, spectral, formula)
  np.testing.assert_allclose(attention.sum(axis=-1), 1, rtol=1e-12)
  assert attention.std() > 0
  np.testing.assert_array_equal(y, x)


def test_residual_control_by_hand():
  conv1, state1 = _one_tap(-_e(0, 8), _e(0, 1), size=3)
  conv2, state2 = _one_tap(_e(0, 1), _e(2, 8), size=3)
  params = {
    'conv1': conv1 | {'bias': np.array([1.0])},
    'conv2': conv2 | {'bias': np.full(8, 0.25)},
    'gate': 2.0,
  }
  x = np.zeros((1, 1, 3, 8))
  x[0, 0, :, 0] = [-5, 0.5, 4]
  y, _ = oracle.residual_control(x, params, {'conv1': state1, 'conv2': state2})
  added = np.full((1, 1, 3, 8), 2 * 0.25)
  # 1 - relu(x) is 1, 0.5, -3, of which the last ReLU stops -3.
  added[0, 0, :, 2] += 2 * np.array([1, 0.5, 0])
  np.testing.assert_allclose(y - x, added, rtol=1e-10)


def test_generator_block_by_hand():
  conv, state = _one_tap(_e(0, 1), _e(0, 1), size=3)
  skip, skip_state = _one_tap(_e(0, 1), _e(0, 1))
  params = {
    'norm1': {'gamma': np.sqrt([8 / 3]), 'beta': np.array([1.0])},
    'conv1': conv | {'bias': np.array([7.0])},
    'norm2': {'gamma': np.sqrt([14.0]), 'beta': np.array([2.0])},
    'conv2': conv | {'bias': np.array([10.0])},
    'skip': skip | {'bias': np.array([100.0])},
  }
  spectral = {'conv1': state, 'conv2': state, 'skip': skip_state}
  x = np.array([-1.0, 0, 1]).reshape(1, 1, 3, 1)  # of variance 2/3
  y, _ = oracle.generator_block(x, params, spectral, None)
  # norm1 gives -1, 1, 3. relu leaves 0, 1, 3, of mean 4/3 and variance 14/9,
  # so norm2 gives -2, 1, 7 and its relu 0, 1, 7.
  row = np.repeat([0 + 110 - 1, 1 + 110 + 0, 7 + 110 + 1], 2)
  np.testing.assert_allclose(y[0, :, :, 0], [row, row], rtol=1e-5)


def test_projection_by_hand():
  x = np.array([[1.0, -9], [2, 3]]).reshape(1, 2, 1, 2).repeat(2, axis=0)
  params = {
    'dense': {'kernel': np.array([[1.0], [0]]), 'bias': np.array([0.5])},
    'embedding': {'embedding': np.array([[0.0, 1], [0, 0], [0, -1]])},
  }
  spectral = {'dense': {'u': np.ones(1)}, 'embedding': {'u': _e(0, 3)}}
  logits, _ = oracle.projection(x, params, spectral, np.array([0, 2]))
  # phi = (1 + 2, 0 + 3); the table's singular value is sqrt(2).
  np.testing.assert_allclose(
    logits, 3.5 + 3 * np.array([[1], [-1]]) / np.sqrt(2), rtol=1e-10
  )


def _discriminator_block(x, *, downsample, first):
  """Runs a block whose convolutions pass one channel; conv1 adds 3."""
  conv, state = _one_tap(_e(0, 1), _e(0, 1), size=3)
  skip, skip_state = _one_tap(_e(0, 1), _e(0, 1))
  params = {
    'conv1': conv | {'bias': np.array([3.0])},
    'conv2': conv | {'bias': np.zeros(1)},
    'skip': skip | {'bias': np.array([0.5])},
  }
  spectral = {'conv1': state, 'conv2': state, 'skip': skip_state}
  x = np.array(x).reshape(1, 2, 2, 1)
  y, _ = oracle.discriminator_block(
    x, params, spectral, downsample=downsample, first=first
  )
  return y.ravel()


def test_discriminator_blocks_by_hand():
  x = [-8.0, -2, 0, 6]  # of mean -1
  # First: relu(x + 3) is 0, 1, 3, 9. Later: relu(relu(x) + 3) is 3, 3, 3, 9.
  np.testing.assert_allclose(
    _discriminator_block(x, downsample=True, first=True),
    [13 / 4 - 1 + 0.5],
    rtol=1e-10,
  )
  np.testing.assert_allclose(
    _discriminator_block(x, downsample=True, first=False),
    [18 / 4 - 1 + 0.5],
    rtol=1e-10,
  )
  # Without a change of size or width the skip is x itself, un-rectified.
  np.testing.assert_allclose(
    _discriminator_block(x, downsample=False, first=False),
    [3 - 8, 3 - 2, 3 + 0, 9 + 6],
    rtol=1e-10,
  )
