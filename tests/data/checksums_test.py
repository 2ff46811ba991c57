"""Tests of remembered checksums."""

import hashlib
import json
import os
import stat

import pytest

from sagan_jax import errors
from sagan_jax.data import checksums


@pytest.fixture
def cache(tmp_path, monkeypatch):
  monkeypatch.setenv('SAGAN_JAX_CACHE', str(tmp_path / 'cache'))
  return tmp_path / 'cache' / 'checksums.json'


@pytest.fixture
def file(tmp_path):
  path = tmp_path / 'file'
  path.write_bytes(b'content')
  return path


@pytest.fixture
def reads(monkeypatch):
  """The files that are read."""
  found, sha256 = [], checksums.sha256

  def noted(path):
    found.append(os.fspath(path))
    return sha256(path)

  monkeypatch.setattr(checksums, 'sha256', noted)
  return found


def expected(content):
  return hashlib.sha256(content).hexdigest()


def test_large_files_are_read_in_blocks(tmp_path, monkeypatch):
  monkeypatch.setattr(checksums, '_BLOCK_BYTES', 3)
  (tmp_path / 'x').write_bytes(b'0123456789')
  assert checksums.sha256(tmp_path / 'x') == expected(b'0123456789')


def test_what_cannot_be_read_is_told(tmp_path):
  with pytest.raises(
    errors.UserError, match=f'^cannot read {tmp_path}: Is a d'
  ):
    checksums.sha256(tmp_path)


def test_an_unchanged_file_is_read_once(cache, file, reads, tmp_path):
  (tmp_path / 'link').symlink_to(file)
  for path in (file, file, tmp_path / 'link'):
    assert checksums.of_unchanged(path) == expected(b'content')
  assert reads == [str(file)]
  assert stat.S_IMODE(cache.stat().st_mode) == 0o600


@pytest.mark.usefixtures('cache')
def test_a_changed_file_is_read_again(file, reads):
  checksums.of_unchanged(file)
  time = file.stat().st_mtime_ns
  file.write_bytes(b'CONTENT')
  os.utime(file, ns=(time, time + 1))
  assert checksums.of_unchanged(file) == expected(b'CONTENT')
  # Another file in its place, with the same size and time.
  other = file.with_name('other')
  other.write_bytes(b'another')
  os.utime(other, ns=(time, time + 1))
  other.rename(file)
  assert checksums.of_unchanged(file) == expected(b'another')
  assert len(reads) == 3


def test_a_file_that_changes_while_it_is_read_is_not_remembered(
  cache, file, monkeypatch
):
  sha256 = checksums.sha256

  def changed(path):
    digest = sha256(path)
    file.write_bytes(b'longer content')
    return digest

  monkeypatch.setattr(checksums, 'sha256', changed)
  checksums.of_unchanged(file)
  assert not cache.exists()


@pytest.mark.parametrize(
  'content', [b'{', b'[]', b'\xff', b'{"PATH": 3}', b'DIGEST']
)
def test_a_damaged_cache_is_replaced(cache, file, reads, content):
  cache.parent.mkdir()
  known = {os.fspath(file): [*checksums._stamp(file)[1], 3]}
  content = content.replace(b'DIGEST', json.dumps(known).encode())
  cache.write_bytes(content.replace(b'PATH', os.fspath(file).encode()))
  for _ in range(2):
    assert checksums.of_unchanged(file) == expected(b'content')
  assert len(reads) == 1


def test_a_cache_that_cannot_be_written_is_told(cache, file, reads, capsys):
  cache.parent.write_text('not a folder')
  for _ in range(2):
    assert checksums.of_unchanged(file) == expected(b'content')
  assert len(reads) == 2
  assert 'cannot be kept in' in capsys.readouterr().err


@pytest.mark.usefixtures('cache')
def test_the_oldest_are_forgotten(tmp_path, reads, monkeypatch):
  monkeypatch.setattr(checksums, '_MAX_FILES', 2)
  for name in 'abc':
    (tmp_path / name).write_text(name)
    checksums.of_unchanged(tmp_path / name)
  reads.clear()
  for name in 'cba':
    checksums.of_unchanged(tmp_path / name)
  assert reads == [str(tmp_path / 'a')]


def test_the_default_is_in_the_home_directory(monkeypatch):
  monkeypatch.delenv('SAGAN_JAX_CACHE')
  monkeypatch.setenv('HOME', '/home/me')
  assert os.fspath(checksums.cache_dir()) == '/home/me/.cache/sagan_jax'
