"""Tests of comparing data sets."""

import json

import pytest

from sagan_jax import data
from sagan_jax.data import identities

FOLDER = {
  'name': 'folder',
  'classes': {'cat': [118, 'c0'], 'dog': [7, 'd0']},
  'image_size': 32,
}
ARRAY = {
  'name': 'array',
  'images_sha256': '01',
  'labels_sha256': '02',
  'class_names': ['cat', 'dog', 'eel'],
}


def test_equal_identities_have_no_changes():
  assert data.changes(FOLDER, json.loads(json.dumps(FOLDER))) == []
  assert data.changes({'x': ('a', 'b')}, {'x': ['a', 'b']}) == []


@pytest.mark.parametrize(
  ('old', 'new', 'lines'),
  [
    (FOLDER, {'image_size': 64}, ['image_size: 64 instead of 32']),
    (
      FOLDER,
      {'classes': {'cat': [1200, 'c1'], 'dog': [7, 'd1']}},
      [
        'class cat: 1,200 files instead of 118',
        'class dog: the same number of files, other contents',
      ],
    ),
    (
      FOLDER,
      {'classes': {'cow': [3, 'x'], 'dog': [7, 'd0'], 'eel': [3, 'y']}},
      ['classes added: cow, eel', 'classes removed: cat'],
    ),
    (
      FOLDER,
      {'classes': {str(i): [1, 'x'] for i in range(13)}},
      [
        'classes added: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 3 more',
        'classes removed: cat, dog',
      ],
    ),
    (FOLDER, {'labels': 'none'}, ['labels: none instead of nothing']),
    (ARRAY, {'images_sha256': '03'}, ['images_sha256: 03 instead of 01']),
    (
      ARRAY,
      {'class_names': ['cat', 'eel', 'dog']},
      ['order of classes changed: number 1 is eel, it was dog'],
    ),
  ],
)
def test_what_changed_is_told(old, new, lines):
  assert data.changes(old, {**old, **new}) == lines


def test_of_another_kind_only_the_kind_is_told():
  assert data.changes(FOLDER, ARRAY) == ['name: array instead of folder']


def test_a_renamed_set_of_the_same_kind_is_compared():
  old = {'name': 'x/1.0.0', 'num_examples': 3}
  assert data.changes(old, {'name': 'x/2.0.0', 'num_examples': 4}) == [
    'name: x/2.0.0 instead of x/1.0.0',
    'num_examples: 4 instead of 3',
  ]


def test_a_fingerprint_covers_every_fact():
  assert identities.fingerprint({'a': 1, 'b': 2}) == 'd8497d9d82770a70'
