"""Tests of which exit code stands for those of several processes."""

import pytest

from sagan_jax.cluster import exit_codes


@pytest.mark.parametrize(
  'codes, told',
  [
    ((0, 0), 0),
    ((75, 0), 75),
    ((75, 76), 76),
    ((76, 1), 1),
    ((1, 2), 2),
    ((77, 76), 77),
    ((1, 77), 1),
    ((76, 127), 127),  # The command was not found.
    ((137, 76), 76),  # The neighbor of the one that was killed knows more.
    ((137, 0), 137),
    ((143, 137), 137),
    ((3, 2), 2),
  ],
)
def test_the_most_telling_code(codes, told):
  assert exit_codes.most_telling(codes) == told
  assert exit_codes.most_telling(codes[::-1]) == told


@pytest.mark.parametrize(
  'code, words',
  [
    (0, 'finished'),
    (76, 'hung, or a neighbor died'),
    (137, 'killed by SIGKILL'),
    (99, 'of no known meaning'),
  ],
)
def test_describe(code, words):
  assert exit_codes.describe(code) == words
