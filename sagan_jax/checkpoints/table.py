"""What lies beside the arrays of a checkpoint: shapes, dtypes, checksums."""

import jax

from sagan_jax import errors, files
from sagan_jax.checkpoints import damage, leaf_sums

FORMAT = 1  # Of a checkpoint; raised when an older one cannot be read.


def table(state):
  """{path: [shape, dtype]} of the leaves of a state."""
  return {
    jax.tree_util.keystr(path): [list(leaf.shape), str(leaf.dtype)]
    for path, leaf in jax.tree_util.tree_leaves_with_path(state)
  }


def read(path):
  """Reads what lies beside the arrays of a checkpoint.

  Args:
    path: of the checkpoint.

  Returns:
    (its `table`, its `leaf_sums`; {} for one from before there were any).

  Raises:
    damage.Damaged: if it is damaged.
    UserError: if it is of another format, or cannot be read now.
  """
  try:
    meta = files.read_json(path / 'meta' / 'metadata')
    version, leaves = meta['format'], meta['leaves']
    sums = meta.get('sums', {})
    if not isinstance(leaves, dict) or not isinstance(sums, dict):
      raise TypeError('its table is none')
  # A UserError too; the last of what is no object.
  except (ValueError, KeyError, TypeError, AttributeError) as e:
    raise damage.refusal(path, e) from e
  if version != FORMAT:
    raise errors.UserError(
      f'the checkpoint {path} has format {str(version)[:40]}, this version reads '
      f'{FORMAT}; use the version that it was trained with, or another '
      '--workdir'
    )
  return leaves, sums


def difference(state, saved, sums):
  """The path of an array that is not what was saved; None if all are.

  Args:
    state: that was restored.
    saved: its `table` when it was saved.
    sums: its `leaf_sums` then; empty for one from before there were any.
  """
  found = table(state)
  if found == saved and sums:
    found, saved = leaf_sums.of(state), sums
  return next((x for x in found if found[x] != saved.get(x)), None)


def check_same_model(saved, wanted, path):
  """Refuses a table that is of another model.

  Args:
    saved: beside a checkpoint.
    wanted: the `table` of the model.
    path: of the checkpoint.

  Raises:
    UserError: with what differs.
  """
  lines = [
    f'{leaf[:99]}: checkpoint {str(saved.get(leaf, "nothing"))[:99]}, '
    f'model {wanted.get(leaf, "nothing")}'
    for leaf in sorted(saved.keys() | wanted.keys())
    if saved.get(leaf) != wanted.get(leaf)
  ]
  if lines:
    shown = '\n  '.join(lines[:5])
    more = f'\n  and {len(lines) - 5} more' if len(lines) > 5 else ''
    raise errors.UserError(
      f'the checkpoint {path} is of another model: use the config it was '
      'trained with, or another --workdir; these arrays differ:\n  '
      f'{shown}{more}'
    )
