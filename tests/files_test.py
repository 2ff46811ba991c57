"""Paths that people write, and files that are there whole or not at all."""

import errno
import io
import os
import pathlib
import re
import sys

import pytest

from sagan_jax import errors, files


def test_a_local_path_is_absolute(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv('HOME', '/home/x')
  assert os.fspath(files.as_path('a/../b')) == f'{tmp_path}/b'
  assert os.fspath(files.as_path('~/a')) == '/home/x/a'
  assert os.fspath(files.as_path(pathlib.Path('/a'))) == '/a'
  assert os.fspath(files.as_path('run:1/x')) == f'{tmp_path}/run:1/x'
  assert not files.is_remote(files.as_path('run:1/x'))


def test_a_url_stays_one(monkeypatch):
  monkeypatch.setitem(files.PACKAGES, 'gs', 'os')
  path = files.as_path('gs://bucket/a') / 'b'
  assert os.fspath(path) == 'gs://bucket/a/b'
  assert files.is_remote(path)


@pytest.mark.parametrize(
  ('name', 'text'),
  [
    ('', "'' is no path; give that of a file or folder"),
    ('a\0b', r"'a\x00b' is no path"),
    ('gs:/b/r', "'gs:/b/r' is no path; did you mean gs://BUCKET/NAME?"),
    ('gs:///b', "'gs:///b' is no path; did you mean gs://BUCKET/NAME?"),
    ('http://x/y', "'http://x/y' is no path; URLs may begin with gs://, s3://"),
    ('file:///x', "'file:///x' is no path; URLs may begin with"),
  ],
)
def test_what_is_no_path_is_refused(name, text):
  with pytest.raises(errors.UserError, match=re.escape(text)):
    files.as_path(name)


def test_a_url_needs_a_package(monkeypatch):
  for package in ('tensorflow', 'gcsfs'):
    monkeypatch.setitem(sys.modules, package, None)
  match = 'gs://b/r needs a package for gs://: pip install gcsfs'
  with pytest.raises(errors.UserError, match=match):
    files.as_path('gs://b/r')


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
  path = tmp_path / 'x'
  files.write(path, 'old')
  assert path.read_text() == 'old'
  with pytest.raises(KeyError), files.replacing(path) as file:
    file.write(b'half')
    raise KeyError
  assert path.read_text() == 'old'
  files.write(path, b'new')
  assert path.read_bytes() == b'new'
  assert [p.name for p in tmp_path.iterdir()] == ['x']


def test_permissions_are_those_of_the_umask(tmp_path):
  before = os.umask(0o027)
  try:
    files.write(tmp_path / 'x', '')
  finally:
    os.umask(before)
  assert (tmp_path / 'x').stat().st_mode & 0o777 == 0o640


def test_what_cannot_be_written_names_the_path(tmp_path):
  match = f'cannot write {tmp_path}/none/x: No such file or directory; free '
  with pytest.raises(errors.UserError, match=match):
    files.write(tmp_path / 'none' / 'x', 'text')
  with (
    pytest.raises(errors.UserError, match='cannot write /x: full; free space'),
    files.writing('/x'),
  ):
    raise OSError('full')


def test_json_is_read(tmp_path):
  (tmp_path / 'x').write_text('{"a": [1]}')
  assert files.read_json(tmp_path / 'x') == {'a': [1]}


@pytest.mark.parametrize('content', [b'', b'{', b'\xff', b'[' * 100_000])
def test_damaged_json_is_told_with_what_to_do(tmp_path, content):
  (tmp_path / 'x').write_bytes(content)
  match = f'{tmp_path}/x is damaged: it is not JSON .*; restore it from a copy'
  with pytest.raises(errors.UserError, match=match):
    files.read_json(tmp_path / 'x')


def test_json_that_is_too_large_is_not_read(tmp_path):
  with open(tmp_path / 'x', 'wb') as file:
    file.truncate(2**30)  # Takes no room.
  with pytest.raises(
    errors.UserError,
    match='x is damaged: it has 1,073,741,824 bytes, 16,777,216 are',
  ):
    files.read_json(tmp_path / 'x')


def test_json_that_is_not_there_is_told_with_what_to_do(tmp_path):
  match = f'cannot read {tmp_path}/x: No such file or directory; mend its perm'
  with pytest.raises(errors.UserError, match=match):
    files.read_json(tmp_path / 'x')


def test_matching_takes_the_name_of_the_directory_as_it_is(tmp_path):
  directory = files.as_path(tmp_path / 'a[1]*')
  assert files.matching(directory, '*') == []
  directory.mkdir()
  for name in ('b.x', 'a.x', 'a.y'):
    (directory / name).write_text('')
  found = files.matching(directory, '*.x')
  assert [path.name for path in found] == ['a.x', 'b.x']


def _pipe(path):
  os.mkfifo(path)


def _device(path):
  path.symlink_to('/dev/zero')


def _folder(path):
  path.mkdir()


@pytest.mark.parametrize(
  ('make', 'why'),
  [
    (_pipe, 'it is no file, but a pipe or a device'),
    (_device, 'it is no file, but a pipe or a device'),
    (_folder, 'Is a directory'),
  ],
)
def test_what_never_ends_is_not_read(tmp_path, make, why):
  make(tmp_path / 'x')
  with pytest.raises(errors.UserError, match=f'cannot read .*/x: {why}; mend'):
    files.read(tmp_path / 'x', 10)


def test_no_more_is_read_than_may_be(tmp_path):
  (tmp_path / 'x').write_bytes(b'0123456789')
  assert files.read(tmp_path / 'x', 10) == b'0123456789'
  match = 'x is damaged: it has 10 bytes, 9 are the most'
  with pytest.raises(errors.UserError, match=match):
    files.read(tmp_path / 'x', 9)


def test_appending_follows_no_link_and_waits_for_no_pipe(tmp_path):
  (tmp_path / 'other').write_text('theirs')
  (tmp_path / 'link').symlink_to('other')
  _pipe(tmp_path / 'pipe')
  for name in ('link', 'pipe'):
    with pytest.raises(OSError, match='it is no file, but a link or something'):
      files.open_to_append(tmp_path / name)
  assert (tmp_path / 'other').read_text() == 'theirs'
  for text in (b'a', b'b'):
    with files.open_to_append(tmp_path / 'mine') as file:
      file.write(text)
  assert (tmp_path / 'mine').read_text() == 'ab'


def test_lines_end_with_one_that_is_too_long():
  file = io.BytesIO(b'a\n\n1234567\nb\n12345678\nc\n')
  found = list(files.lines(file, most_bytes=8))
  assert found == [b'a\n', b'\n', b'1234567\n', b'b\n', b'\n']
  assert list(files.lines(io.BytesIO(b'a\ncut'))) == [b'a\n', b'cut']


@pytest.mark.parametrize('depth', [49, 51, 10**5])
def test_json_may_not_be_deep(depth):
  content = b'[' * depth + b']' * depth
  if depth < 50:
    files.parse_json(content)
    return
  with pytest.raises(ValueError, match='it is nested too deeply'):
    files.parse_json(content)


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_is_told_apart(number):
  kind = errors.UserError if number == errno.EROFS else errors.DiskFull
  with pytest.raises(errors.UserError, match='cannot write /x') as e:
    with files.writing('/x'):
      raise OSError(number, os.strerror(number))
  assert type(e.value) is kind


def test_a_name_that_is_no_text_is_written_escaped(tmp_path):
  files.write(tmp_path / 'x', 'a\udcff')
  assert (tmp_path / 'x').read_bytes() == rb'a\udcff'
