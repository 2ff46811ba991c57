"""What the attention of a run's networks looks at."""

import numpy as np
import pytest

import sagan_jax
from sagan_jax import data, errors
from sagan_jax.data import shape_masks, shapes
from sagan_jax.gan import attention_maps
from sagan_jax.run import attention
from tests.support import known_attention


@pytest.fixture(autouse=True, scope='module')
def known_networks():
  with known_attention.networks():
    yield


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  directory = tmp_path_factory.mktemp('known') / 'run'
  known_attention.saved(directory)
  return directory


def test_one_call_returns_the_arrays(workdir):
  run = sagan_jax.open_run(workdir)
  views = run.attention(['ring', 3], seed=4)
  assert list(views) == ['generator', 'discriminator']
  for view in views.values():
    np.testing.assert_array_equal(view.labels, [1, 3])
    # The blocks of the known generator add nothing to an image.
    shown = view.images.astype(int)
    assert abs(shown - run.sample(['ring', 3], seed=4)).max() <= 1
  rows = views['generator'].blocks['attention_16'].rows
  np.testing.assert_array_equal(rows, np.full((2, 16, 16, 8, 8), 1 / 64))
  assert views['discriminator'].blocks['attention_8'].gate == 0


@pytest.mark.parametrize(
  ('arguments', 'match'),
  [
    ({'labels': [10]}, r'label 10 must be an integer in \[0, 10\)'),
    ({'seed': -1}, r'seed=-1 must be an integer in \[0, 2\*\*31\)'),
    ({'weights': 'mean'}, "weights='mean' must be one of ema, raw"),
    ({'step': 3}, r'has no checkpoint of step 3, only of \[2, 4\]'),
  ],
)
def test_arguments_that_cannot_be_are_refused(workdir, arguments, match):
  with pytest.raises(errors.UserError, match=match):
    sagan_jax.open_run(workdir).attention(**{'labels': [1]} | arguments)


def test_known_maps_are_measured_as_what_they_are(workdir):
  run = sagan_jax.open_run(workdir)
  observer = attention_maps.Observer(run.gan)
  looker = attention.Looker(run, 2, observer, 0)
  _, real = attention.real_images(run, np.arange(10), 40)
  (d8, d16) = attention.measured(
    looker.real(real), real.masks, draws_shapes=True
  )
  assert (d8['block'], d16['block']) == ('attention_8', 'attention_16')
  assert d8['num_images'] == 40 and d8['images'] == 'real'
  assert d8['share'] == d8['gate'] == 0
  assert d8['entropy'] == 0 and d8['keys'] == 16
  # A pixel on the object looks at its own cell, which mostly is too: but so
  # does any neighbourhood that is as small.
  assert d8['on_object'] > 1.5 * d8['on_object_uniform']
  assert d8['on_object'] > 2 * d8['on_object_from_background']
  assert d8['on_object'] == pytest.approx(d8['on_object_fixed_shape'])
  area = real.masks[0].mean()
  for name in ('on_object', 'on_object_uniform', 'on_object_fixed_shape'):
    assert d16[name] == pytest.approx(area, abs=0.01)
  assert d16['entropy'] == pytest.approx(np.log(64))
  assert d16['colour'] is None and d16['nearness'] is None
  generated = attention.measured(
    looker.generated('ema', np.arange(5)), None, draws_shapes=False
  )
  assert [row['network'] for row in generated].count('generator') == 3
  assert not any('on_object' in row for row in generated)


def test_masks_told_by_colour_give_the_same_share():
  """On real images, where both are known."""
  source = data.make_source('shapes', image_size=32, num_examples=100)
  images = next(source.batches(seed=0, batch_size=100))['image']
  rng = np.random.default_rng(0)
  rows = rng.dirichlet(np.ones(64) / 4, (100, 256)).astype(np.float32)
  maps = attention_maps.Maps(
    rows.reshape(100, 16, 16, 8, 8), np.ones(100, np.float32), 1.0
  )
  view = attention_maps.View(
    'generator', 'ema', images, np.arange(100), {'attention_16': maps}
  )
  known, told = (
    attention.measured([[view]], masks, draws_shapes=True)[0]
    for masks in (shape_masks.true(source, np.arange(100)), None)
  )
  for name in ('on_object', 'on_object_uniform', 'on_marks'):
    assert told[name] == pytest.approx(known[name], abs=0.01)
  assert told['mask_fit'] > 0.99 and 'mask_fit' not in known


def test_real_images_are_those_asked_for(workdir):
  run = sagan_jax.open_run(workdir)
  chosen, first = attention.real_images(run, np.array([7, 7, 2]), 20)
  np.testing.assert_array_equal(chosen.labels, [7, 7, 2])
  assert (chosen.images[0] != chosen.images[1]).any()
  batch = next(run.source.batches(seed=0, batch_size=20))
  np.testing.assert_array_equal(first.images, batch['image'])
  # The masks are of these images.
  for real in (chosen, first):
    told, _, _ = shape_masks.infer(real.images)
    assert abs(told - real.masks[0]).mean() < 0.05


def test_data_that_has_less_gives_less(workdir):
  run = sagan_jax.open_run(workdir)  # Of 64 images, seven of class 3.
  chosen, first = attention.real_images(run, np.full(10, 3), 100)
  assert (chosen.labels == 3).all() and len(chosen.labels) == 7
  assert len(first.labels) == 64
  order = [image.tobytes() for image in first.images]
  drawn = shapes.draw(np.arange(64), image_size=32)
  assert sorted(order) == sorted(image.tobytes() for image in drawn)
