"""Tests of finding and downloading weights, against a server on this host."""

import contextlib
import dataclasses
import functools
import hashlib
import http.server
import io
import tarfile
import threading

import pytest

from sagan_jax import errors, files
from sagan_jax.inception import download, weights
from tests.support import gcs

CONTENT = b'weights' * 1000


@pytest.fixture
def server(tmp_path, monkeypatch):
  """Serves a folder; yields (folder, address)."""
  monkeypatch.setenv('no_proxy', '127.0.0.1')
  folder = tmp_path / 'served'
  folder.mkdir()
  handler = functools.partial(_QuietHandler, directory=folder)
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as httpd:
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield folder, f'http://127.0.0.1:{httpd.server_port}'
    httpd.shutdown()
    thread.join()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
  def log_message(self, *unused):
    pass


def _known(url, **changes):
  digest = hashlib.sha256(CONTENT).hexdigest()
  return dataclasses.replace(
    weights.TORCH_FILE, url=url, sha256=digest, **changes
  )


def _tar(path, members):
  with tarfile.open(path, 'w:gz') as archive:
    for name, content in members.items():
      info = tarfile.TarInfo(name)
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))


def test_a_given_path_is_returned_without_a_look_elsewhere(tmp_path):
  path = tmp_path / 'mine.pth'
  path.write_bytes(b'x')
  assert download.find_or_download(path, tmp_path / 'none', ()) == path


def test_a_given_path_that_is_missing_is_an_error(tmp_path):
  with pytest.raises(
    errors.UserError, match='at .*mine.pth; set --config.eval'
  ):
    download.find_or_download(tmp_path / 'mine.pth', tmp_path)


def test_the_cache_comes_before_the_network_and_whole_files_first(tmp_path):
  partial = tmp_path / weights.PARTIAL_FILE.filename
  partial.write_bytes(b'x')
  assert download.find_or_download(cache_dir=tmp_path) == partial
  graph = tmp_path / weights.GRAPH_FILE.filename
  graph.write_bytes(b'x')
  assert download.find_or_download(cache_dir=tmp_path) == graph


def test_downloads_and_then_finds(server, tmp_path):
  folder, address = server
  (folder / 'w.pth').write_bytes(CONTENT)
  known = (_known(f'{address}/w.pth'),)
  cache = tmp_path / 'new' / 'cache'
  path = download.find_or_download(cache_dir=cache, known_files=known)
  assert path == cache / weights.TORCH_FILE.filename
  assert path.read_bytes() == CONTENT
  (folder / 'w.pth').unlink()
  assert download.find_or_download(cache_dir=cache, known_files=known) == path


def test_takes_one_member_out_of_an_archive(server, tmp_path):
  folder, address = server
  members = {'../../evil': b'x', './graph.pb': CONTENT, 'LICENSE': b'y'}
  _tar(folder / 'w.tgz', members)
  known = (_known(f'{address}/w.tgz', archive_member='graph.pb'),)
  cache = tmp_path / 'cache'
  path = download.find_or_download(cache_dir=cache, known_files=known)
  assert path.read_bytes() == CONTENT
  assert list(cache.iterdir()) == [path]
  assert not (tmp_path.parent / 'evil').exists()


def test_a_wrong_download_is_refused_and_leaves_nothing(server, tmp_path):
  folder, address = server
  (folder / 'w.pth').write_bytes(b'<html>Please log in</html>')
  known = (_known(f'{address}/w.pth'),)
  cache = tmp_path / 'cache'
  with pytest.raises(
    errors.UserError, match='download of .* is not pt_inception'
  ):
    download.find_or_download(cache_dir=cache, known_files=known)
  assert not list(cache.iterdir())


def test_the_next_server_is_tried(server, tmp_path):
  folder, address = server
  (folder / 'w.pth').write_bytes(CONTENT)
  _tar(folder / 'empty.tgz', {'LICENSE': b'y'})
  (folder / 'cut.tgz').write_bytes((folder / 'empty.tgz').read_bytes()[:20])
  known = (
    _known(f'{address}/gone.pth'),
    _known(f'{address}/empty.tgz', archive_member='graph.pb'),
    _known(f'{address}/cut.tgz', archive_member='graph.pb'),
    _known(f'{address}/w.pth'),
  )
  path = download.find_or_download(cache_dir=tmp_path, known_files=known)
  assert path.read_bytes() == CONTENT


def test_without_file_and_network_it_says_what_to_do(server, tmp_path):
  _, address = server
  known = (
    _known('http://127.0.0.1:9/w.pth'),  # the discard port: nothing listens
    _known(f'{address}/gone.pth'),
    weights.PARTIAL_FILE,
  )
  with pytest.raises(errors.UserError) as error:
    download.find_or_download(cache_dir=tmp_path, known_files=known)
  text = str(error.value)
  assert 'http://127.0.0.1:9/w.pth' in text and '404' in text
  assert f'put it into {tmp_path}' in text
  assert '--config.eval.inception_path' in text


def test_weights_in_a_bucket_are_copied_once(tmp_path, monkeypatch):
  local = gcs.mock_gcs(monkeypatch, tmp_path / 'buckets')
  cache = tmp_path / 'cache'
  url = 'gs://b/deep/w.pth'
  with pytest.raises(errors.UserError, match=f'at {url}; set --config.eval'):
    download.find_or_download(url, cache)
  local(url).parent.mkdir(parents=True)
  local(url).write_bytes(CONTENT)
  copy = download.find_or_download(url, cache)
  assert copy.is_relative_to(cache) and copy.read_bytes() == CONTENT
  monkeypatch.setattr(files, 'write', None)
  assert download.find_or_download(url, cache) == copy


def test_a_bucket_can_be_the_cache_of_weights(tmp_path, monkeypatch):
  local = gcs.mock_gcs(monkeypatch, tmp_path / 'buckets')
  monkeypatch.setenv('HOME', str(tmp_path))
  assert download.find('gs://b/cache') is None
  there = local('gs://b/cache') / weights.GRAPH_FILE.filename
  there.parent.mkdir(parents=True)
  there.write_bytes(CONTENT)
  path = download.find_or_download(cache_dir='gs://b/cache')
  assert path.name == weights.GRAPH_FILE.filename
  assert path.read_bytes() == CONTENT
  home = tmp_path / '.cache' / 'sagan_jax'
  assert path.is_relative_to(home)
  assert download.local_cache('gs://b/cache') == home


def test_a_cache_that_cannot_be_written_is_named(server, tmp_path):
  folder, address = server
  (folder / 'w.pth').write_bytes(CONTENT)
  (tmp_path / 'cache').write_text('a file')
  with pytest.raises(errors.UserError, match=f'cannot write {tmp_path}/cache'):
    download.find_or_download(
      cache_dir=tmp_path / 'cache', known_files=(_known(f'{address}/w.pth'),)
    )


def test_a_full_disk_is_no_fault_of_the_server(server, tmp_path, monkeypatch):
  folder, address = server
  (folder / 'w.pth').write_bytes(CONTENT)

  class Full:
    def write(self, block):
      del block
      raise OSError(28, 'No space left on device')

  monkeypatch.setattr(
    files, 'replacing', lambda _: contextlib.nullcontext(Full())
  )
  with pytest.raises(errors.UserError, match='cannot write .*No space left'):
    download.find_or_download(
      cache_dir=tmp_path, known_files=(_known(f'{address}/w.pth'),)
    )
