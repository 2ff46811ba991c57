"""Tests of the pretended `gs://`."""

import os

import pytest
from etils import epath

from sagan_jax import files
from tests.support import gcs


def test_does_what_paths_do(monkeypatch, tmp_path):
  local = gcs.mock_gcs(monkeypatch, tmp_path)
  root = files.as_path('gs://bucket/run')
  assert not root.exists()
  files.write(root / 'a' / 'x.json', '{"x": 1}')  # Its folder is not made.
  assert local('gs://bucket/run/a/x.json').read_text() == '{"x": 1}'
  assert files.read_json(root / 'a' / 'x.json') == {'x': 1}
  assert [os.fspath(p) for p in root.iterdir()] == ['gs://bucket/run/a']
  assert [os.fspath(p) for p in root.glob('*/*.json')] == [
    'gs://bucket/run/a/x.json'
  ]
  assert [(os.fspath(t), d, f) for t, d, f in root.walk()] == [
    ('gs://bucket/run', ['a'], []),
    ('gs://bucket/run/a', [], ['x.json']),
  ]
  assert ((root / 'a').is_dir(), (root / 'a').is_file()) == (True, False)
  assert (root / 'a' / 'x.json').stat().length == 8
  copy = tmp_path / 'copy'
  (root / 'a' / 'x.json').copy(copy)
  epath.Path(copy).copy(root / 'b' / 'y')
  (root / 'b' / 'y').rename(root / 'c' / 'z')
  assert (root / 'c' / 'z').read_text() == '{"x": 1}'
  (root / 'd').mkdir(parents=True)
  (root / 'd').rmtree()
  (root / 'c' / 'z').unlink()
  assert sorted(p.name for p in root.iterdir()) == ['a', 'b', 'c']


def test_objects_cannot_be_appended_to(monkeypatch, tmp_path):
  gcs.mock_gcs(monkeypatch, tmp_path)
  with pytest.raises(NotImplementedError, match='gs://b/x: objects cannot be'):
    files.as_path('gs://b/x').open('a')


def test_ends_with_the_test(tmp_path):
  with pytest.MonkeyPatch.context() as monkeypatch:
    gcs.mock_gcs(monkeypatch, tmp_path)
    epath.Path('gs://b/x').write_text('y')
    backend = epath.Path('gs://b/x')._backend
  assert epath.Path('gs://b/x')._backend is not backend
