"""NumPy float64 oracle of BigGAN-PyTorch's SAGAN, on its own state dicts.

Written from the facts of its code at commit 9845943 (layers.py, BigGAN.py, with
the flags of scripts/launch_SAGAN_bs128x2_ema.sh), in evaluation mode, never
from the package under test. Images are NCHW, kernels OIHW.
"""

import numpy as np

from tests.oracle import layers

# Widths in units of ch: generator block i takes entry i to entry i + 1.
GENERATOR_WIDTHS = {
  32: (4, 4, 4, 4),
  64: (16, 16, 8, 4, 2),
  128: (16, 16, 8, 4, 2, 1),
  256: (16, 16, 8, 8, 4, 2, 1),
}
# Of a discriminator: widths of its blocks, how many of them halve the image,
# and the resolutions by which --D_attn chooses those with attention behind.
DISCRIMINATORS = {
  32: ((4, 4, 4, 4), 2, (16, 16, 16, 16)),
  64: ((1, 2, 4, 8, 16), 4, (32, 16, 8, 4, 4)),
  128: ((1, 2, 4, 8, 16, 16), 5, (64, 32, 16, 8, 4, 4)),
  256: ((1, 2, 4, 8, 8, 16, 16), 6, (128, 64, 32, 16, 8, 4, 4)),
}


def _normalized(name, weight, *, bias=True):
  """A layer with spectral normalisation; weight is its shape."""
  outputs = weight[0]
  arrays = {f'{name}.weight': weight}
  if bias:
    arrays[f'{name}.bias'] = (outputs,)
  return arrays | {f'{name}.u0': (1, outputs), f'{name}.sv0': (1,)}


def _block(name, inputs, outputs, skip):
  shapes = _normalized(f'{name}.conv1', (outputs, inputs, 3, 3))
  shapes |= _normalized(f'{name}.conv2', (outputs, outputs, 3, 3))
  if skip:
    shapes |= _normalized(f'{name}.conv_sc', (outputs, inputs, 1, 1))
  return shapes


def _attention(name, c):
  weights = {'theta': (c // 8, c), 'phi': (c // 8, c), 'g': (c // 2, c)}
  shapes = {f'{name}.gamma': ()}
  for layer, weight in (weights | {'o': (c, c // 2)}).items():
    shapes |= _normalized(f'{name}.{layer}', (*weight, 1, 1), bias=False)
  return shapes


def generator_shapes(resolution, ch, n_classes, dim_z=128, attention=()):
  """The names and shapes of G.pth: {name: tuple}, in PyTorch's order."""
  widths = [ch * width for width in GENERATOR_WIDTHS[resolution]]
  shapes = _normalized('linear', (16 * widths[0], dim_z))
  for i, (inputs, outputs) in enumerate(
    zip(widths[:-1], widths[1:], strict=True)
  ):
    name = f'blocks.{i}.0'
    shapes |= _block(name, inputs, outputs, skip=True)
    for norm, channels in (f'{name}.bn1', inputs), (f'{name}.bn2', outputs):
      shapes |= {f'{norm}.stored_mean': (channels,)}
      shapes |= {f'{norm}.stored_var': (channels,)}
      shapes |= {f'{norm}.gain.weight': (n_classes, channels)}
      shapes |= {f'{norm}.bias.weight': (n_classes, channels)}
    if 8 * 2**i in attention:
      shapes |= _attention(f'blocks.{i}.1', outputs)
  for array in 'gain', 'bias', 'stored_mean', 'stored_var':
    shapes[f'output_layer.0.{array}'] = (widths[-1],)
  return shapes | _normalized('output_layer.2', (3, widths[-1], 3, 3))


def discriminator_shapes(resolution, ch, n_classes, attention=()):
  """The names and shapes of D.pth: {name: tuple}, in PyTorch's order."""
  widths, num_down, labels = DISCRIMINATORS[resolution]
  shapes, inputs = {}, 3
  for i, width in enumerate(widths):
    outputs = ch * width
    skip = i < num_down or inputs != outputs
    shapes |= _block(f'blocks.{i}.0', inputs, outputs, skip)
    if labels[i] in attention:
      shapes |= _attention(f'blocks.{i}.1', outputs)
    inputs = outputs
  shapes |= _normalized('linear', (1, inputs))
  return shapes | _normalized('embed', (n_classes, inputs), bias=False)


def random_arrays(shapes, rng):
  """Random float32 values: {name: array}, none of them where it would not show.

  Kernels keep the scale of what passes, so that nothing saturates.
  """
  arrays = {}
  for name, shape in shapes.items():
    value = rng.standard_normal(shape)
    if name.endswith(('stored_var', 'sv0')):
      value = np.exp(0.3 * value)
    elif name.endswith('output_layer.0.gain'):
      value = 1 + 0.3 * value
    elif not name.endswith(('.weight', '.u0')) or '.gain.' in name:
      value = 0.3 * value
    elif name.endswith('.bias.weight'):
      value = 0.3 * value
    arrays[name] = np.asarray(value, np.float32)
  return arrays


class _Network:
  """Layers of a state dict, by name."""

  def __init__(self, state, eps):
    self._state = {k: v.astype(np.float64) for k, v in state.items()}
    self._eps = eps

  def __contains__(self, name):
    return name in self._state

  def __getitem__(self, name):
    return self._state[name]

  def weight(self, name):
    """W / sigma, by one power iteration from u0 that is not stored."""
    weight = self[f'{name}.weight']
    matrix = weight.reshape(len(weight), -1)
    v = self[f'{name}.u0'] @ matrix
    v /= np.linalg.norm(v)
    u = v @ matrix.T
    u /= np.linalg.norm(u)
    return weight / (v @ matrix.T @ u.T).item()

  def conv(self, name, x):
    y = layers.conv(
      np.moveaxis(x, 1, -1), self.weight(name).transpose(2, 3, 1, 0)
    )
    y = np.moveaxis(y, -1, 1)
    bias = f'{name}.bias'
    return y + self[bias][:, None, None] if bias in self else y

  def norm(self, name, x, gain, bias):
    """With stored moments; gain and bias are [C] or [B, C]."""
    mean, var = self[f'{name}.stored_mean'], self[f'{name}.stored_var']
    x = (x - mean[:, None, None]) / np.sqrt(var + self._eps)[:, None, None]
    return x * gain[..., None, None] + bias[..., None, None]

  def class_norm(self, name, x, y):
    gain = 1 + self[f'{name}.gain.weight'][y]
    return self.norm(name, x, gain, self[f'{name}.bias.weight'][y])

  def attention(self, name, x):
    b, c, h, w = x.shape
    theta = self.conv(f'{name}.theta', x).reshape(b, c // 8, h * w)
    phi = _pool(self.conv(f'{name}.phi', x), np.max).reshape(b, c // 8, -1)
    g = _pool(self.conv(f'{name}.g', x), np.max).reshape(b, c // 2, -1)
    beta = layers.softmax(theta.transpose(0, 2, 1) @ phi)
    o = (g @ beta.transpose(0, 2, 1)).reshape(b, c // 2, h, w)
    return self[f'{name}.gamma'] * self.conv(f'{name}.o', o) + x


def _pool(x, reduce):
  b, c, h, w = x.shape
  return reduce(x.reshape(b, c, h // 2, 2, w // 2, 2), axis=(3, 5))


def _up(x):
  return x.repeat(2, axis=2).repeat(2, axis=3)


def generator(state, z, y, eps=1e-5):
  """Images of G.eval(): [B, 3, H, W] of z [B, dim_z] and labels y [B]."""
  net = _Network(state, eps)
  h = z @ net.weight('linear').T + net['linear.bias']
  h = h.reshape(len(z), -1, 4, 4)
  i = 0
  while f'blocks.{i}.0.conv1.weight' in net:
    name = f'blocks.{i}.0'
    x = _up(h)
    h = _up(layers.relu(net.class_norm(f'{name}.bn1', h, y)))
    h = net.conv(f'{name}.conv1', h)
    h = layers.relu(net.class_norm(f'{name}.bn2', h, y))
    h = net.conv(f'{name}.conv2', h) + net.conv(f'{name}.conv_sc', x)
    if f'blocks.{i}.1.gamma' in net:
      h = net.attention(f'blocks.{i}.1', h)
    i += 1
  name = 'output_layer.0'
  h = net.norm(name, h, net[f'{name}.gain'], net[f'{name}.bias'])
  return np.tanh(net.conv('output_layer.2', layers.relu(h)))


def discriminator(state, x, y):
  """Logits [B] of D.eval() for images x [B, 3, H, W] and labels y [B]."""
  net = _Network(state, None)
  _, num_down, _ = DISCRIMINATORS[x.shape[2]]
  h, i = x.astype(np.float64), 0
  while f'blocks.{i}.0.conv1.weight' in net:
    name, x = f'blocks.{i}.0', h
    h = net.conv(f'{name}.conv1', layers.relu(x) if i else x)
    h = net.conv(f'{name}.conv2', layers.relu(h))
    if f'{name}.conv_sc.weight' in net:
      x = net.conv(f'{name}.conv_sc', x)
    if i < num_down:
      h, x = _pool(h, np.mean), _pool(x, np.mean)
    h = h + x
    if f'blocks.{i}.1.gamma' in net:
      h = net.attention(f'blocks.{i}.1', h)
    i += 1
  h = layers.relu(h).sum((2, 3))
  out = h @ net.weight('linear').T + net['linear.bias']
  return out[:, 0] + (net.weight('embed')[y] * h).sum(1)
