"""Loads Inception weights, checked by digest, with what they are.

Three files are known: the two published forms of the whole network, and a
partial one up to mixed_8. A file is recognised by its SHA-256, never by its
name, and one that is not known is refused: a score from unknown weights means
nothing. `download` gets the file; nothing here needs a network.
"""

import dataclasses
import hashlib
import pathlib

import numpy as np

from sagan_jax import errors, files
from sagan_jax.formats import npz_file, torch_file
from sagan_jax.inception import convert, graph_file, network

PATH_KEY = '--config.eval.inception_path'  # what error texts tell users to set

_FULL_NAME = 'inception-2015-12-05'


@dataclasses.dataclass(frozen=True)
class WeightsFile:
  """A file whose contents are known."""

  filename: str
  sha256: str  # hex
  reader: str  # 'torch', 'graph' or 'arrays'
  num_bytes: int | None = None  # The most that are read of a download.
  url: str | None = None
  archive_member: str | None = (
    None  # of the .tgz at `url`; None: the file itself
  )
  name: str = _FULL_NAME
  partial: bool = False  # ends at mixed_8: no 2048, no logits


TORCH_FILE = WeightsFile(
  filename='pt_inception-2015-12-05-6726825d.pth',
  # Its first digits are in its name, by torch hub's rule; all of them are
  # written in many projects that use it, and the number of bytes too.
  sha256='6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2',
  reader='torch',
  num_bytes=95_628_359,
  url=(
    'https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/'
    'pt_inception-2015-12-05-6726825d.pth'
  ),
)
GRAPH_FILE = WeightsFile(
  filename='classify_image_graph_def.pb',
  sha256='009d6814d1bc560d4e7b236e170e9b2d5ca6f4b57bd8037f6db05776204415c6',
  reader='graph',
  num_bytes=95_673_916,
  url=(
    'http://download.tensorflow.org/models/image/imagenet/'
    'inception-2015-12-05.tgz'
  ),
  archive_member='classify_image_graph_def.pb',
)
PARTIAL_FILE = WeightsFile(
  filename='inception_2015_12_05_to_mixed8_bnfolded_f32.npz',
  sha256='c742946d3b61819606d7a819ef51ddd111d1745df63671038c940cb46b672987',
  reader='arrays',
  num_bytes=39_603_038,
  name=f'{_FULL_NAME}-to-mixed_8',
  partial=True,
)
# In order of preference: the first needs no TensorFlow.
KNOWN_FILES = (TORCH_FILE, GRAPH_FILE, PARTIAL_FILE)


@dataclasses.dataclass(frozen=True)
class Identity:
  """What was loaded, for the protocol of a score."""

  name: str
  sha256: str  # hex, of the file as published
  partial: bool  # ends at mixed_8: its metrics are fid_768, never fid


def load(path, cache_dir=None, known_files=KNOWN_FILES):
  """Loads a weights file.

  Args:
    path: of one of `known_files`, local, under any name.
    cache_dir: local folder for the arrays converted from a frozen graph, so that
      TensorFlow reads it once; None puts them beside the graph.
    known_files: files to accept.

  Returns:
    (params, Identity): the tree of `inception`, numpy float32.

  Raises:
    UserError: if the file is missing, truncated, unknown, or not what it should
      be, or is a graph and TensorFlow is not installed.
  """
  path = pathlib.Path(path)
  sha256, known = identify(path, known_files)
  if known.reader == 'torch':
    params = convert.from_state_dict(torch_file.read_state_dict(path))
  elif known.reader == 'graph':
    params = _load_graph(path, sha256, pathlib.Path(cache_dir or path.parent))
  else:
    params = _load_arrays(path, ('1280',) if known.partial else ('logits',))
  return params, Identity(known.name, sha256, known.partial)


def identify(path, known_files=KNOWN_FILES):
  """Finds which known file this is, by its digest.

  Args:
    path: of a file.
    known_files: files to accept.

  Returns:
    (sha256, WeightsFile).

  Raises:
    UserError: if there is no such file, or its digest is none of theirs; says
      so when the file has a known name but fewer bytes.
  """
  path = pathlib.Path(path)
  if not path.is_file():
    raise errors.UserError(
      f'no Inception weights at {path}; set {PATH_KEY} to one of '
      f'{[known.filename for known in known_files]}'
    )
  try:
    with files.open_file(path) as file:
      sha256 = hashlib.file_digest(file, 'sha256').hexdigest()
  except OSError as e:
    raise errors.UserError(
      f'cannot read the Inception weights {path}: {e.strerror or e}; mend that '
      f'or set {PATH_KEY}'
    ) from e
  for known in known_files:
    if sha256 == known.sha256:
      return sha256, known
  size = path.stat().st_size
  for known in known_files:
    if known.filename == path.name and size < (known.num_bytes or 0):
      raise errors.UserError(
        f'{path} is truncated: {size:,} of {known.num_bytes:,} bytes; get it '
        f'again, or set {PATH_KEY} to a whole file'
      )
  accepted = ', '.join(f'{k.filename} ({k.sha256[:8]}...)' for k in known_files)
  raise errors.UserError(
    f'{path} has SHA-256 {sha256}, which is no known Inception file: it is '
    f'damaged, cut short or another network. Accepted: {accepted}; '
    f'set {PATH_KEY}'
  )


def _load_graph(path, sha256, cache_dir):
  """Loads a frozen graph, from its converted copy where there is one."""
  copy = cache_dir / f'inception-converted-{sha256[:16]}.npz'
  if copy.is_file():
    return _load_arrays(copy, ('logits',))
  params = convert.from_frozen_graph(*graph_file.read_frozen_graph(path))
  arrays = convert.to_flat(params)
  arrays[npz_file.DIGEST] = npz_file.digest(arrays)
  with files.writing(copy):
    cache_dir.mkdir(parents=True, exist_ok=True)
    with files.replacing(copy) as file:
      np.savez(file, **arrays)
  return params


def _load_arrays(path, taps):
  """Loads an `.npz` of folded kernels and biases."""
  shapes = convert.to_flat(network.param_shapes(taps))
  try:
    return convert.from_flat(npz_file.read(path, shapes), taps)
  except (ValueError, OSError) as e:
    raise errors.UserError(
      f'{path} is damaged or truncated: {e}; delete it, or get it again'
    ) from e
