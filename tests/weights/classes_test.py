"""Rows of class tables, for other classes."""

import numpy as np
import pytest

from sagan_jax.weights import classes
from tests.support import exports

GAMMA = 'generator.params.norm.gamma'
TABLE = 'discriminator.params.embedding.embedding'
U = 'discriminator.spectral.embedding.u'
SIGMA = 'discriminator.spectral.embedding.sigma'


def _weights(num_classes, fill):
  shape = (2,) if num_classes == 1 else (num_classes, 2)
  values = fill + np.arange(np.prod(shape), dtype=np.float32)
  weights = {GAMMA: values.reshape(shape)}
  if num_classes > 1:
    weights |= {
      TABLE: 10 * values.reshape(shape),
      U: np.arange(num_classes, dtype=np.float32) - 1,
      SIGMA: np.array(fill, np.float32),
    }
  return weights


ALL = {GAMMA, TABLE, U, SIGMA}


def test_the_tables_are_found_by_their_shapes():
  """By name, as the published networks have them."""
  shapes = [exports.tensors(exports.config(num_classes=n)) for n in (1, 2)]
  found = classes.tables(*shapes)
  norms = [f'block{i}.norm{j}' for i in (1, 2, 3) for j in (1, 2)]
  assert found == {
    *(
      f'{network}.params.{norm}.{leaf}'
      for network in ('generator', 'ema')
      for norm in norms
      for leaf in ('gamma', 'beta')
    ),
    TABLE,
    U,
    SIGMA,
  }


def test_rows_are_taken_or_are_the_mean():
  old, fresh = _weights(3, 0), _weights(4, 100)
  made = classes.transfer(old, fresh, ALL, [2, 0, None, 2])
  assert made[GAMMA].tolist() == [[4, 5], [0, 1], [2, 3], [4, 5]]
  assert made[TABLE].tolist() == [[40, 50], [0, 10], [20, 30], [40, 50]]
  assert made[U].tolist() == [1, -1, 0, 1]
  assert made[SIGMA] == 100  # Of the matrix there will be.
  assert all(x.dtype == np.float32 for x in made.values())


def test_fresh_rows_are_fresh():
  made = classes.transfer(_weights(3, 0), _weights(4, 100), ALL, None)
  assert {k: v.tolist() for k, v in made.items()} == {
    k: v.tolist() for k, v in _weights(4, 100).items()
  }


def test_u_is_never_zero():
  """It is divided by its norm; here the mean of -1, 0 and 1 is zero."""
  made = classes.transfer(_weights(3, 0), _weights(2, 100), ALL, [None, None])
  assert made[U].tolist() == [1, 1]


def test_from_one_class_and_to_one():
  many = classes.transfer(_weights(1, 5), _weights(3, 100), ALL, [0, None, 0])
  assert many[GAMMA].tolist() == [[5, 6]] * 3
  assert many[TABLE].tolist() == _weights(3, 100)[TABLE].tolist()
  one = classes.transfer(_weights(3, 0), _weights(1, 100), ALL, [None])
  assert {k: v.tolist() for k, v in one.items()} == {GAMMA: [2, 3]}


@pytest.mark.parametrize(
  'new, row',
  [
    ('disc', 3),  # As it is, before one that differs in case.
    ('DISC', 0),
    ('tabby-cat', 1),
    ('tabby  cats', 1),
    ('triangle', None),
    ('', None),
  ],
)
def test_the_nearest_name(new, row):
  old = ['Disc', 'Tabby_Cat', 'ring', 'disc']
  assert classes.nearest([new], old) == [row]
