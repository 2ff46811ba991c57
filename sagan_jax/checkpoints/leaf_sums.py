"""A checksum of every array of a tree, computed where the array is.

The sum over an array's 32-bit words, each times an odd number that depends on
its place: exact integer arithmetic, so that it is the same on every device and
mesh, and any single wrong word changes it. A second one, over other numbers,
leaves one chance in 2**64 to a damage of many words. It is no signature: it
does not stand against somebody who means to deceive.
"""

import jax
import jax.numpy as jnp
import numpy as np

# Odd multipliers of two mixing functions (murmur3's and splitmix's style).
_MIXERS = ((0x7FEB352D, 0x846CA68B), (0x9E3779B1, 0x85EBCA77))


def of(tree):
  """Computes the checksums of a tree of arrays.

  Args:
    tree: arrays of 32-bit numbers or keys, replicated where there are several
      devices.

  Returns:
    {path: 16 hexadecimal digits}.
  """
  paths, leaves = zip(*jax.tree_util.tree_leaves_with_path(tree), strict=True)
  words = [
    jax.random.key_data(x)
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    else x
    for x in leaves
  ]
  device = next(iter(words[0].devices()))
  if device.platform == 'cpu':  # No copy, and nothing to compile.
    sums = [_sums(np, np.asarray(x).reshape(-1).view(np.uint32)) for x in words]
  else:
    sums = np.asarray(_on_device(words))
  return {
    jax.tree_util.keystr(path): f'{int(a):08x}{int(b):08x}'
    for path, (a, b) in zip(paths, sums, strict=True)
  }


@jax.jit
def _on_device(arrays):
  return jnp.stack(
    [
      jnp.stack(
        _sums(jnp, jax.lax.bitcast_convert_type(x, jnp.uint32).reshape(-1))
      )
      for x in arrays
    ]
  )


def _sums(xp, words):
  """Two sums of uint32 [n] modulo 2**32."""
  place = xp.arange(words.size, dtype=xp.uint32)
  factors = (_mix(xp, place, *mixer) for mixer in _MIXERS)
  # The high half is folded in: else the top bit would move one bit only.
  folded = (words, words ^ (words >> xp.uint32(16)))
  return [
    xp.sum(word * factor, dtype=xp.uint32)
    for word, factor in zip(folded, factors, strict=True)
  ]


def _mix(xp, x, first, second):
  """Spreads the bits of uint32 [n]; the result is odd."""
  x = (x ^ (x >> xp.uint32(16))) * xp.uint32(first)
  x = (x ^ (x >> xp.uint32(15))) * xp.uint32(second)
  return (x ^ (x >> xp.uint32(16))) | xp.uint32(1)
