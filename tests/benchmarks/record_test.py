"""Figures that outlive a process."""

import pytest

from sagan_jax import errors
from sagan_jax.benchmarks import record

SETTING = {'device_kind': 'cpu', 'steps': 5}
ROW = {'cell': {'measured': 'step', 'dtype': 'float32'}, 'secs': 0.5}


def test_rows_are_found_by_their_cells(tmp_path):
  path = tmp_path / 'cells.jsonl'
  record.Record(path, SETTING).add(ROW)
  again = record.Record(path, SETTING)
  assert again.rows == [ROW]
  assert again.get({'measured': 'step', 'dtype': 'float32'}) == ROW
  assert again.get({'measured': 'step', 'dtype': 'bfloat16'}) is None


def test_half_a_line_is_no_row(tmp_path):
  path = tmp_path / 'cells.jsonl'
  first = record.Record(path, SETTING)
  first.add(ROW)
  first.add(ROW | {'cell': {}})
  path.write_text(path.read_text()[:-5])
  again = record.Record(path, SETTING)
  assert again.rows == [ROW]
  again.add(ROW | {'cell': {}})
  assert len(record.Record(path, SETTING).rows) == 2


def test_another_machine_is_refused(tmp_path):
  path = tmp_path / 'cells.jsonl'
  record.Record(path, SETTING)
  match = (
    "figures of something else .device_kind: 'cpu' there, 'H100' now.; delete"
  )
  with pytest.raises(errors.UserError, match=match):
    record.Record(path, SETTING | {'device_kind': 'H100'})


@pytest.mark.parametrize(
  ('text', 'match'),
  [
    ('no JSON\n', 'cells.jsonl is damaged'),
    ('', 'figures of something else'),
    ('[1]\n', 'figures of something else'),
  ],
)
def test_another_file_is_refused(tmp_path, text, match):
  path = tmp_path / 'cells.jsonl'
  path.write_text(text)
  with pytest.raises(errors.UserError, match=match):
    record.Record(path, SETTING)
