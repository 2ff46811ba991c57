"""A run is opened without being trained, and makes images."""

import dataclasses
import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

import sagan_jax
from sagan_jax import errors
from sagan_jax.config import schema
from sagan_jax.gan import chunks
from sagan_jax.gan import state as state_lib
from sagan_jax.run.run import Run
from tests.conftest import ROOT
from tests.support import tiny

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope='module')
def small_networks():
  with tiny.small_networks():
    yield


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A directory with the checkpoints and scores of steps 2 and 4."""
  workdir = tmp_path_factory.mktemp('trained') / 'run'
  tiny.run(
    workdir,
    num_steps=4,
    checkpoint__every_steps=2,
    eval__every_steps=2,
    optim__generator__learning_rate=0.05,  # So that classes differ.
  )
  return workdir


def test_importing_the_package_imports_no_jax():
  code = (
    'import sys, sagan_jax; sagan_jax.open_run\n'
    'assert not {"jax", "numpy", "etils"} & {*sys.modules}'
  )
  subprocess.run([sys.executable, '-c', code], check=True, cwd=ROOT)


def test_a_run_is_opened_by_its_directory_alone(trained, monkeypatch):
  def refuse(*args, **kwargs):
    raise AssertionError((args, kwargs))

  run = sagan_jax.open_run(str(trained))
  monkeypatch.setattr('sagan_jax.data.make_source', refuse)
  assert run.config.num_steps == 4
  assert run.config.num_classes == 10
  assert not run.trains
  assert run.sample([3]).shape == (1, 32, 32, 3)


def test_more_devices_than_there_are_do_not_hinder_a_reader(trained):
  run = Run.open(trained, {'num_devices': '512'})
  assert run.mesh.size == jax.device_count()


def test_opening_writes_nothing(trained):
  before = {p: p.stat().st_mtime_ns for p in trained.rglob('*')}
  run = Run.open(trained, {'eval.num_fakes': '24'})
  run.restore()
  run.sample([1])
  assert run.config.eval.num_fakes == 24
  assert {p: p.stat().st_mtime_ns for p in trained.rglob('*')} == before


def test_a_directory_without_a_run_is_refused(tmp_path):
  match = f'there is no run in {tmp_path}: it has no config.json; set --workdir'
  with pytest.raises(errors.UserError, match=match):
    sagan_jax.open_run(tmp_path)


def test_images_are_those_of_the_generator_by_its_statistics(trained):
  run = Run.open(trained)
  labels = np.array([3, 3, 5, 0, 9, 1, 2, 7])
  params, stats = run.restore(4).generator_variables('ema')
  sampler = chunks.ChunkSampler(run.gan, run.mesh)
  standing = sampler.standing_stats(
    params, stats, jax.random.key(0), run.config.eval.standing_batches
  )
  z = sampler.latents(jax.random.key(4), np.arange(8))
  for statistics, used in ('standing', standing), ('running', stats):
    images = run.sample(labels, seed=4, statistics=statistics)
    assert images.dtype == np.uint8 and images.shape == (8, 32, 32, 3)
    ((expected, _),) = sampler.images(params, used, z, labels)
    np.testing.assert_array_equal(images, expected)
  ((expected, _),) = sampler.images(
    params, stats, z, labels, batch_moments=True
  )
  found = run.sample(labels, seed=4, statistics='batch')
  np.testing.assert_array_equal(found, expected)


def test_classes_may_be_blended(trained):
  run = Run.open(trained)

  def sample(labels):
    return run.sample(labels, weights='raw')

  shares = np.eye(10)[[3, 5, 5]]
  np.testing.assert_array_equal(sample(shares), sample([3, 5, 5]))
  shares[1] = 0.5 * (shares[0] + shares[1])
  images = sample(shares)
  assert (images[1] != sample([3, 5, 5])[1]).any()
  assert (images[1] != sample([3, 3, 5])[1]).any()


def test_images_may_be_numbered(trained):
  run = Run.open(trained)
  images = run.sample([3, 4, 5, 6])
  found = run.sample([6, 4], index=[3, 1])
  np.testing.assert_array_equal(found, images[[3, 1]])


def test_a_generator_is_kept(trained):
  run = Run.open(trained)
  made = run.generator(step=4)
  assert run.generator() is made and made.step == 4
  assert run.generator(weights='raw') is not made


def test_an_image_follows_its_seed_number_and_label(trained):
  run = Run.open(trained)
  images = run.sample([3, 3, 5])
  np.testing.assert_array_equal(run.sample([3, 3, 5]), images)
  # However many are made at once.
  np.testing.assert_array_equal(run.sample([3, 3])[:2], images[:2])
  np.testing.assert_array_equal(run.sample([3, 3, 5, *[1] * 9])[:3], images)
  assert (images[0] != images[1]).any()
  assert (run.sample([3, 3, 5], seed=1) != images).any()
  assert (run.sample([3, 3, 6])[2] != images[2]).any()
  assert (run.sample([3, 3, 5], step=2) != images).any()
  assert (run.sample([3, 3, 5], weights='raw') != images).any()
  np.testing.assert_array_equal(run.sample([3, 3, 5], step=4), images)


def test_labels_may_be_names(trained):
  run = Run.open(trained)
  names = json.loads((trained / 'data.json').read_text())['class_names']
  assert run.class_names == tuple(names)
  np.testing.assert_array_equal(
    run.sample([names[3], 5]), run.sample([3, names[5]])
  )


@pytest.mark.parametrize(
  ('labels', 'match'),
  [
    ([10], r'label 10 must be an integer in \[0, 10\)'),
    ([-1], r'label -1 must be an integer in \[0, 10\)'),
    ([1.5], r'label 1.5 must be an integer in'),
    ([], 'no labels were given: one per image'),
    (np.ones((2, 9)), r'must be finite, \[images, 10\], not \(2, 9\)'),
    (np.full((2, 10), np.inf), 'shares of classes must be finite'),
    (['tringle'], "there is no class 'tringle'; did you mean 'triangle'"),
    (['x'], "there is no class 'x'; there are .*star.*; set labels"),
  ],
)
def test_labels_that_are_none_are_refused(trained, labels, match):
  with pytest.raises(errors.UserError, match=match):
    Run.open(trained).sample(labels)


@pytest.mark.parametrize(
  ('arguments', 'match'),
  [
    ({'seed': -1}, r'seed=-1 must be an integer in \[0, 2\*\*31\)'),
    ({'seed': 2**40}, r'seed=1099511627776 must be an integer in'),
    ({'weights': 'mean'}, "weights='mean' must be one of ema, raw"),
    ({'statistics': 'x'}, "statistics='x' must be one of standing, running, b"),
    ({'truncation': 0}, 'truncation=0 must be a number of deviations above 0'),
    ({'truncation': np.inf}, 'truncation=inf must be'),
    ({'index': [1, 2]}, '1 labels need as many numbers in index, not 2'),
    ({'index': [2**32]}, r'images are numbered from 0 to 2\*\*32 - 1'),
    ({'index': [-1]}, 'images are numbered from 0'),
  ],
)
def test_arguments_that_cannot_be_are_refused(trained, arguments, match):
  with pytest.raises(errors.UserError, match=match):
    Run.open(trained).sample([1], **arguments)


def test_a_step_without_checkpoint_is_refused(trained):
  match = r'has no checkpoint of step 3, only of \[2, 4\]; set --step'
  with pytest.raises(errors.UserError, match=match):
    Run.open(trained).sample([1], step=3)


def test_a_run_without_checkpoints_has_nothing_to_restore(tmp_path):
  run = tiny.opened(tmp_path)
  run.record()
  match = 'checkpoints holds no checkpoint yet; train first, or set --workdir'
  with pytest.raises(errors.UserError, match=match):
    Run.open(tmp_path).restore()


def test_the_best_state_is_restored(trained):
  run = Run.open(trained)
  step = int((next(p for p in (trained / 'best').iterdir())).name)
  best = run.restore('best')
  assert int(best.step) == step
  assert state_lib.digest(best) == state_lib.digest(run.restore(step))
  assert run.sample([1], step='best').shape == (1, 32, 32, 3)


@pytest.mark.parametrize('names', [['a'], [*'abcdefghi', 3]])
def test_damaged_names_of_classes_are_refused(trained, tmp_path, names):
  workdir = shutil.copytree(trained, tmp_path / 'run')
  facts = json.loads((workdir / 'data.json').read_text())
  facts['class_names'] = names
  (workdir / 'data.json').write_text(json.dumps(facts))
  match = "data.json is damaged: 'class_names' must be 10 names"
  with pytest.raises(errors.UserError, match=match):
    Run.open(workdir).sample([1])


def test_a_generator_that_has_diverged_is_refused(trained):
  run = Run.open(trained)
  made = run.generator()
  broken = jax.tree.map(lambda x: x * np.nan, made.variables)
  made = dataclasses.replace(made, variables=broken)
  z = made.latents([0])
  with pytest.raises(errors.UserError, match='step 4 makes NaN or infinite im'):
    list(made.images(z, np.int32([1])))


def test_networks_that_cannot_be_are_refused(trained):
  with pytest.raises(errors.UserError, match='image_size=33 must be one of'):
    _ = Run.open(trained, {'image_size': '33'}).gan


def test_a_run_that_saved_nothing_may_change_freely(tmp_path):
  tiny.opened(tmp_path, seed=1).record()
  tiny.run(tmp_path, seed=2, latent_dim=64, num_steps=1)
  assert schema.saved(tmp_path / 'config.json').latent_dim == 64
  match = 'seed: 2 -> 3'
  with pytest.raises(errors.UserError, match=match):
    tiny.opened(tmp_path, seed=3, latent_dim=64)
