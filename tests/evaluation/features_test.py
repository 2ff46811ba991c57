"""Features: every image once, whatever the batches and the mesh."""

import functools

import jax
import numpy as np
import pytest

from sagan_jax.cluster import sharding
from sagan_jax.data import indexed, shapes
from sagan_jax.evaluation import extractors, features
from sagan_jax.metrics import moments


def _numbered(n, calls=None):
  """A source whose image i holds i in its first two bytes, and the label."""

  def gather(index):
    if calls is not None:
      calls.append(len(index))
    image = np.full((len(index), 8, 8, 3), 255, np.uint8)
    image[:, 0, 0, 0], image[:, 0, 0, 1] = index % 256, index // 256
    return {'image': image, 'label': (index % 5).astype(np.int32)}

  return indexed.IndexedSource(
    lambda indices: map(gather, indices),
    name='numbered',
    num_examples=n,
    class_names=tuple('abcde'),
    image_size=8,
    identity={'name': f'numbered-{n}'},
  )


# The number of an image; padding would read as zeros, and the third be zero.
NUMBER = extractors.callable_extractor(
  lambda images: images[:, 0, 0].astype(np.float32) @ np.diag([1.0, 256, 1]),
  name='number',
  digest='0',
  dims=3,
)


def _extraction(batch_size, num_devices=1, extractor=NUMBER):
  mesh = sharding.make_mesh(num_devices)
  return features.FeatureExtraction(extractor, mesh, batch_size)


def _numbers(found):
  x = found.features['features']
  assert (x[:, 2] == 255).all()
  return (x[:, 0] + x[:, 1]).astype(int)


def _collect(extraction, source, num_images, **kwargs):
  batches = features.source_batches(source, num_images, extraction.batch_size)
  return extraction.collect(batches, num_images, **kwargs)


@pytest.mark.parametrize('batch_size', [1, 7, 8, 300, 1000])
def test_every_image_counts_once_in_its_place(batch_size):
  source = _numbered(300)
  found = _collect(_extraction(batch_size), source, 300)
  np.testing.assert_array_equal(_numbers(found), np.arange(300))
  np.testing.assert_array_equal(found.labels, np.arange(300) % 5)
  assert found.count == 300 and found.complete
  expected = moments.from_features(found.features['features'])
  np.testing.assert_array_equal(found.moments['features'].cov, expected.cov)
  assert found.moments['features'].count == 300


@pytest.mark.parametrize('num_images', [2, 99, 100, 299])
def test_fewer_images_are_evenly_spaced(num_images):
  source = _numbered(300)
  numbers = _numbers(_collect(_extraction(16), source, num_images))
  assert len(numbers) == num_images and numbers[0] == 0
  assert set(np.diff(numbers)) <= {300 // num_images, -(-300 // num_images)}


@pytest.mark.parametrize('keep', [2, 64, 299])
def test_moments_are_of_all_images_where_few_are_kept(keep):
  source = _numbered(300)
  whole = _collect(_extraction(16), source, 300)
  found = _collect(_extraction(16), source, 300, keep=keep)
  assert found.count == 300 and not found.complete
  numbers = _numbers(found)
  assert len(numbers) == len(found.labels) == keep and numbers[0] == 0
  assert set(np.diff(numbers)) <= {300 // keep, -(-300 // keep)}
  np.testing.assert_array_equal(found.labels, numbers % 5)
  for name in ('mean', 'cov'):
    np.testing.assert_allclose(
      getattr(found.moments['features'], name),
      getattr(whole.moments['features'], name),
      rtol=1e-12,
      atol=1e-9,
    )


@pytest.mark.parametrize('count', [299, 301])
def test_another_count_than_was_asked_for_is_refused(count):
  extraction, source = _extraction(16), _numbered(300)
  batches = features.source_batches(source, 300, 16)
  match = f'{count} images were to be evaluated, 300 were; the data set has'
  with pytest.raises(ValueError, match=match):
    extraction.collect(batches, count)


def test_progress_is_told_after_every_batch_of_a_cpu():
  told = []
  _collect(_extraction(128), _numbered(300), 300, say=told.append)
  assert told == [20 * i for i in range(1, 16)]


@pytest.mark.parametrize('keep', [None, 40])
@pytest.mark.parametrize('num_processes', [2, 3, 7])
def test_processes_share_the_images(monkeypatch, num_processes, keep):
  """What each process holds, one after the other, is what one would hold."""
  source, num_images = _numbered(211), 150
  extraction = _extraction(16)
  alone = _collect(extraction, source, num_images, keep=keep)
  monkeypatch.setattr(jax, 'process_count', lambda: num_processes)
  parts = []
  for i in range(num_processes):
    monkeypatch.setattr(jax, 'process_index', lambda i=i: i)
    # The counts of all processes, but only the rows of this one.
    monkeypatch.setattr(
      sharding,
      'gather_rows',
      lambda x: np.array([[num_images, 0]]) if x.dtype == np.int64 else x,
    )
    monkeypatch.setattr(moments.MomentsAccumulator, 'finish', lambda _: None)
    monkeypatch.setattr(features, '_gathered_moments', lambda part: part)
    parts.append(
      _collect(
        extraction,
        source,
        num_images,
        keep=keep,
        first=features.share_start(source, num_images),
      )
    )
  assert all(len(part.labels) for part in parts)
  np.testing.assert_array_equal(
    np.concatenate([_numbers(part) for part in parts]), _numbers(alone)
  )


@functools.cache
def _random_features(num_devices, batch_size):
  source = shapes.open_source(image_size=32, num_examples=100)
  extractor = extractors.random_conv_extractor()
  return _collect(_extraction(batch_size, num_devices, extractor), source, 100)


@pytest.mark.parametrize(
  ('num_devices', 'batch_size'), [(3, 24), (8, 24), (3, 20), (8, 64), (1, 7)]
)
def test_features_do_not_depend_on_devices_or_batches(num_devices, batch_size):
  expected = _random_features(1, 24).features['pooled']
  assert expected.std(0).min() > 1e-3  # They do tell images apart.
  found = _random_features(num_devices, batch_size).features['pooled']
  np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_images_of_an_array_on_the_device_are_taken_as_they_are():
  extraction = _extraction(8)
  batch = next(_numbered(8).examples(batch_size=8))
  image = jax.device_put(batch['image'])
  found = extraction.collect([(image, batch['label'][:3])], 3)
  np.testing.assert_array_equal(_numbers(found), [0, 1, 2])


def test_every_device_computes_its_share_only():
  """Of 20 images on 8 devices each has three."""
  extractor = extractors.random_conv_extractor()

  def flops(num_devices):
    extraction = _extraction(20, num_devices, extractor)
    images = np.zeros((extraction.batch_size, 32, 32, 3), np.uint8)
    split = sharding.split_batch(sharding.make_mesh(num_devices))
    program = extraction.compile(lambda x: (x, True))
    lowered = program.lower(extraction.params, jax.device_put(images, split))
    return lowered.compile().cost_analysis()['flops']

  assert flops(8) == pytest.approx(flops(1) * 3 / 20, rel=0.02)


def test_images_that_are_not_finite_are_counted():
  extraction = _extraction(4)
  program = extraction.compile(lambda x, finite: (x, finite))
  images = np.zeros((4, 8, 8, 3), np.uint8)
  # The last of the second batch is padding.
  work = [
    (functools.partial(program, extraction.params, images, finite), label)
    for finite, label in (
      (np.array([True, False, True, True]), np.zeros(4, int)),
      (np.array([False, True, True, False]), np.zeros(3, int)),
    )
  ]
  assert extraction.collect_computed(work, 7).num_bad == 2
