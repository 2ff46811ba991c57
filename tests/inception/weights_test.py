"""Tests of loading weights: every format, digests, damage, and the cache."""

import dataclasses
import hashlib
import os

import jax
import numpy as np
import pytest

from sagan_jax import errors
from sagan_jax.formats import torch_file
from sagan_jax.inception import convert, graph_file, weights
from tests.support import evaluation_fakes as fakes


@pytest.fixture(scope='module')
def state():
  return fakes.random_state_dict()


def _known(path, like):
  """Returns `like` with the digest of a test's own file."""
  digest = hashlib.sha256(path.read_bytes()).hexdigest()
  return (dataclasses.replace(like, sha256=digest, num_bytes=None),)


def _equal(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_known_digests_are_the_published_ones():
  by_name = {known.filename: known for known in weights.KNOWN_FILES}
  torch = by_name['pt_inception-2015-12-05-6726825d.pth']
  # torch hub names a file after the first eight digits of its SHA-256.
  assert torch.filename.endswith(f'-{torch.sha256[:8]}.pth')
  graph = by_name['classify_image_graph_def.pb']
  assert graph.sha256.startswith('009d6814d1bc') and len(graph.sha256) == 64
  assert [known.partial for known in weights.KNOWN_FILES] == [
    False,
    False,
    True,
  ]


def test_loads_a_state_dict(tmp_path, state):
  path = tmp_path / 'any-name.bin'
  fakes.write_torch_legacy(path, state)
  known = _known(path, weights.TORCH_FILE)
  params, identity = weights.load(path, known_files=known)
  _equal(params, convert.from_state_dict(state))
  assert identity == weights.Identity(
    'inception-2015-12-05', known[0].sha256, partial=False
  )


def test_loads_a_state_dict_of_torch_itself(tmp_path, state):
  torch = pytest.importorskip('torch', reason='writes a file with torch.save')
  path = tmp_path / 'w.pth'
  torch.save({k: torch.from_numpy(v) for k, v in state.items()}, path)
  params, _ = weights.load(path, known_files=_known(path, weights.TORCH_FILE))
  _equal(params, convert.from_state_dict(state))


def _write_graph(path, state):
  tf = pytest.importorskip('tensorflow', reason='writes a frozen graph')
  graph = tf.compat.v1.GraphDef()
  for name, value in fakes.graph_constants(state).items():
    node = graph.node.add(name=name, op='Const')
    node.attr['dtype'].type = tf.float32.as_datatype_enum
    node.attr['value'].tensor.CopyFrom(tf.make_tensor_proto(value))
  for name in convert.TORCH_LAYERS:
    node = graph.node.add(
      name=f'{name}/batchnorm', op='BatchNormWithGlobalNormalization'
    )
    node.attr['variance_epsilon'].f = 1e-3
    node.attr['scale_after_normalization'].b = False
  other = graph.node.add(name='pool_3/_reshape/shape', op='Const')
  other.attr['dtype'].type = tf.int32.as_datatype_enum
  other.attr['value'].tensor.CopyFrom(tf.make_tensor_proto([-1, 2048]))
  path.write_bytes(graph.SerializeToString())


def test_a_graph_is_read_once_and_then_from_its_converted_copy(
  tmp_path, state, monkeypatch
):
  path, cache = tmp_path / 'graph.pb', tmp_path / 'deep' / 'cache'
  _write_graph(path, state)
  known = _known(path, weights.GRAPH_FILE)
  params, identity = weights.load(path, cache, known_files=known)
  # Epsilon is float32 in the graph: 0.0010000000475, hence not bit-equal.
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8),
    params,
    convert.from_state_dict(fakes.without_gamma(state)),
  )
  assert (identity.sha256, identity.partial) == (known[0].sha256, False)

  def fail(path):
    raise AssertionError(f'{path} was read a second time')

  monkeypatch.setattr(graph_file, 'read_frozen_graph', fail)
  again, identity_again = weights.load(path, cache, known_files=known)
  _equal(again, params)
  assert identity_again == identity
  (copy,) = cache.iterdir()  # and no temporary file
  copy.write_bytes(copy.read_bytes()[:1000])
  with pytest.raises(errors.UserError, match='damaged or truncated.*delete it'):
    weights.load(path, cache, known_files=known)


def test_a_damaged_graph_is_refused(tmp_path):
  pytest.importorskip('tensorflow', reason='reads a frozen graph')
  path = tmp_path / 'graph.pb'
  path.write_bytes(b'\x0a\xff\xff\xff')
  with pytest.raises(graph_file.GraphFileError, match='no frozen TensorFlow'):
    weights.load(path, known_files=_known(path, weights.GRAPH_FILE))


def test_a_graph_without_tensorflow_names_the_other_file(tmp_path, monkeypatch):
  path = tmp_path / 'graph.pb'
  path.write_bytes(b'')
  monkeypatch.setitem(__import__('sys').modules, 'tensorflow', None)
  with pytest.raises(
    errors.UserError, match='use pt_inception-2015-12-05-6726825d'
  ):
    weights.load(path, known_files=_known(path, weights.GRAPH_FILE))


def test_the_partial_file_loads_and_says_so(shared_data):
  path = shared_data / 'inception' / weights.PARTIAL_FILE.filename
  params, identity = weights.load(path)
  assert len(params) == 76
  assert identity.partial and identity.name == 'inception-2015-12-05-to-mixed_8'
  assert identity.sha256 == weights.PARTIAL_FILE.sha256


def test_a_missing_file_names_the_key(tmp_path):
  with pytest.raises(
    errors.UserError, match=r'no Inception weights at .*inception_path'
  ):
    weights.load(tmp_path / 'none.pth')


def test_a_wrong_file_is_refused_by_digest(tmp_path):
  path = tmp_path / weights.TORCH_FILE.filename  # a right name does not help
  fakes.write_torch_zip(path, {'w': np.zeros(3, np.float32)})
  os.truncate(path, weights.TORCH_FILE.num_bytes)  # Nor does the right size.
  digest = hashlib.sha256(path.read_bytes()).hexdigest()
  with pytest.raises(
    errors.UserError, match=f'SHA-256 {digest}, which is no known'
  ):
    weights.load(path)


def test_a_truncated_file_is_called_truncated(tmp_path):
  path = tmp_path / weights.GRAPH_FILE.filename
  path.write_bytes(b'\x0a' * 1000)
  with pytest.raises(
    errors.UserError, match='truncated: 1,000 of 95,673,916 bytes'
  ):
    weights.load(path)


def test_a_file_of_right_digest_and_wrong_content_is_refused(tmp_path):
  path = tmp_path / 'w.pth'
  path.write_bytes(b'not a torch file')
  with pytest.raises(torch_file.TorchFileError, match='damaged'):
    weights.load(path, known_files=_known(path, weights.TORCH_FILE))


def test_a_file_that_cannot_be_read_is_told(tmp_path, monkeypatch):
  path = tmp_path / 'w.pth'
  path.touch()

  def refuse(*args, **kwargs):
    del args, kwargs
    raise PermissionError(13, 'Permission denied')

  monkeypatch.setattr('builtins.open', refuse)
  with pytest.raises(errors.UserError, match='cannot read .*Permission denied'):
    weights.identify(path)
