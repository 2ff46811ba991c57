"""Finds the Inception weights, or downloads them.

A file is written under a temporary name, checked by SHA-256 and then renamed,
so that an interrupted download or two processes at once leave no broken file.
Readers need a local file: weights in a bucket are copied into the local cache.
"""

import hashlib
import http.client
import pathlib
import tarfile
import urllib.request
import zlib

from sagan_jax import errors, files
from sagan_jax.inception import weights

DEFAULT_CACHE_DIR = '~/.cache/sagan_jax'
_BLOCK_BYTES = 1 << 20
_MAX_BYTES = 2**28  # Of a file whose size is not known.
# What a server, a proxy or a cut connection end in; URLError is an OSError.
_FAILURES = (
  OSError,
  EOFError,
  zlib.error,
  http.client.HTTPException,
  tarfile.TarError,
)


def local_cache(cache_dir):
  """The folder of this machine for a cache that may be a bucket."""
  path = files.as_path(cache_dir)
  if files.is_remote(path):
    path = files.as_path(DEFAULT_CACHE_DIR)
  return pathlib.Path(path)


def find(cache_dir, known_files=weights.KNOWN_FILES):
  """The path of the first known file in a cache, or None."""
  folder = files.as_path(cache_dir)
  for known in known_files:
    if (folder / known.filename).exists():
      return folder / known.filename
  return None


def find_or_download(
  path=None,
  cache_dir=DEFAULT_CACHE_DIR,
  known_files=weights.KNOWN_FILES,
  timeout_secs=30.0,
):
  """Returns the local path of an Inception weights file.

  `path` if given; else a file in `cache_dir` that has a known name; else a
  download of the first of `known_files` whose server answers. Whole networks
  come before the partial one. The caller passes the result to `weights.load`,
  which checks the digest of a file that was found.

  Args:
    path: of a file, or None; local or a URL such as `gs://b/weights.pth`.
    cache_dir: folder to look in and to download to; for a bucket, downloads
      and copies go to `local_cache`.
    known_files: files to look for, in order of preference.
    timeout_secs: of each connection and read, seconds.

  Returns:
    pathlib.Path.

  Raises:
    UserError: if `path` is given and is no file; if there is no file and none
      could be downloaded (says where to get it and where to put it); if a
      download has another digest than it should; or if it cannot be written.
  """
  cache = local_cache(cache_dir)
  if path is not None:
    path = files.as_path(path)
    if not path.is_file():
      raise errors.UserError(
        f'no Inception weights at {path}; set {weights.PATH_KEY} to a file '
        'that exists, or to None to look in the cache and download'
      )
    return _local_copy(path, cache)
  found = find(cache_dir, known_files) or find(cache, known_files)
  if found is not None:
    return _local_copy(found, cache)
  failures = []
  for known in known_files:
    if known.url is None:
      continue
    try:
      return _download(known, cache, timeout_secs)
    except _FAILURES as e:
      failures.append(f'{known.url} ({e})')
  raise errors.UserError(
    'no Inception weights: none in the cache, and no download worked. Tried '
    f'{"; ".join(failures) or "no address"}. On a machine with a network, get '
    f'one of these files and put it into {cache}, or set {weights.PATH_KEY} to '
    'it'
  )


def _local_copy(path, cache):
  """The path itself, or for a remote file that of a copy in the cache."""
  if not files.is_remote(path):
    return pathlib.Path(path)
  # By address, as two buckets may hold different files of one name.
  address = hashlib.sha256(str(path).encode()).hexdigest()[:16]
  copy = cache / 'copies' / address / path.name
  if not copy.is_file() or copy.stat().st_size != path.stat().length:
    _make_folder(copy.parent)
    files.write(copy, files.read(path, _MAX_BYTES))
  return copy


def _make_folder(folder):
  with files.writing(folder):
    folder.mkdir(parents=True, exist_ok=True)


def _download(known, cache_dir, timeout_secs):
  """Downloads one file; one of `_FAILURES` lets the caller try another."""
  _make_folder(cache_dir)
  target = cache_dir / known.filename
  with (
    urllib.request.urlopen(known.url, timeout=timeout_secs) as response,
    files.replacing(target) as file,
  ):
    source, digest = response, hashlib.sha256()
    if known.archive_member is not None:
      source = _open_member(response, known)
    left = known.num_bytes if known.num_bytes is not None else _MAX_BYTES
    while block := source.read(min(_BLOCK_BYTES, left + 1)):
      left -= len(block)
      if left < 0:
        raise OSError('it has more bytes than that file')
      with files.writing(target):  # A full disk is no fault of the server.
        file.write(block)
      digest.update(block)
    if digest.hexdigest() != known.sha256:
      raise errors.UserError(
        f'the download of {known.url} is not {known.filename}: its SHA-256 is '
        f'{digest.hexdigest()}, not {known.sha256}; get the file in another '
        f'way and set {weights.PATH_KEY} to it'
      )
  return target


def _open_member(response, known):
  """Opens one member of a gzipped tar stream; nothing is extracted to disk."""
  archive = tarfile.open(fileobj=response, mode='r|gz')
  for member in archive:
    name = pathlib.PurePosixPath(member.name).name
    if member.isfile() and name == known.archive_member:
      return archive.extractfile(member)
  raise tarfile.TarError(f'holds no {known.archive_member}')
