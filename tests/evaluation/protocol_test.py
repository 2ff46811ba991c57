"""Scores of different protocols are not compared."""

import re

import pytest

from sagan_jax.evaluation import protocol

CARD = {
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
  protocol.check_same(CARD, CARD | changes)


@pytest.mark.parametrize(
  'key',
  ['extractor', 'extractor_digest', 'resize', 'num_real', 'num_fake', 'seed'],
)
def test_every_other_difference_is_refused(key):
  match = re.escape(f'{key}: {CARD[key]!r} and 7')
  with pytest.raises(ValueError, match=match):
    protocol.check_same(CARD, CARD | {key: 7})
  without = {k: v for k, v in CARD.items() if k != key}
  match = re.escape(f"{key}: 'nothing' and {CARD[key]!r}")
  with pytest.raises(ValueError, match=match):
    protocol.check_same(without, CARD)


def test_all_differences_are_listed():
  other = CARD | {'num_fake': 41, 'is_splits': [1], 'step': 11}
  with pytest.raises(ValueError, match='different protocols') as e:
    protocol.check_same(CARD, other)
  assert str(e.value).splitlines() == [
    'these scores are of different protocols and cannot be compared:',
    '  is_splits: [10, 1] and [1]',
    '  num_fake: 40 and 41',
  ]


def test_records_are_read_as_they_were_written(tmp_path):
  path = tmp_path / 'evaluations.jsonl'
  assert protocol.read(path) == []
  records = [
    {'protocol': CARD, 'scores': {'fid_random': 1 / 3}},
    {'protocol': {'step': 3}, 'error': 'ValueError: ü'},
  ]
  protocol.write(path, records)
  assert protocol.read(path) == records
  protocol.write(path, records[1:])
  assert protocol.read(path) == records[1:]
  assert [p.name for p in tmp_path.iterdir()] == ['evaluations.jsonl']


def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path):
  path = tmp_path / 'evaluations.jsonl'
  protocol.write(path, [{'protocol': CARD}])
  with pytest.raises(TypeError, match='not JSON serializable'):
    protocol.write(path, [{'protocol': CARD}, {'protocol': {1, 2}}])
  assert protocol.read(path) == [{'protocol': CARD}]
