"""A generator as one StableHLO program, which needs nothing but jax to run.

  from jax import export
  generator = export.deserialize(open('generator.stablehlo', 'rb').read())
  images = generator.call(latents, labels)  # float32 [n, 128], int32 [n]

The weights are in it; n is free. jax promises to read such a file for six
months after the version that wrote it.
"""

import math

import jax
import jax.numpy as jnp
from jax import export

from sagan_jax.gan import sampling

SUFFIX = '.stablehlo'
PLATFORMS = ('cpu', 'cuda', 'rocm', 'tpu')
IMAGES = ('uint8', 'float32')


def program(gan, params, stats, *, truncation=None, images='uint8') -> bytes:
  """Makes the program of a generator.

  Args:
    gan: a `Gan`.
    params: of its generator.
    stats: its collections; their moments are used.
    truncation: deviations; latents of the normal distribution are mapped to the
      one cut there, monotonically. What the sampler draws there, it draws from
      the same numbers. None cuts nowhere.
    images: 'uint8', or 'float32' for values in (-1, 1).

  Returns:
    What `jax.export.deserialize` takes: of a function of latents, float32 [n,
    latent_dim], and labels, int32 [n], that returns images [n, H, W, 3].
  """

  params, stats = jax.device_get((params, stats))  # Else bound to devices.

  def generate(latents, labels):
    if truncation is not None:
      latents = _truncate(latents, truncation)
    # Else the compiler would compute what depends on the weights alone by
    # itself, with other rounding than the device.
    variables = jax.lax.optimization_barrier({'params': params, **stats})
    made = gan.generator.apply(variables, latents, labels, train=False)
    return sampling.to_uint8(made) if images == 'uint8' else made

  (n,) = export.symbolic_shape('n')
  exported = export.export(jax.jit(generate), platforms=PLATFORMS)(
    jax.ShapeDtypeStruct((n, gan.latent_dim), jnp.float32),
    jax.ShapeDtypeStruct((n,), jnp.int32),
  )
  return bytes(exported.serialize())


def _truncate(latents, limit):
  """Maps quantiles of the normal distribution to those of the cut one."""
  inside = math.erf(limit / math.sqrt(2))
  part = jax.lax.erf(latents / math.sqrt(2)) * inside
  return jnp.clip(jax.lax.erf_inv(part) * math.sqrt(2), -limit, limit)
