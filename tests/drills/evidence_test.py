"""What counts as a difference between two runs."""

import pytest

from sagan_jax import errors
from sagan_jax.drills import evidence
from sagan_jax.gan import state as state_lib
from tests.support import tiny


def test_each_kind_of_difference_is_told():
  one = evidence.Evidence(
    {'checkpoints/4': 'a', 'best/2': 'b'},
    [{'step': 1}, {'step': 2}],
    [{'scores': {'fid': 1.5}}],
    {'samples/x.png': 'c'},
  )
  assert evidence.differences(one, one) == []
  other = evidence.Evidence(
    {'checkpoints/4': 'a'}, [{'step': 1}], [{'scores': {'fid': 1.6}}], {}
  )
  assert evidence.differences(other, one) == [
    'states: best/2',
    'files: samples/x.png',
    "rows: 1 instead of 2, 1 lost, 0 others; {'step': 2}",
    "records: 1 instead of 1, 1 lost, 1 others; {'scores': {'fid': 1.5}}",
  ]
  twice = one._replace(rows=[*one.rows, {'step': 2}])
  assert evidence.differences(twice, one)[0].startswith('rows: 3 instead of 2')


def test_what_a_run_leaves(tmp_path):
  with tiny.small_networks():
    state = tiny.run(tmp_path, num_steps=2, sample__every_steps=2)
    found = evidence.of(tmp_path)
  assert found.states == {'checkpoints/2': state_lib.digest(state)}
  assert [row['step'] for row in found.rows] == [1, 2, 2]  # One of the grid.
  assert not any('perf/' in key for row in found.rows for key in row)
  assert list(found.files) == [
    f'samples/00000002_{x}.png' for x in ('ema', 'raw')
  ]
  (tmp_path / 'metrics.jsonl').write_text('{\n')
  with pytest.raises(errors.UserError, match='metrics.jsonl is damaged'):
    evidence.rows(tmp_path)
