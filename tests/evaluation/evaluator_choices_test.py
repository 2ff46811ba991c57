"""The extractor that a config asks for."""

import pytest

from sagan_jax import errors
from sagan_jax.evaluation import extractors
from sagan_jax.inception import weights
from tests.support import tiny


def _config(cache_dir, **changes):
  return tiny.config(eval__cache_dir=str(cache_dir), **changes)


def test_auto_takes_inception_where_its_file_is(tmp_path):
  c = _config(tmp_path, eval__extractor='auto')
  assert extractors.make_extractor(c).name == 'random-conv-seed-0'
  (tmp_path / weights.PARTIAL_FILE.filename).write_bytes(b'cut')
  with pytest.raises(
    errors.UserError, match='is truncated: 3 of 39,603,038 bytes'
  ):
    extractors.make_extractor(c)
  # Not where it is not wanted.
  c = _config(tmp_path, eval__extractor='random')
  assert extractors.make_extractor(c).name == 'random-conv-seed-0'


def test_the_real_inception_is_found(shared_data, tmp_path):
  path = shared_data / 'inception' / weights.PARTIAL_FILE.filename
  c = _config(
    tmp_path,
    eval__extractor='inception',
    eval__inception_path=str(path),
    eval__dtype='bfloat16',
  )
  found = extractors.make_extractor(c)
  assert found.name == 'inception-2015-12-05-to-mixed_8'
  assert found.dtype == 'bfloat16'
  assert found.digest == weights.PARTIAL_FILE.sha256


def test_no_inception_and_no_network_is_told(tmp_path, monkeypatch):
  def fail(*args, **kwargs):
    del args, kwargs
    raise OSError('no route to host')

  monkeypatch.setattr('urllib.request.urlopen', fail)
  with pytest.raises(errors.UserError) as e:
    extractors.make_extractor(_config(tmp_path, eval__extractor='inception'))
  text = str(e.value)
  assert 'no route to host' in text
  assert weights.TORCH_FILE.url in text
  assert f'put it into {tmp_path}' in text
  assert '--config.eval.inception_path' in text


@pytest.mark.parametrize('name', ['none.pth', 'other.pth', 'empty'])
def test_a_wrong_weights_file_is_refused(tmp_path, name):
  path = tmp_path / name
  if name == 'other.pth':
    path.write_bytes(b'not a network')
  elif name == 'empty':
    path.touch()
  c = _config(tmp_path, eval__inception_path=str(path), eval__extractor='auto')
  with pytest.raises(
    errors.UserError, match='--config.eval.inception_path'
  ) as e:
    extractors.make_extractor(c)
  assert str(path) in str(e.value)
