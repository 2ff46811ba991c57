"""A pretended `gs://`: buckets that are folders of a local directory."""

import os
import pathlib

from etils.epath import backend, gpath

from sagan_jax import files


def mock_gcs(monkeypatch, root):
  """Lets `etils.epath` find `gs://bucket/name` at `root/bucket/name`.

  As in the real one, an object can be written without its folder being made
  first, and nothing can be appended to it.

  Args:
    monkeypatch: pytest's; takes the pretence back after the test.
    root: an existing local directory; a bucket is a folder in it.

  Returns:
    A function from a `gs://` URL to the local `pathlib.Path` behind it.
  """
  bucket = _LocalBuckets(os.fspath(root))
  backends = {**gpath._PREFIX_TO_BACKEND, 'gs': bucket}
  monkeypatch.setattr(gpath, '_PREFIX_TO_BACKEND', backends)
  # Copies between a local path and a bucket take the bucket's backend.
  monkeypatch.setattr(gpath, '_GCS_BACKENDS', gpath._GCS_BACKENDS | {bucket})
  # Else epath would reach for the network through TensorFlow.
  monkeypatch.setattr(gpath, '_is_tf_installed', lambda: False)
  monkeypatch.setitem(files.PACKAGES, 'gs', 'os')  # No package is needed.
  return lambda url: pathlib.Path(bucket.local(url))


class _LocalBuckets(backend._OsPathBackend):
  """Does with local files what is asked of `gs://` ones."""

  _SCHEME = 'gs://'

  def __init__(self, root):
    self._root = root

  def local(self, path):
    """The local path of a URL; a local path is its own."""
    path = os.fspath(path)
    if not path.startswith(self._SCHEME):
      return path
    return os.path.join(self._root, path.removeprefix(self._SCHEME))

  def _url(self, path):
    return self._SCHEME + os.path.relpath(path, self._root)

  def open(self, path, mode):
    if 'a' in mode:
      raise NotImplementedError(f'{path}: objects cannot be appended to')
    if 'w' in mode:
      self._make_parent(path)
    return super().open(self.local(path), mode)

  def exists(self, path):
    return super().exists(self.local(path))

  def isdir(self, path):
    return super().isdir(self.local(path))

  def listdir(self, path):
    return super().listdir(self.local(path))

  def glob(self, path):
    return [self._url(p) for p in super().glob(self.local(path))]

  def walk(self, top, *, top_down=True, on_error=None):
    found = os.walk(self.local(top), topdown=top_down, onerror=on_error)
    for folder, folders, names in found:
      yield self._url(folder), folders, names

  def makedirs(self, path, *, exist_ok=False, mode=None):
    super().makedirs(self.local(path), exist_ok=exist_ok, mode=mode)

  def mkdir(self, path, *, exist_ok=False, mode=None):
    super().makedirs(self.local(path), exist_ok=exist_ok, mode=mode)

  def rmtree(self, path):
    super().rmtree(self.local(path))

  def remove(self, path):
    super().remove(self.local(path))

  def rename(self, path, dst):
    self._make_parent(dst)
    super().rename(self.local(path), self.local(dst))

  def replace(self, path, dst):
    self._make_parent(dst)
    super().replace(self.local(path), self.local(dst))

  def copy(self, path, dst, overwrite):
    self._make_parent(dst)
    super().copy(self.local(path), self.local(dst), overwrite)

  def stat(self, path):
    return super().stat(self.local(path))

  def _make_parent(self, path):
    os.makedirs(os.path.dirname(self.local(path)), exist_ok=True)
