"""Classes as a person names them on a command line."""

import pytest

from sagan_jax import errors
from sagan_jax.run import labels

NAMES = ('disc', 'ring', 'tench, Tinca tinca', '0', 'all the rest')


@pytest.mark.parametrize(
  ('texts', 'found'),
  [
    (['all'], [0, 1, 2, 3, 4]),
    (['ring'], [1]),
    (['ring,disc'], [1, 0]),
    (['ring', 'disc,ring'], [1, 0]),
    (['2,1'], [2, 1]),
    (['0'], [3]),  # A name comes before a number.
    (['tench, Tinca tinca'], [2]),
    (['tench, Tinca tinca', '4'], [2, 4]),
  ],
)
def test_classes_are_names_numbers_or_all(texts, found):
  assert labels.chosen(texts, NAMES) == found


def test_a_class_may_be_called_all():
  assert labels.chosen(['all'], ('x', 'all')) == [1]


@pytest.mark.parametrize(
  ('text', 'match'),
  [
    ('rng', "--classes: there is no class 'rng'; did you mean 'ring'"),
    ('ring,', "there is no class ''"),
    ('tench, Tinca tinca,ring', "no class 'tench'.*comma needs a --classes of"),
    ('5', r'label 5 must be an integer in \[0, 5\)'),
    ('-1', "there is no class '-1'"),
    ('9' * 5000, 'there is no class'),
    ('²', 'there is no class'),
  ],
)
def test_what_is_no_class_is_refused(text, match):
  with pytest.raises(errors.UserError, match=match):
    labels.chosen([text], NAMES)
