"""NumPy float64 oracle of the SAGAN networks, for the tests to compare with.

Written from the paper (arXiv:1805.08318) and the facts of the released code
(self-attention-gan: ops.py, non_local.py, generator.py, discriminator.py),
never from the package under test: agreement means something only if the two
were derived apart. Clear rather than fast; a 32-pixel pair of networks takes
well under a second.

Conventions. Images are NHWC, kernels HWIO. Every layer runs as in training:
one power iteration from the given u, batch statistics. `params` and
`spectral` are nested dicts; a layer that owns spectral state returns
(output, new_spectral), where new_spectral mirrors `spectral`:

  SN conv / dense  params {'kernel', 'bias'}  (attention: no 'bias')
                   spectral {'u' [C_out], 'sigma' []}
  embedding        params {'embedding' [num_classes, C]}
                   spectral {'u' [num_classes], 'sigma' []}

An attention or residual block at resolution r follows the first block whose
output is r x r, attention before residual where both are asked for.
"""

import numpy as np

from tests.oracle.layers import (
  avgpool2,
  batch_norm,
  conv,
  maxpool2,
  relu,
  softmax,
  spectral_normalize,
  spectral_normalize_embedding,
  upsample2,
)
from tests.oracle.shapes import (
  DISCRIMINATOR_BLOCKS,
  GENERATOR_WIDTHS,
  START_SIZE,
)


def sn_conv(x, params, spectral):
  """A spectrally normalised convolution; its bias is added un-normalised."""
  kernel, u, sigma = spectral_normalize(params['kernel'], spectral['u'])
  return conv(x, kernel, params.get('bias')), {'u': u, 'sigma': sigma}


def sn_dense(x, params, spectral):
  """A spectrally normalised dense layer, [B, C_in] to [B, C_out]."""
  kernel, u, sigma = spectral_normalize(params['kernel'], spectral['u'])
  return x @ kernel + params['bias'], {'u': u, 'sigma': sigma}


def conditional_batch_norm(x, params, y, group_size=None):
  """Batch norm with a gamma and beta a class; one class has [C] vectors."""
  gamma, beta = params['gamma'], params['beta']
  if np.ndim(gamma) == 2:
    gamma, beta = gamma[y], beta[y]
  return batch_norm(x, gamma, beta, group_size=group_size)


def self_attention(x, params, spectral, formula='code'):
  """Self-attention over the positions of a map, added to it through a gate.

  'code' is self-attention-gan non_local.py: keys and values are max-pooled
  after their 1 x 1 convolutions, so M = N / 4, and values have C/2 channels.
  'paper' is section 3 of the paper: no pooling (M = N), values have C/8.

  Args:
    x: [B, H, W, C].
    params: {'query', 'key', 'value', 'out', 'gate'}.
    spectral: {'query', 'key', 'value', 'out'}.
    formula: 'code' or 'paper'.

  Returns:
    (y [B, H, W, C], attention map [B, N, M] whose rows sum to 1, spectral).
  """
  pool = {'code': maxpool2, 'paper': lambda values: values}[formula]
  batch, height, width, channels = x.shape
  value_channels = channels // {'code': 2, 'paper': 8}[formula]
  query, query_state = sn_conv(x, params['query'], spectral['query'])
  key, key_state = sn_conv(x, params['key'], spectral['key'])
  value, value_state = sn_conv(x, params['value'], spectral['value'])
  query = query.reshape(batch, height * width, channels // 8)
  key = pool(key).reshape(batch, -1, channels // 8)
  value = pool(value).reshape(batch, -1, value_channels)
  attention = np.stack([softmax(query[i] @ key[i].T) for i in range(batch)])
  read = np.stack([attention[i] @ value[i] for i in range(batch)])
  read = read.reshape(batch, height, width, value_channels)
  out, out_state = sn_conv(read, params['out'], spectral['out'])
  new_spectral = {
    'query': query_state,
    'key': key_state,
    'value': value_state,
    'out': out_state,
  }
  return x + params['gate'] * out, attention, new_spectral


def residual_control(x, params, spectral):
  """The ablation's attention-free block, as in the July 2018 release.

  x + gate * conv3x3(relu(conv3x3(relu(x)))), widths C, C/8, C.
  """
  h, state1 = sn_conv(relu(x), params['conv1'], spectral['conv1'])
  h, state2 = sn_conv(relu(h), params['conv2'], spectral['conv2'])
  return x + params['gate'] * h, {'conv1': state1, 'conv2': state2}


def _gated_blocks(x, params, spectral, resolutions, formula):
  """Applies what belongs after a block whose output is this large."""
  attention, residual = resolutions
  size, new_spectral, maps = x.shape[1], {}, {}
  if size in attention:
    name = f'attention_{size}'
    x, maps[size], new_spectral[name] = self_attention(
      x, params[name], spectral[name], formula
    )
  if size in residual:
    name = f'residual_{size}'
    x, new_spectral[name] = residual_control(x, params[name], spectral[name])
  return x, new_spectral, maps


def generator_block(x, params, spectral, y, group_size=None):
  """Doubles the image; the skip is always learned and has no norm."""
  h = relu(conditional_batch_norm(x, params['norm1'], y, group_size))
  h, state1 = sn_conv(upsample2(h), params['conv1'], spectral['conv1'])
  h = relu(conditional_batch_norm(h, params['norm2'], y, group_size))
  h, state2 = sn_conv(h, params['conv2'], spectral['conv2'])
  skip, state = sn_conv(upsample2(x), params['skip'], spectral['skip'])
  return h + skip, {'conv1': state1, 'conv2': state2, 'skip': state}


def generator(
  params,
  spectral,
  z,
  y,
  *,
  image_size,
  attention=(),
  residual=(),
  formula='code',
  group_size=None,
):
  """Runs the generator as in training.

  Args:
    params: the parameter tree (see the module's docstring).
    spectral: the spectral tree.
    z: [B, z_dim], standard normal.
    y: int [B], labels; unused by a generator of one class.
    image_size: 32, 64, 128 or 256.
    attention: the resolutions of its attention blocks.
    residual: the resolutions of its residual control blocks.
    formula: the attention's, 'code' or 'paper'.
    group_size: images that share batch statistics; None is all of them.

  Returns:
    (images [B, image_size, image_size, 3] in (-1, 1), new spectral tree,
    attention maps by resolution).
  """
  new_spectral, maps = {}, {}
  h, new_spectral['dense'] = sn_dense(z, params['dense'], spectral['dense'])
  x = h.reshape(len(z), START_SIZE, START_SIZE, -1)
  for index in range(1, len(GENERATOR_WIDTHS[image_size])):
    name = f'block{index}'
    x, new_spectral[name] = generator_block(
      x, params[name], spectral[name], y, group_size
    )
    x, gated, seen = _gated_blocks(
      x, params, spectral, (attention, residual), formula
    )
    new_spectral.update(gated)
    maps.update(seen)
  norm = params['norm']
  x = relu(batch_norm(x, norm['gamma'], norm['beta'], group_size=group_size))
  x, new_spectral['conv_out'] = sn_conv(
    x, params['conv_out'], spectral['conv_out']
  )
  return np.tanh(x), new_spectral, maps


def discriminator_block(x, params, spectral, *, downsample, first):
  """One block; the first has no leading ReLU and pools its skip early."""
  h = x if first else relu(x)
  h, state1 = sn_conv(h, params['conv1'], spectral['conv1'])
  h, state2 = sn_conv(relu(h), params['conv2'], spectral['conv2'])
  new_spectral = {'conv1': state1, 'conv2': state2}
  skip = x  # taken before the ReLU
  if first and downsample:
    skip = avgpool2(skip)
  if downsample or x.shape[-1] != h.shape[-1]:
    skip, new_spectral['skip'] = sn_conv(skip, params['skip'], spectral['skip'])
  if downsample:
    h = avgpool2(h)
    skip = skip if first else avgpool2(skip)
  return h + skip, new_spectral


def projection(x, params, spectral, y):
  """The discriminator's head: w . phi + b + V[y] . phi, phi summed over H W."""
  phi = relu(x).sum(axis=(1, 2))
  logits, state = sn_dense(phi, params['dense'], spectral['dense'])
  new_spectral = {'dense': state}
  if 'embedding' in params:
    table, u, sigma = spectral_normalize_embedding(
      params['embedding']['embedding'], spectral['embedding']['u']
    )
    new_spectral['embedding'] = {'u': u, 'sigma': sigma}
    logits = logits + (table[y] * phi).sum(axis=-1, keepdims=True)
  return logits, new_spectral


def discriminator(
  params, spectral, x, y, *, attention=(), residual=(), formula='code'
):
  """Runs the discriminator as on the real images of its own step.

  Args:
    params: the parameter tree (see the module's docstring).
    spectral: the spectral tree.
    x: [B, image_size, image_size, 3].
    y: int [B], labels; unused where params has no 'embedding' (one class).
    attention: the resolutions of its attention blocks.
    residual: the resolutions of its residual control blocks.
    formula: the attention's, 'code' or 'paper'.

  Returns:
    (logits [B, 1], new spectral tree, attention maps by resolution).
  """
  new_spectral, maps = {}, {}
  blocks = DISCRIMINATOR_BLOCKS[x.shape[1]]
  for index, (_, downsample) in enumerate(blocks, start=1):
    name = f'block{index}'
    x, new_spectral[name] = discriminator_block(
      x,
      params[name],
      spectral[name],
      downsample=downsample,
      first=index == 1,
    )
    if downsample:  # only such a block is the first of its size
      x, gated, seen = _gated_blocks(
        x, params, spectral, (attention, residual), formula
      )
      new_spectral.update(gated)
      maps.update(seen)
  logits, head = projection(x, params, spectral, y)
  return logits, new_spectral | head, maps
