"""Weights for other classes: the arrays that have a row per class.

In the generator these are gamma and beta of the batch norms, in the
discriminator the table of the projection and the vector u of its power
iteration, which has an entry per class.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sagan_jax.weights import tensors as tensors_lib

Rows = Sequence[int | None]  # By label: of which row, or None for the mean.

_NEAR = 0.8  # Of difflib: rings is near ring, triangle is not.


def tables(one: Mapping[str, Any], two: Mapping[str, Any]) -> set[str]:
  """Finds the arrays that depend on the classes.

  Args:
    one: shapes by name, of networks without classes.
    two: the same for two classes.

  Returns:
    The names of those that have a row per class, or are of such a layer.
  """
  return {
    name
    for name in two
    if name not in one or one[name].shape != two[name].shape
  }


def nearest(new: Sequence[str], old: Sequence[str]) -> Rows:
  """Finds for every class the one of the nearest name.

  Names are compared without case, and with _ and - as spaces.

  Args:
    new: names by label.
    old: names by label, of which each may be taken several times.

  Returns:
    A label of `old` for each of `new`; None where no name is near.
  """
  plain = {}
  for label, name in enumerate(old):
    plain.setdefault(_plain(name), label)
  rows: list[int | None] = []
  for name in new:
    if name in old:
      rows.append(list(old).index(name))
      continue
    close = difflib.get_close_matches(_plain(name), plain, 1, _NEAR)
    rows.append(plain[close[0]] if close else None)
  return rows


def transfer(
  old: tensors_lib.Tensors,
  fresh: tensors_lib.Tensors,
  names: set[str],
  rows: Rows | None,
) -> dict[str, np.ndarray]:
  """Makes the arrays with a row per class for other classes.

  All are linear in the rows, u too: with u = table @ v for the v that the
  iteration had reached, the rows of u go with those of the table.

  Args:
    old: by name; those of a network without classes have one row, [C].
    fresh: of the network to be, by name.
    names: of the arrays to make.
    rows: by label, of the row to take or None for the mean; None in place of
      all leaves `fresh`.

  Returns:
    {name: float32 array}, shaped as in `fresh`.
  """
  made = {}
  for name in names & set(fresh):
    like = fresh[name]
    if rows is None or name not in old or not like.shape:
      made[name] = like
      continue
    table = old[name]
    if table.ndim < like.ndim:
      table = table[None]
    elif table.ndim > like.ndim:
      like = like[None]
    mean = table.mean(0, dtype=np.float64).astype(np.float32)
    taken = [
      mean if row is None else table[row] for row in _fit(rows, len(table))
    ]
    table = np.stack(taken).reshape(fresh[name].shape)
    if name.endswith('.u') and not table.any():
      table = np.ones_like(table)  # Zero would be divided by zero.
    made[name] = table
  return made


def _fit(rows, count):
  """Where all classes had one row, that one."""
  return [0] * len(rows) if count == 1 else rows


def _plain(name):
  return ' '.join(name.casefold().replace('_', ' ').replace('-', ' ').split())
