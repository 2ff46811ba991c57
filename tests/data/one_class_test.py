"""Tests of data sets without labels."""

import numpy as np

from sagan_jax import data


def sources():
  src = data.make_source('shapes', image_size=8, num_examples=30)
  return src, data.unlabelled(src)


def test_images_stay_and_labels_go():
  labelled, src = sources()
  assert (src.num_classes, src.class_names) == (1, ('all',))
  assert (src.name, src.num_examples, src.image_size) == ('shapes', 30, 8)
  kwargs = dict(seed=1, batch_size=8, start=2, process_index=1, process_count=2)
  a, b = next(labelled.batches(**kwargs)), next(src.batches(**kwargs))
  np.testing.assert_array_equal(a['image'], b['image'])
  np.testing.assert_array_equal(b['label'], np.zeros(4))
  assert b['label'].dtype == np.int32
  (a,), (b,) = (s.examples(batch_size=99, start=3) for s in (labelled, src))
  np.testing.assert_array_equal(a['image'], b['image'])
  assert (len(b['label']), b['label'].max()) == (27, 0)


def test_is_another_data_set():
  labelled, src = sources()
  assert src.fingerprint != labelled.fingerprint
  assert data.changes(labelled.identity, src.identity) == [
    'labels: none are used instead of nothing'
  ]


def test_is_verified_as_its_source():
  labelled, src = sources()
  src.verify()
  calls = []
  labelled.verify = lambda: calls.append(1)
  src.verify()
  assert calls == [1]


def test_closing_closes_the_source():
  labelled, _ = sources()
  closed = []

  def examples(**_):
    try:
      while True:
        yield {'image': np.zeros(3), 'label': np.ones(3)}
    finally:
      closed.append(True)

  labelled.examples = examples
  reader = data.unlabelled(labelled).examples(batch_size=3)
  next(reader)
  reader.close()
  assert closed == [True]
