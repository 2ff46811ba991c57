"""Scores of different protocols are not compared."""

import re

import pytest

from sagan_jax import errors
from sagan_jax.evaluation import protocol

PROTOCOL = {
  'extractor': 'random-conv-seed-0',
  'extractor_digest': 'abc',
  'resize': 'none',
  'num_real': 50,
  'num_fake': 40,
  'is_splits': [10, 1],
  'weights': 'ema',
  'bn_statistics': 'standing',
  'truncation': None,
  'step': 10,
  'seed': 0,
  'versions': {'jax': '1'},
  'device_kind': 'cpu',
}


@pytest.mark.parametrize(
  'changes',
  [
    {},
    {'weights': 'raw', 'step': 20},
    {'bn_statistics': 'batch', 'truncation': 0.5},
    {'versions': {'jax': '2'}, 'device_kind': 'TPU v4'},
  ],
)
def test_models_and_machines_may_differ(changes):
  protocol.check_same(PROTOCOL, PROTOCOL | changes)
  assert protocol.is_same(PROTOCOL, PROTOCOL | changes)


@pytest.mark.parametrize(
  'key',
  ['extractor', 'extractor_digest', 'resize', 'num_real', 'num_fake', 'seed'],
)
def test_every_other_difference_is_refused(key):
  match = re.escape(f'{key}: {PROTOCOL[key]!r} and 7')
  with pytest.raises(errors.UserError, match=match):
    protocol.check_same(PROTOCOL, PROTOCOL | {key: 7})
  assert not protocol.is_same(PROTOCOL, PROTOCOL | {key: 7})
  without = {k: v for k, v in PROTOCOL.items() if k != key}
  match = re.escape(f"{key}: 'nothing' and {PROTOCOL[key]!r}")
  with pytest.raises(errors.UserError, match=match):
    protocol.check_same(without, PROTOCOL)


def test_all_differences_are_listed():
  other = PROTOCOL | {'num_fake': 41, 'is_splits': [1], 'step': 11}
  with pytest.raises(errors.UserError, match='different protocols') as e:
    protocol.check_same(PROTOCOL, other)
  assert str(e.value).splitlines() == [
    'these scores are of different protocols and cannot be compared:',
    '  is_splits: [10, 1] and [1]',
    '  num_fake: 40 and 41',
  ]


def test_records_are_read_as_they_were_written(tmp_path):
  path = tmp_path / 'evaluations.jsonl'
  assert protocol.read(path) == []
  records = [
    {'protocol': PROTOCOL, 'scores': {'fid_random': 1 / 3}},
    {'protocol': {'step': 3}, 'error': 'ValueError: ü'},
  ]
  protocol.write(path, records)
  assert protocol.read(path) == records
  protocol.write(path, records[1:])
  assert protocol.read(path) == records[1:]
  assert [p.name for p in tmp_path.iterdir()] == ['evaluations.jsonl']


def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path):
  path = tmp_path / 'evaluations.jsonl'
  protocol.write(path, [{'protocol': PROTOCOL}])
  with pytest.raises(TypeError, match='not JSON serializable'):
    protocol.write(path, [{'protocol': PROTOCOL}, {'protocol': {1, 2}}])
  with pytest.raises(errors.UserError, match='cannot write .*none/e.jsonl'):
    protocol.write(tmp_path / 'none' / 'e.jsonl', [])
  assert protocol.read(path) == [{'protocol': PROTOCOL}]


def test_records_of_older_versions_are_read(tmp_path):
  path = tmp_path / 'evaluations.jsonl'
  path.write_text('{"card": {"step": 3}, "scores": {"fid": 1.5}}\n')
  assert protocol.read(path) == [
    {'protocol': {'step': 3}, 'scores': {'fid': 1.5}}
  ]


def test_a_last_line_that_was_cut_is_dropped_and_told(tmp_path):
  path = tmp_path / 'evaluations.jsonl'
  protocol.write(path, [{'protocol': PROTOCOL}] * 2)
  path.write_bytes(path.read_bytes()[:-20])
  said = []
  assert protocol.read(path, said.append) == [{'protocol': PROTOCOL}]
  assert said == [f'{path}: the last line was cut short and is dropped']


@pytest.mark.parametrize(
  'line',
  [
    '{"protocol": {"step": 3}',
    '[1]',
    '3',
    '{}',
    '{"protocol": 3}',
    '{"protocol": {"step": "3"}}',
    '',
    '\x00\x00',
  ],
)
def test_a_damaged_line_is_named(tmp_path, line):
  path = tmp_path / 'evaluations.jsonl'
  whole = '{"protocol": {"step": 3}}\n'
  path.write_text(f'{whole}{line}\n{whole}')
  match = re.escape(f'{path}:2 is damaged: it is no record of an evaluation')
  with pytest.raises(errors.UserError, match=match):
    protocol.read(path)


def test_records_that_cannot_be_read_are_told(tmp_path):
  with pytest.raises(errors.UserError, match='cannot read .*: Is a directory'):
    protocol.read(tmp_path)


def test_whole_records_are_read_among_damaged_ones(tmp_path):
  path, said = tmp_path / 'evaluations.jsonl', []
  whole = '{"protocol": {"step": %d}, "scores": {"fid": 2.5}}\n'
  path.write_text(f'{whole % 1}[]\n{whole % 3}{whole % 4}'[:-20])
  records = protocol.read_whole_ones(path, said.append)
  assert [r['protocol']['step'] for r in records] == [1, 3]
  assert [text.split(' is damaged')[0] for text in said] == [
    'evaluations.jsonl, line 2',
    'evaluations.jsonl, line 4',
  ]
  assert protocol.read_whole_ones(tmp_path / 'none', said.append) == []


def test_records_that_cannot_be_read_are_refused(tmp_path):
  with pytest.raises(errors.UserError, match=f'cannot read {tmp_path}: Is a'):
    protocol.read_whole_ones(tmp_path, print)


def test_records_are_added_and_a_torn_line_goes(tmp_path):
  path = tmp_path / 'evaluations.jsonl'
  records = [{'protocol': {'step': step}, 'error': 'x'} for step in range(3)]
  protocol.append(path, [], records[:1])
  first = path.read_bytes()
  protocol.append(path, records[:1], records[1:2])
  assert path.read_bytes().startswith(first)
  path.write_bytes(path.read_bytes() + b'{"pro')
  found = protocol.read(path, lambda _: None)
  protocol.append(path, found, records[2:])
  assert protocol.read(path, pytest.fail) == records
