"""Spectral normalisation as pure functions of arrays (arXiv:1802.05957).

Everything here is float32 and knows nothing of Flax: a weight is a matrix
[M, C] of inputs by outputs, `u` is the left-over of the previous power
iteration. Layers own their `u`; they store what `normalize` returns, or do
not, and that alone decides how often a vector moves.
"""

import jax
import jax.numpy as jnp

EPS = 1e-12  # self-attention-gan ops.py:_l2normalize

GRADIENTS = ('constant', 'full')


def _l2_normalize(x):
  return x / (jnp.sqrt(jnp.sum(jnp.square(x))) + EPS)


def sigma(kernel_mc, u_c, *, gradient='constant'):
  """Estimates the largest singular value by one power iteration.

  Args:
    kernel_mc: float32 [M, C], a kernel flattened to (inputs, outputs).
    u_c: float32 [C], left by the previous call; need not have unit norm.
    gradient: 'constant' takes u and v as constants, so that the derivative of
      sigma is the outer product of v and u (arXiv:1802.05957, section 2.1);
      'full' differentiates through the iteration too, as the released SAGAN
      does (self-attention-gan ops.py:spectral_normed_weight).

  Returns:
    (sigma [], new_u [C]), float32; `new_u` has unit norm and no gradient.

  Raises:
    ValueError: if `kernel_mc` is not a matrix or `gradient` is unknown.
  """
  if kernel_mc.ndim != 2:
    raise ValueError(
      f'sigma takes a matrix [M, C], got shape {kernel_mc.shape}'
    )
  if gradient not in GRADIENTS:
    raise ValueError(
      f'spectral gradient {gradient!r} must be one of {GRADIENTS}; '
      'set --config.spectral_gradient'
    )
  constant = jax.lax.stop_gradient if gradient == 'constant' else lambda x: x
  u_c = jax.lax.stop_gradient(u_c)
  # HIGHEST: a TPU or a TF32 GPU would otherwise round these products to 8 or
  # 10 mantissa bits, and sigma with them.
  with jax.default_matmul_precision('highest'):
    v_m = _l2_normalize(constant(kernel_mc) @ u_c)
    product_c = v_m @ kernel_mc
    new_u = _l2_normalize(constant(product_c))
    value = jnp.dot(product_c, new_u)
  return value, jax.lax.stop_gradient(new_u)


@jax.named_scope('spectral_norm')
def normalize(kernel, u_c, *, gradient='constant'):
  """Divides a kernel by its estimated largest singular value.

  Args:
    kernel: float32 [..., C]; all axes but the last are inputs, as in HWIO
      convolution kernels and [in, out] matrices.
    u_c: float32 [C].
    gradient: as in `sigma`.

  Returns:
    (kernel / sigma, new_u [C], sigma []), all float32.
  """
  value, new_u = sigma(
    kernel.reshape(-1, kernel.shape[-1]), u_c, gradient=gradient
  )
  return divide(kernel, value), new_u, value


@jax.named_scope('spectral_norm')
def divide(kernel, sigma):
  """A kernel [..., C] by sigma []: one division, then products."""
  return kernel * (1 / sigma)


@jax.named_scope('spectral_norm')
def iterate(params, spectral, *, gradient='constant'):
  """Moves all vectors of a network by one power iteration.

  Args:
    params: of a network, such as a generator's.
    spectral: its collection of that name.
    gradient: as in `sigma`.

  Returns:
    (the collection with 'sigma' alone, which layers divide by as it is; the
    new collection, which has no gradient).
  """
  if 'u' in spectral:
    kernel = (
      params['embedding'].T if 'embedding' in params else params['kernel']
    )
    value, new_u = sigma(
      kernel.reshape(-1, kernel.shape[-1]), spectral['u'], gradient=gradient
    )
    return {'sigma': value}, {'u': new_u, 'sigma': jax.lax.stop_gradient(value)}
  inner = {
    k: iterate(params[k], v, gradient=gradient) for k, v in spectral.items()
  }
  return tuple({k: v[i] for k, v in inner.items()} for i in range(2))


def normalize_all(params, spectral):
  """Normalises all weights of a network whose kernels have a `u`.

  Args:
    params: of a network, such as a generator's.
    spectral: its collection of that name; the vectors stay as they are.

  Returns:
    `params` with the weights that the layers would compute at every call; the
    network takes them with `spectral_gradient=None`.
  """
  if 'u' in spectral:
    weight, _, _ = normalize(params['kernel'], spectral['u'])
    return {**params, 'kernel': weight}
  inner = {k: normalize_all(params[k], v) for k, v in spectral.items()}
  return {**params, **inner}
