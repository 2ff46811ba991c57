"""The cache of the real images' features."""

import dataclasses
import json
import os

import numpy as np
import pytest

from sagan_jax import errors
from sagan_jax.cluster import sharding
from sagan_jax.data import shapes
from sagan_jax.evaluation import extractors, features, reference
from tests.support import gcs

EXTRACTOR = extractors.random_conv_extractor()


@pytest.fixture(scope='module')
def extraction():
  return features.FeatureExtraction(EXTRACTOR, sharding.make_mesh(1), 16)


def _source(num_examples=50):
  return shapes.open_source(image_size=32, num_examples=num_examples)


class _Unreadable:
  """A data source that is known but must not be read."""

  def __init__(self, source, **changes):
    self.__dict__ |= {
      name: getattr(source, name)
      for name in ('name', 'num_examples', 'image_size', 'fingerprint')
    }
    self.__dict__ |= changes

  def examples(self, **kwargs):
    del kwargs
    raise AssertionError('the images were read')


def _make(source, extraction, cache_dir, num_images=50, keep_all=False):
  return reference.load_or_make(
    source,
    extraction,
    num_images=num_images,
    keep_all=keep_all,
    cache_dir=cache_dir,
  )


def _assert_equal(found, expected):
  assert found.count == expected.count
  np.testing.assert_array_equal(found.labels, expected.labels)
  for tap, x in expected.features.items():
    np.testing.assert_array_equal(found.features[tap], x)
    for name in ('count', 'mean', 'cov'):
      np.testing.assert_array_equal(
        getattr(found.moments[tap], name), getattr(expected.moments[tap], name)
      )


def test_a_second_evaluation_reads_no_images(extraction, tmp_path):
  made, cached = _make(_source(), extraction, tmp_path)
  assert not cached and made.count == 50 and made.complete
  found, cached = _make(_Unreadable(_source()), extraction, tmp_path)
  assert cached
  _assert_equal(found, made)
  # On another machine the same data may lie elsewhere.
  moved = _Unreadable(_source(), name='array:/elsewhere')
  assert _make(moved, extraction, tmp_path)[1]


def test_a_description_lies_beside_the_arrays(extraction, tmp_path):
  _make(_source(), extraction, tmp_path / 'new', num_images=40)
  (arrays,), (described,) = (
    list((tmp_path / 'new').glob(p)) for p in ('*.npz', '*.json')
  )
  assert arrays.stem == described.stem
  assert len(list((tmp_path / 'new').iterdir())) == 2  # No unfinished file.
  described = json.loads(described.read_text())
  assert described == reference.describe(_source(), EXTRACTOR, 40, 40)
  assert described['data'] == 'shapes'
  assert described['data_fingerprint'] == _source().fingerprint
  assert described['num_real'] == described['kept'] == 40
  assert described['extractor_digest'] == EXTRACTOR.digest
  assert described['taps'] == {'pooled': 224}


@pytest.mark.parametrize(
  'changes',
  [
    {'num_images': 49},
    {'num_images': None},
    {'source': _source(51)},
    {'extractor': extractors.random_conv_extractor(seed=1)},
    {'extractor': dataclasses.replace(EXTRACTOR, resize='other')},
    {'extractor': dataclasses.replace(EXTRACTOR, dtype='bfloat16')},
  ],
)
def test_another_reference_is_made_for_another_protocol(
  extraction, tmp_path, changes
):
  _make(_source(), extraction, tmp_path)
  source = changes.get('source', _source())
  if 'extractor' in changes:
    extraction = features.FeatureExtraction(
      changes['extractor'], sharding.make_mesh(1), 16
    )
  num_images = changes.get('num_images', 50)
  if num_images is None:  # All; which is what was made.
    assert _make(_Unreadable(source), extraction, tmp_path, None)[1]
    return
  with pytest.raises(AssertionError, match='the images were read'):
    _make(_Unreadable(source), extraction, tmp_path, num_images)
  assert not _make(source, extraction, tmp_path, num_images)[1]
  assert len(list(tmp_path.glob('*.npz'))) == 2


@pytest.mark.parametrize('damage', ['cut', 'empty', 'noise', 'lacks', 'flip'])
def test_a_damaged_reference_is_made_anew(extraction, tmp_path, damage):
  made, _ = _make(_source(), extraction, tmp_path)
  (path,) = tmp_path.glob('*.npz')
  content = path.read_bytes()
  if damage == 'lacks':
    np.savez(path, count=np.array(50))
  else:
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 255
    path.write_bytes(
      {
        'cut': content[: len(content) // 2],
        'empty': b'',
        'noise': b'noise' * 100,
        'flip': bytes(flipped),
      }[damage]
    )
  found, cached = _make(_source(), extraction, tmp_path)
  assert not cached
  _assert_equal(found, made)
  assert _make(_Unreadable(_source()), extraction, tmp_path)[1]


def test_a_reference_that_cannot_be_written_whole_is_not_there(
  extraction, tmp_path, monkeypatch
):
  def fail(file, **arrays):
    del arrays
    file.write(b'half')
    raise OSError('no space left')

  monkeypatch.setattr(np, 'savez', fail)
  with pytest.raises(
    errors.UserError, match='cannot write .*npz: no space left'
  ):
    _make(_source(), extraction, tmp_path)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('num_images', [51, 1, 0])
def test_more_reals_than_there_are_are_refused(
  extraction, tmp_path, num_images
):
  match = (
    rf'{num_images} real images were asked for, shapes has 50; set '
    r'--config\.eval\.num_reals'
  )
  with pytest.raises(errors.UserError, match=match):
    _make(_Unreadable(_source()), extraction, tmp_path, num_images)


def test_few_rows_are_kept_of_many_images_unless_all_are_needed(
  extraction, tmp_path, monkeypatch
):
  monkeypatch.setattr(reference, 'MAX_KEPT', 20)
  found, _ = _make(_source(), extraction, tmp_path)
  assert found.count == 50 and len(found.labels) == 20 and not found.complete
  again, cached = _make(_Unreadable(_source()), extraction, tmp_path)
  assert cached
  _assert_equal(again, found)
  whole, cached = _make(_source(), extraction, tmp_path, keep_all=True)
  assert not cached and whole.complete


def test_processes_make_a_reference_together_if_one_lacks_it(
  extraction, tmp_path, monkeypatch
):
  made, _ = _make(_source(), extraction, tmp_path)
  # Another process says that it has found none.
  monkeypatch.setattr(
    sharding,
    'gather_rows',
    lambda x: np.append(x, False) if x.dtype == bool else x,
  )
  found, cached = _make(_source(), extraction, tmp_path)
  assert not cached
  _assert_equal(found, made)


def test_a_bucket_can_be_the_cache(extraction, tmp_path, monkeypatch):
  local = gcs.mock_gcs(monkeypatch, tmp_path)
  made, cached = _make(_source(), extraction, 'gs://b/cache')
  assert not cached
  found, cached = _make(_Unreadable(_source()), extraction, 'gs://b/cache')
  assert cached
  _assert_equal(found, made)
  assert sorted(p.suffix for p in local('gs://b/cache').iterdir()) == [
    '.json',
    '.npz',
  ]


def test_only_one_process_writes_to_a_bucket(extraction, tmp_path, monkeypatch):
  local = gcs.mock_gcs(monkeypatch, tmp_path)
  with monkeypatch.context() as patch:
    patch.setattr(reference.jax, 'process_index', lambda: 1)
    patch.setattr(reference.features_lib, 'source_batches', lambda *_: iter([]))
    patch.setattr(extraction, 'collect', lambda *_, **__: None)
    _make(_source(), extraction, 'gs://b/cache')
  assert not local('gs://b/cache').exists()


def test_files_have_the_permissions_of_the_umask(extraction, tmp_path):
  before = os.umask(0o027)
  try:
    _make(_source(), extraction, tmp_path)
  finally:
    os.umask(before)
  assert {p.stat().st_mode & 0o777 for p in tmp_path.iterdir()} == {0o640}


def test_a_reference_that_is_not_what_was_written_is_made_anew(
  extraction, tmp_path, capsys
):
  """Also if its zip archive is sound; colleagues can read what is there."""
  before = os.umask(0o022)
  try:
    made, _ = _make(_source(), extraction, tmp_path)
  finally:
    os.umask(before)
  (path,) = tmp_path.glob('*.npz')
  assert path.stat().st_mode & 0o777 == 0o644
  with np.load(path) as file:
    arrays = dict(file)
  arrays['pooled/mean'] = arrays['pooled/mean'] + 1
  np.savez(path, **arrays)
  again, cached = _make(_source(), extraction, tmp_path)
  assert not cached
  _assert_equal(again, made)
  assert 'its digest is not that of its arrays), and is made anew' in (
    capsys.readouterr().err
  )
