"""The weights of both networks as arrays with stable names.

A name is the path in `GanState.weights`, joined by dots:

  generator.params.block1.conv1.kernel      discriminator.params.dense.bias
  generator.spectral.block1.conv1.u         discriminator.spectral.dense.sigma
  generator.batch_stats.block1.norm1.mean   ema.params.block1.conv1.kernel

Every one is float32.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from sagan_jax import errors

Tensors = Mapping[str, np.ndarray]

_SHOWN = 5  # Differences that an error lists.


def flatten(weights: Any) -> dict[str, Any]:
  """Names the leaves of a tree of weights.

  Args:
    weights: as `GanState.weights` returns them, or a part of it.

  Returns:
    {name: leaf}, sorted by name.
  """
  leaves = jax.tree_util.tree_leaves_with_path(weights)
  return dict(
    sorted(('.'.join(key.key for key in path), leaf) for path, leaf in leaves)
  )


def unflatten(tensors: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the tree whose leaves `flatten` names so."""
  tree: dict[str, Any] = {}
  for name, tensor in tensors.items():
    *path, leaf = name.split('.')
    node = tree
    for key in path:
      node = node.setdefault(key, {})
    node[leaf] = tensor
  return tree


def digest(tensors: Tensors) -> str:
  """SHA-256 over the names, shapes and bytes of all tensors.

  It does not depend on the file that they are in.
  """
  sha = hashlib.sha256()
  for name in sorted(tensors):
    tensor = np.ascontiguousarray(tensors[name], '<f4')
    sha.update(f'{name} {list(np.shape(tensors[name]))}\n'.encode())
    sha.update(tensor.data)
  return sha.hexdigest()


def check_finite(tensors: Tensors, where: str) -> None:
  """Refuses weights that are not finite.

  Args:
    tensors: by name.
    where: the file or directory, for errors.

  Raises:
    UserError: naming the first one.
  """
  for name, tensor in tensors.items():
    if not np.isfinite(tensor).all():
      raise errors.UserError(
        f'{where}: {name[:99]!r} holds values that are not finite; take the '
        'weights of an earlier step'
      )


def check_shapes(
  found: Mapping[str, Any], wanted: Mapping[str, Any], where: str
) -> None:
  """Refuses weights that are not those of the networks of a config.

  Args:
    found: arrays by name.
    wanted: arrays or their shapes by name, as the networks have them.
    where: the file, for errors.

  Raises:
    UserError: listing the names and shapes that differ.
  """
  lines = []
  for name in sorted(found.keys() | wanted.keys()):
    if name not in wanted:
      lines.append(f'{name[:99]!r} {_shape(found[name])}: the config has none')
    elif name not in found:
      lines.append(f'{name} {_shape(wanted[name])}: the file has none')
    elif _shape(found[name]) != _shape(wanted[name]):
      lines.append(
        f'{name}: {_shape(found[name])} in the file, {_shape(wanted[name])} by '
        'the config'
      )
  if lines:
    more = f'\n  and {len(lines) - _SHOWN} more' if lines[_SHOWN:] else ''
    raise errors.UserError(
      f'{where} holds the weights of other networks than those of the config; '
      f'{len(lines)} arrays differ:\n  '
      + '\n  '.join(lines[:_SHOWN])
      + f'{more}\nset image_size, ch, attention and residual as they were '
      'trained'
    )


def _shape(tensor):
  return list(tensor.shape)
