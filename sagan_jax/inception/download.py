"""Finds the Inception weights on disk, or downloads them.

A file is written under a temporary name, checked by SHA-256 and then renamed,
so that an interrupted download or two processes at once leave no broken file.
"""

import http.client
import pathlib
import tarfile
import urllib.request
import zlib

from sagan_jax.inception import weights

DEFAULT_CACHE_DIR = pathlib.Path('~/.cache/sagan_jax')
_BLOCK_BYTES = 1 << 20
# What a server, a proxy or a cut connection end in; URLError is an OSError.
_FAILURES = (
  OSError,
  EOFError,
  zlib.error,
  http.client.HTTPException,
  tarfile.TarError,
)


def find_or_download(
  path=None,
  cache_dir=DEFAULT_CACHE_DIR,
  known_files=weights.KNOWN_FILES,
  timeout_secs=30.0,
):
  """Returns the path of an Inception weights file.

  `path` if given; else a file in `cache_dir` that has a known name; else a
  download of the first of `known_files` whose server answers. Whole networks
  come before the partial one. The caller passes the result to `weights.load`,
  which checks the digest of a file that was found.

  Args:
    path: of a local file, or None.
    cache_dir: folder to look in and to download to; `~` is expanded.
    known_files: files to look for, in order of preference.
    timeout_secs: of each connection and read, seconds.

  Returns:
    pathlib.Path.

  Raises:
    FileNotFoundError: if `path` is given and is no file, or if there is no file
      and none could be downloaded; says where to get it and where to put it.
    ValueError: if a download has another digest than it should.
  """
  if path is not None:
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
      raise FileNotFoundError(
        f'no Inception weights at {path}; set {weights.PATH_KEY} to a file '
        'that exists, or to None to look in the cache and download'
      )
    return path
  cache_dir = pathlib.Path(cache_dir).expanduser()
  for known in known_files:
    if (cache_dir / known.filename).is_file():
      return cache_dir / known.filename
  failures = []
  for known in known_files:
    if known.url is None:
      continue
    try:
      return _download(known, cache_dir, timeout_secs)
    except _FAILURES as e:
      failures.append(f'{known.url} ({e})')
  raise FileNotFoundError(
    'no Inception weights: none in the cache, and no download worked. Tried '
    f'{"; ".join(failures) or "no address"}. On a machine with a network, get '
    f'one of these files and put it into {cache_dir}, or set '
    f'{weights.PATH_KEY} to it'
  )


def _download(known, cache_dir, timeout_secs):
  """Downloads one file; one of `_FAILURES` lets the caller try another."""
  cache_dir.mkdir(parents=True, exist_ok=True)
  target = cache_dir / known.filename
  with (
    urllib.request.urlopen(known.url, timeout=timeout_secs) as response,
    weights.atomic_file(target) as file,
  ):
    source = response
    if known.archive_member is not None:
      source = _open_member(response, known)
    while block := source.read(_BLOCK_BYTES):
      file.write(block)
    file.flush()
    _check_download(file.name, known)
  return target


def _open_member(response, known):
  """Opens one member of a gzipped tar stream; nothing is extracted to disk."""
  archive = tarfile.open(fileobj=response, mode='r|gz')
  for member in archive:
    name = pathlib.PurePosixPath(member.name).name
    if member.isfile() and name == known.archive_member:
      return archive.extractfile(member)
  raise tarfile.TarError(f'holds no {known.archive_member}')


def _check_download(path, known):
  """Refuses a download that is not the known file."""
  try:
    weights.identify(path, (known,))
  except ValueError as e:
    raise ValueError(
      f'the download of {known.url} is not {known.filename}: {e}'
    ) from e
