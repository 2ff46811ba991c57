"""Files in a directory that may hold others."""

import csv

import numpy as np
import pytest
from PIL import Image

from sagan_jax import errors
from sagan_jax.gallery import outputs
from sagan_jax.pictures import animation
from tests.support import gcs

IMAGE = np.full((4, 5, 3), 9, np.uint8)
COLUMNS = ('file', 'label', 'class', 'seed')


def _write_all(output):
  output.png('a.png', IMAGE)
  output.gif('a.gif', animation.gif([IMAGE], [False], outputs.MARK))
  output.table('a.csv', COLUMNS, [('a.png', 0, 'x', 1)])


def test_own_files_are_replaced(tmp_path):
  for _ in range(2):
    output = outputs.Output(str(tmp_path / 'new' / 'folder'))
    output.claim(['a.png', 'a.gif', 'a.csv'])
    _write_all(output)
    assert output.written == ['a.png', 'a.gif', 'a.csv']
  with Image.open(output.directory / 'a.png') as image:
    np.testing.assert_array_equal(image, IMAGE)
    assert image.text == {'Software': outputs.MARK}


@pytest.mark.parametrize('name', ['a.png', 'a.gif', 'a.csv'])
def test_files_of_others_are_not_replaced(tmp_path, name):
  (tmp_path / name).write_bytes(b'\x89PNG of a person')
  match = f'{name} was not written by this command and is not replaced; move'
  with pytest.raises(errors.UserError, match=match):
    outputs.Output(str(tmp_path)).claim(['a.png', 'a.gif', 'a.csv'])
  assert [x.name for x in tmp_path.iterdir()] == [name]


def test_a_directory_in_the_place_of_a_file_is_refused(tmp_path):
  (tmp_path / 'a.png').mkdir()
  with pytest.raises(errors.UserError, match='a.png was not written by this'):
    outputs.Output(str(tmp_path)).claim(['a.png'])


def test_files_that_would_be_taken_for_ours_are_refused(tmp_path):
  for name in ('1-x-2.png', '1-x-3.png', '1-x-4.png', 'other'):
    (tmp_path / name).write_bytes(outputs.MARK.encode())
  output = outputs.Output(str(tmp_path))
  output.claim(['1-x-2.png'])
  match = 'holds 2 images of other samples, such as 1-x-3.png'
  with pytest.raises(errors.UserError, match=match):
    output.claim(['1-x-2.png'], r'\d-x-\d.png')


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path):
  (tmp_path / 'file').write_text('x')
  with pytest.raises(errors.UserError, match='cannot write .*file'):
    outputs.Output(str(tmp_path / 'file')).claim(['a.png'])


def test_a_bucket_can_be_written_to(tmp_path, monkeypatch):
  local = gcs.mock_gcs(monkeypatch, tmp_path)
  for _ in range(2):
    output = outputs.Output('gs://b/out')
    output.claim(['a.png', 'a.gif', 'a.csv'])
    _write_all(output)
  assert {x.name for x in local('gs://b/out').iterdir()} == {*output.written}


def test_a_table_holds_any_text(tmp_path):
  names = ['a,b"c"\nd', '../../x', '=1+1', '日本', '\ud800']
  output = outputs.Output(str(tmp_path))
  output.table('a.csv', COLUMNS, [('f', 0, name, 1) for name in names])
  with open(tmp_path / 'a.csv', newline='', encoding='utf-8') as file:
    rows = list(csv.DictReader(file))
  assert [row['class'] for row in rows] == [*names[:-1], '\\ud800']


@pytest.mark.parametrize(
  ('name', 'found'),
  [
    ('ring', 'ring'),
    ('tench, Tinca tinca', 'tench_Tinca_tinca'),
    ('../../etc/passwd', 'etc_passwd'),
    ('..', 'class'),
    ('日本', 'class'),
    ('a\0b', 'a_b'),
    ('x' * 500, 'x' * 40),
  ],
)
def test_names_of_files_are_letters_and_digits(name, found):
  assert outputs.slug(name) == found
