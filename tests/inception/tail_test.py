"""The whole network against an independent torch implementation of its wiring.

No file of the whole network can be shipped, so its tail (mixed_8 to the logits)
is checked with random weights: same numbers in, same numbers out. The torch net
below was written from the description of the graph, layer by layer, with
unfolded batch norm, and shares no table with `sagan_jax.inception`.
"""

import jax
import numpy as np
import pytest

from sagan_jax.inception import convert
from sagan_jax.inception import network as inception
from tests.support import evaluation_fakes as fakes

torch = pytest.importorskip('torch', reason='the oracle is a torch network')
F = torch.nn.functional


class _TorchNet:
  """Runs the port's state-dict in float64."""

  def __init__(self, state):
    self._state = {k: torch.from_numpy(v).double() for k, v in state.items()}

  def _layer(self, x, name, stride=1, padding=0):
    s = self._state
    x = F.conv2d(x, s[f'{name}.conv.weight'], stride=stride, padding=padding)
    x = F.batch_norm(
      x,
      s[f'{name}.bn.running_mean'],
      s[f'{name}.bn.running_var'],
      s[f'{name}.bn.weight'],
      s[f'{name}.bn.bias'],
      eps=1e-3,
    )
    return F.relu(x)

  def _a(self, x, n):
    five = self._layer(x, f'{n}.branch5x5_1')
    five = self._layer(five, f'{n}.branch5x5_2', padding=2)
    three = self._layer(x, f'{n}.branch3x3dbl_1')
    three = self._layer(three, f'{n}.branch3x3dbl_2', padding=1)
    three = self._layer(three, f'{n}.branch3x3dbl_3', padding=1)
    pool = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    pool = self._layer(pool, f'{n}.branch_pool')
    return torch.cat([self._layer(x, f'{n}.branch1x1'), five, three, pool], 1)

  def _b(self, x, n):
    three = self._layer(x, f'{n}.branch3x3', stride=2)
    double = self._layer(x, f'{n}.branch3x3dbl_1')
    double = self._layer(double, f'{n}.branch3x3dbl_2', padding=1)
    double = self._layer(double, f'{n}.branch3x3dbl_3', stride=2)
    return torch.cat([three, double, F.max_pool2d(x, 3, 2)], 1)

  def _c(self, x, n):
    row, column = (0, 3), (3, 0)
    seven = self._layer(x, f'{n}.branch7x7_1')
    seven = self._layer(seven, f'{n}.branch7x7_2', padding=row)
    seven = self._layer(seven, f'{n}.branch7x7_3', padding=column)
    double = self._layer(x, f'{n}.branch7x7dbl_1')
    double = self._layer(double, f'{n}.branch7x7dbl_2', padding=column)
    double = self._layer(double, f'{n}.branch7x7dbl_3', padding=row)
    double = self._layer(double, f'{n}.branch7x7dbl_4', padding=column)
    double = self._layer(double, f'{n}.branch7x7dbl_5', padding=row)
    pool = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    pool = self._layer(pool, f'{n}.branch_pool')
    one = self._layer(x, f'{n}.branch1x1')
    return torch.cat([one, seven, double, pool], 1)

  def _d(self, x, n):
    three = self._layer(x, f'{n}.branch3x3_1')
    three = self._layer(three, f'{n}.branch3x3_2', stride=2)
    seven = self._layer(x, f'{n}.branch7x7x3_1')
    seven = self._layer(seven, f'{n}.branch7x7x3_2', padding=(0, 3))
    seven = self._layer(seven, f'{n}.branch7x7x3_3', padding=(3, 0))
    seven = self._layer(seven, f'{n}.branch7x7x3_4', stride=2)
    return torch.cat([three, seven, F.max_pool2d(x, 3, 2)], 1)

  def _e(self, x, n, pool):
    three = self._layer(x, f'{n}.branch3x3_1')
    three_a = self._layer(three, f'{n}.branch3x3_2a', padding=(0, 1))
    three_b = self._layer(three, f'{n}.branch3x3_2b', padding=(1, 0))
    double = self._layer(x, f'{n}.branch3x3dbl_1')
    double = self._layer(double, f'{n}.branch3x3dbl_2', padding=1)
    double_a = self._layer(double, f'{n}.branch3x3dbl_3a', padding=(0, 1))
    double_b = self._layer(double, f'{n}.branch3x3dbl_3b', padding=(1, 0))
    pool = self._layer(pool, f'{n}.branch_pool')
    one = self._layer(x, f'{n}.branch1x1')
    parts = [one, three_a, three_b, double_a, double_b, pool]
    return torch.cat(parts, 1)

  def __call__(self, x_nhwc):
    taps = {}

    def mean(x):
      return x.mean((2, 3))

    x = torch.from_numpy(x_nhwc).double().permute(0, 3, 1, 2)
    x = self._layer(x, 'Conv2d_1a_3x3', stride=2)
    x = self._layer(x, 'Conv2d_2a_3x3')
    x = F.max_pool2d(self._layer(x, 'Conv2d_2b_3x3', padding=1), 3, 2)
    taps['64'] = mean(x)
    x = self._layer(x, 'Conv2d_3b_1x1')
    x = F.max_pool2d(self._layer(x, 'Conv2d_4a_3x3'), 3, 2)
    taps['192'] = mean(x)
    for name in ('Mixed_5b', 'Mixed_5c', 'Mixed_5d'):
      x = self._a(x, name)
    x = self._b(x, 'Mixed_6a')
    for name in ('Mixed_6b', 'Mixed_6c', 'Mixed_6d', 'Mixed_6e'):
      if name == 'Mixed_6d':
        spatial = self._layer(x, f'{name}.branch1x1')[:, :7]
        taps['spatial'] = spatial.permute(0, 2, 3, 1).flatten(1)
      x = self._c(x, name)
    taps['768'] = mean(x)
    x = self._d(x, 'Mixed_7a')
    taps['1280'] = mean(x)
    average = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    x = self._e(x, 'Mixed_7b', average)
    x = self._e(x, 'Mixed_7c', F.max_pool2d(x, 3, 1, 1))
    taps['2048'] = mean(x)
    s = self._state
    taps['logits_unbiased'] = taps['2048'] @ s['fc.weight'].T
    taps['logits'] = taps['logits_unbiased'] + s['fc.bias']
    return {tap: value.numpy() for tap, value in taps.items()}


def test_every_tap_equals_the_torch_network():
  state = fakes.random_state_dict(seed=1)
  rng = np.random.default_rng(1)
  x = rng.uniform(-1, 1, (2, 299, 299, 3)).astype(np.float32)
  expected = _TorchNet(state)(x)
  network = inception.Inception(tuple(inception.TAPS))
  params = convert.from_state_dict(state)
  ours = jax.jit(lambda params, x: network.apply({'params': params}, x))(
    params, x
  )
  assert set(ours) == set(expected)
  for tap, value in expected.items():
    # Both images must differ in every tap, or agreement would prove little.
    scale = value.std()
    assert np.abs(value[0] - value[1]).max() > 1e-3 * scale, tap
    error = np.abs(np.asarray(ours[tap]) - value).max() / scale
    print(f'{tap}: largest error {error:.2e} of the standard deviation')
    assert error < 1e-4, tap
