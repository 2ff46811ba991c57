"""The self-attention block of SAGAN, and the residual block it is tested against.

Axes: B batch, N = H*W queries, K keys, C channels, D width of query and key.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from sagan_jax.models import layers

FORMULAS = ('code', 'paper')

MIN_CHANNELS = 8  # Of the map: query, key and inner widths are an eighth.


class SelfAttention(nn.Module):
  """y = x + gate * out(attend(query(x), key(x), value(x))), on [B, H, W, C].

  Query and key have C/8 channels; there is no bias, no 1/sqrt(D), no position.
  The scalar gate starts at zero, so the block starts as the identity.

  For those who look, `apply(..., mutable=['intermediates'])` returns what is
  sown: `attention_map`, float32 [B, N, K], rows summing to one; `input`, which
  is x; and `update`, float32, which is what the gate lets through: y - x.

  Attributes:
    conv: makes a spectrally normalised convolution.
    formula: 'code' is the released network (self-attention-gan
      non_local.py:sn_non_local_block_sim): values of C/2 channels, key and
      value max-pooled 2x2, so K = N/4. 'paper' is Zhang et al., section 3, as
      written: values of C/8 channels, no pooling, K = N.
  """

  conv: Callable[..., nn.Module]
  formula: str = 'code'

  @nn.compact
  def __call__(self, x):
    if self.formula not in FORMULAS:
      raise ValueError(
        f'attention formula {self.formula!r} must be one of {FORMULAS}; '
        'set --config.attention_formula'
      )
    b, h, w, c = x.shape
    pooled = self.formula == 'code'

    def project(name, features, pool=False):
      y = self.conv(features, kernel_size=1, use_bias=False, name=name)(x)
      if pool:
        # 2x2 max-pooling; its gradient is far cheaper than nn.max_pool's.
        y = y.reshape(b, h // 2, 2, w // 2, 2, features).max((2, 4))
      return y.reshape(b, -1, features)

    query_bnd = project('query', c // 8)
    key_bkd = project('key', c // 8, pooled)
    value_bkv = project('value', c // 2 if pooled else c // 8, pooled)
    logits_bnk = jnp.einsum(
      'bnd,bkd->bnk',
      query_bnd,
      key_bkd,
      preferred_element_type=jnp.float32,
    )
    map_bnk = jax.nn.softmax(logits_bnk)
    self.sow('intermediates', 'attention_map', map_bnk)
    attended = jnp.einsum(
      'bnk,bkv->bnv', map_bnk.astype(x.dtype), value_bkv
    ).reshape(b, h, w, -1)
    attended = self.conv(c, kernel_size=1, use_bias=False, name='out')(attended)
    gate = self.param('gate', nn.initializers.zeros, ())
    update = gate * attended.astype(jnp.float32)
    # No operation of its own: the step of training stays what it was.
    self.sow('intermediates', 'input', x)
    self.sow('intermediates', 'update', update)
    return layers.add(x, update)


class ResidualControl(nn.Module):
  """The ablation's control for `SelfAttention`: two gated 3x3 convolutions.

  C -> C/8 -> C behind the same zero gate (Zhang et al., table 1; code in
  self-attention-gan at commit a3a72cf, tmp/). It has 2.25 C^2 weights against
  the attention's 1.25 C^2.
  """

  conv: Callable[..., nn.Module]

  @nn.compact
  def __call__(self, x):
    c = x.shape[-1]
    y = self.conv(c // 8, name='conv1')(jax.nn.relu(x))
    y = self.conv(c, name='conv2')(jax.nn.relu(y))
    gate = self.param('gate', nn.initializers.zeros, ())
    return layers.add(x, gate * y.astype(jnp.float32))
