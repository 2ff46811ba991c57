"""The table and the plots of a run's scores."""

import numpy as np
import pytest
from PIL import Image

from sagan_jax import errors
from sagan_jax.evaluation import tables


def _record(step, fid, weights='ema', truncation=None, **changes):
  made_by = {
    'extractor': 'random-conv-seed-0',
    'num_fake': 40,
    'step': step,
    'weights': weights,
    'bn_statistics': 'standing',
    'truncation': truncation,
    'versions': {'jax': '1'},
  }
  return {
    'protocol': made_by | changes,
    'scores': {'fid_random': fid, 'precision_random': 0.5},
    'per_class': {},
  }


RECORDS = [
  _record(10, 3.25),
  _record(10, 4.0, 'raw'),
  _record(20, 2.125),
  _record(20, 2.5, 'raw'),
]


def test_a_table_has_a_row_a_record_and_the_protocol_below():
  lines = tables.table(RECORDS).splitlines()
  assert lines[:3] == [
    '| step | weights | bn_statistics | truncation | fid_random | '
    'precision_random |',
    '| --- | --- | --- | --- | --- | --- |',
    '| 10 | ema | standing | - | 3.2500 | 0.5000 |',
  ]
  assert lines[5] == '| 20 | raw | standing | - | 2.5000 | 0.5000 |'
  assert lines[6:] == [
    '',
    'Protocol:',
    '',
    '- extractor: random-conv-seed-0',
    '- num_fake: 40',
    "- versions: {'jax': '1'}",
  ]


def test_a_table_of_sets_of_images_has_no_columns_of_models():
  record = {'protocol': {'num_fake': 40}, 'scores': {'fid_random': 1.0}}
  assert tables.table([record]).splitlines()[:3] == [
    '| fid_random |',
    '| --- |',
    '| 1.0000 |',
  ]


def test_a_score_that_a_record_lacks_is_a_dash():
  other = _record(30, 1.0)
  del other['scores']['precision_random']
  lines = tables.table([RECORDS[0], other]).splitlines()
  assert lines[3] == '| 30 | ema | standing | - | 1.0000 | - |'


def _inked(path):
  """Checks that a plot is an image that is not blank; returns its height."""
  with Image.open(path) as image:
    pixels = np.asarray(image.convert('L'))
  assert (pixels < 128).mean() > 0.005
  return pixels.shape[0]


def test_files_of_one_protocol(tmp_path):
  per_class = {f'class {i}': float(i) for i in range(40)}
  records = [*RECORDS[:3], RECORDS[3] | {'per_class': per_class}]
  tables.write(tmp_path / 'scores', records)
  path = tmp_path / 'scores' / 'scores.md'
  assert path.read_text() == tables.table(records) + '\n'
  assert sorted(p.name for p in path.parent.iterdir()) == [
    'classes.png',
    'fid_random.png',
    'precision_random.png',
    'scores.md',
  ]
  heights = [_inked(p) for p in path.parent.glob('*.png')]
  assert max(heights) > min(heights)  # Forty bars need their room.


def test_one_step_is_not_plotted(tmp_path):
  tables.write(tmp_path, RECORDS[:2])
  assert [p.name for p in tmp_path.iterdir()] == ['scores.md']


def test_protocols_are_kept_apart(tmp_path):
  other = [_record(step, 9.0, num_fake=80) for step in (10, 20, 30)]
  records = [RECORDS[0], other[0], *RECORDS[1:], *other[1:]]
  tables.write(tmp_path, records)
  parts = (tmp_path / 'scores.md').read_text().split('\n\n| step')
  assert len(parts) == 2
  assert '- num_fake: 40' in parts[0] and '80' not in parts[0]
  assert '- num_fake: 80' in parts[1]
  assert [t.count('standing') for t in parts] == [4, 3]
  assert sorted(p.name for p in tmp_path.glob('*.png')) == [
    f'protocol{i}_{name}_random.png'
    for i in (1, 2)
    for name in ('fid', 'precision')
  ]


@pytest.mark.parametrize('value', [-0.0001, 1234567.0, float('inf')])
def test_any_value_can_be_shown(tmp_path, value):
  records = [_record(10, 1.0), _record(20, 2.0)]
  records[1]['scores']['fid_random'] = value
  tables.write(tmp_path, records)
  assert f'| {value:.4f} |' in (tmp_path / 'scores.md').read_text()


def test_names_are_text_and_lead_nowhere(tmp_path):
  records = [_record(10, 1.0), _record(20, 2.0)]
  for record in records:
    record['scores']['../../outside $x^{$'] = 3.0
  # Invalid as formulae, and twice the same.
  records[1]['per_class'] = {'$x^{$': 1.0, 'a_$': 2.0}
  tables.write(tmp_path / 'deep' / 'scores', records)
  assert sorted(p.name for p in (tmp_path / 'deep' / 'scores').iterdir()) == [
    '.._.._outside__x___.png',
    'classes.png',
    'fid_random.png',
    'precision_random.png',
    'scores.md',
  ]
  assert [p.name for p in tmp_path.iterdir()] == ['deep']


def test_a_directory_that_cannot_be_made_is_named(tmp_path):
  (tmp_path / 'scores').write_text('a file')
  with pytest.raises(errors.UserError, match='cannot write .*scores'):
    tables.write(tmp_path / 'scores', RECORDS)
