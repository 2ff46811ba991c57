"""Scoring generators and sets of images."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from sagan_jax import data, errors
from sagan_jax.cluster import sharding
from sagan_jax.evaluation import evaluator as evaluator_lib
from sagan_jax.evaluation import extractors, generated, protocol
from sagan_jax.gan import sampling
from sagan_jax.metrics import scores
from sagan_jax.run.run import Run
from tests.support import tiny

NUM_FAKES, NUM_REALS = 40, 60
CHANGES = {
  'dataset__num_examples': NUM_REALS,
  'eval__num_fakes': NUM_FAKES,
  'eval__num_reals': NUM_REALS,
  'eval__metrics': ('fid',),
}


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
  return tmp_path_factory.mktemp('cache')


@pytest.fixture(scope='module')
def run(tmp_path_factory, cache):
  """A run and a state whose average differs from its parameters."""
  workdir = tmp_path_factory.mktemp('run')
  c = tiny.config(eval__cache_dir=str(cache), **CHANGES)
  with tiny.small_networks():
    opened = Run.for_training(workdir, c)
    state = opened.init()
    scaled = jax.tree.map(lambda x: x * 1.5 + 0.1, state.generator.params)
    yield opened, dataclasses.replace(state, ema_params=scaled)
  opened.checkpointer.close()


def _config(cache, **changes):
  changes = CHANGES | changes
  return tiny.config(num_classes=10, eval__cache_dir=str(cache), **changes)


def _evaluator(run, cache, say=lambda _: None, extractor=None, **changes):
  opened, _ = run
  return evaluator_lib.Evaluator(
    _config(cache, **changes),
    opened.mesh,
    opened.source,
    say,
    extractor=extractor,
  )


def _evaluate(run, cache, state=None, **changes):
  opened, default = run
  evaluator = _evaluator(run, cache, **changes)
  sampler = opened.sampler
  if 'eval__batch_size' in changes:
    with tiny.small_networks():
      sampler = type(sampler)(opened.gan, changes['eval__batch_size'])
  return evaluator.of_state(sampler, state or default)


def test_the_grid_has_a_record_for_every_cell(run, cache):
  records = _evaluate(
    run,
    cache,
    eval__weights=('raw', 'ema'),
    eval__bn_statistics=('standing', 'running', 'batch'),
    eval__truncations=(0.5,),
  )
  cells = [
    tuple(r['protocol'][k] for k in ('weights', 'bn_statistics', 'truncation'))
    for r in records
  ]
  assert cells == [
    (w, b, t)
    for w in ('raw', 'ema')
    for b in ('standing', 'running', 'batch')
    for t in (None, 0.5)
  ]
  values = [r['scores']['fid_random'] for r in records]
  # Each is another generator.
  assert len({round(v, 6) for v in values}) == len(values)
  for record in records[1:]:
    protocol.check_same(records[0]['protocol'], record['protocol'])
  # And may be written and read.
  assert json.loads(json.dumps(records)) == records


def test_averaged_weights_have_the_moments_that_were_averaged(run, cache):
  _, state = run
  moved = jax.tree.map(lambda x: x * 0.5 + 0.3, state.ema_batch_stats)

  def scores_of(state):
    records = _evaluate(
      run,
      cache,
      state,
      eval__weights=('raw', 'ema'),
      eval__bn_statistics=('running',),
    )
    return [r['scores']['fid_random'] for r in records]

  before = scores_of(state)
  after = scores_of(dataclasses.replace(state, ema_batch_stats=moved))
  assert before[0] == after[0]
  assert before[1] != after[1]


def test_a_protocol_says_all_that_moves_the_number(run, cache):
  (record,) = _evaluate(run, cache)
  opened, _ = run
  made_by = record['protocol']
  versions = made_by.pop('versions')
  assert set(versions) == {'sagan_jax', 'jax', 'flax', 'numpy', 'python'}
  assert versions['jax'] == jax.__version__
  assert made_by == {
    'extractor': 'random-conv-seed-0',
    'extractor_digest': extractors.random_conv_extractor().digest,
    'extractor_dtype': 'float32',
    'resize': 'none',
    'quantisation': 'uint8, truncated',
    'data': 'shapes',
    'data_fingerprint': opened.source.fingerprint,
    'image_size': 32,
    'num_real': NUM_REALS,
    'num_fake': NUM_FAKES,
    **scores.PROTOCOL,
    'weights': 'ema',
    'bn_statistics': 'standing',
    'truncation': None,
    'standing_batches': 2,
    'batch_size': 8,
    'step': 0,
    'seed': 0,
    'labels': 'uniform',
    'device_kind': 'cpu',
  }
  assert record['secs'] > 0


@pytest.mark.parametrize('batch_size', [1, 7, 64])
def test_fakes_do_not_depend_on_the_batch_size(run, cache, batch_size):
  changes = {'eval__bn_statistics': ('running',)}
  (expected,) = _evaluate(run, cache, **changes)
  (found,) = _evaluate(run, cache, eval__batch_size=batch_size, **changes)
  for name, value in expected['scores'].items():
    assert found['scores'][name] == pytest.approx(value, rel=1e-5)
  (other,) = _evaluate(run, cache, eval__seed=1, **changes)
  assert other['scores'] != expected['scores']


def _labels_made(run, cache, monkeypatch, **changes):
  """The labels that an evaluation asks the sampler for."""
  opened, state = run
  asked = []

  collect = generated.GeneratedFeatures.collect

  def collecting(made, params, stats, labels, *args, **kwargs):
    asked.append(labels)
    return collect(made, params, stats, labels, *args, **kwargs)

  monkeypatch.setattr(generated.GeneratedFeatures, 'collect', collecting)
  _evaluator(run, cache, **changes).of_state(opened.sampler, state)
  return asked[0]


def test_labels_are_uniform(run, cache, monkeypatch):
  labels = _labels_made(run, cache, monkeypatch, eval__num_fakes=42)
  np.testing.assert_array_equal(labels, np.arange(42) % 10)


def test_labels_are_as_frequent_as_in_the_data(run, cache, monkeypatch):
  real = _evaluator(run, cache).real()
  real = dataclasses.replace(
    real, labels=np.repeat([0, 1, 2], [30, 15, 15]).astype(np.int32)
  )
  monkeypatch.setattr(evaluator_lib.Evaluator, 'real', lambda _: real)
  labels = _labels_made(
    run, cache, monkeypatch, eval__num_fakes=48, eval__labels='data'
  )
  assert np.bincount(labels).tolist() == [24, 12, 12]
  assert (np.diff(labels) < 0).any()  # In no order.
  again = _labels_made(
    run, cache, monkeypatch, eval__num_fakes=48, eval__labels='data'
  )
  np.testing.assert_array_equal(again, labels)


def test_a_score_of_few_samples_says_so_once(run, cache):
  said = []
  opened, state = run
  evaluator = _evaluator(run, cache, said.append)
  evaluator.of_state(opened.sampler, state)
  evaluator.of_state(opened.sampler, state)
  text = 'scores of 40 samples are biased and noisy; compare them only'
  assert len([line for line in said if line.startswith(text)]) == 1
  assert 'real images: 60 from the cache' in said


def test_classes_have_scores_under_their_names(run, cache):
  (record,) = _evaluate(run, cache, eval__metrics=('intra_fid',))
  assert list(record['per_class']) == list(run[0].source.class_names)
  mean = np.mean(list(record['per_class'].values()))
  assert record['scores']['intra_fid_random'] == pytest.approx(mean)


def test_all_metrics_of_an_extractor(run, cache):
  (record,) = _evaluate(run, cache, eval__metrics=scores.METRICS)
  assert set(record['scores']) == {
    f'{name}_random'
    for name in (
      'fid',
      'intra_fid',
      'precision',
      'recall',
      'density',
      'coverage',
      'kid',
    )
  } | {'kid_random_std'}


def test_any_function_can_be_the_extractor(run, cache):
  extractor = extractors.callable_extractor(
    lambda images: images.mean((1, 2)), name='colour', digest='1', dims=3
  )
  opened, state = run
  evaluator = _evaluator(run, cache, extractor=extractor)
  (record,) = evaluator.of_state(opened.sampler, state)
  assert list(record['scores']) == ['fid_colour']
  assert record['protocol']['extractor'] == 'colour'
  assert evaluator.main_metric() == 'fid_colour'


@pytest.mark.parametrize('where', ['generator', 'ema_params', 'stats'])
def test_a_generator_that_has_diverged_is_refused(run, cache, where):
  _, state = run
  bad = jax.tree.map(lambda x: x * np.nan, state.ema_params)
  if where == 'ema_params':
    state = dataclasses.replace(state, ema_params=bad)
  else:
    g = dataclasses.replace(state.generator, params=bad)
    if where == 'stats':
      stats = jax.tree.map(lambda x: x * np.nan, state.generator.stats)
      g = dataclasses.replace(state.generator, stats=stats)
    state = dataclasses.replace(state, generator=g)
  name = 'ema' if where == 'ema_params' else 'raw'
  match = (
    rf'NaN or infinite images, 40 of 40, with weights={name} and '
    'bn_statistics=running: it has diverged; .* --step'
  )
  with pytest.raises(ValueError, match=match):
    _evaluate(
      run,
      cache,
      state,
      eval__weights=(name,),
      eval__bn_statistics=('running',),
    )


def test_features_that_are_not_finite_are_refused(run, cache):
  opened, state = run
  extractor = extractors.callable_extractor(
    lambda images: images.mean((1, 2)) * np.float32(np.nan),
    name='bad',
    digest='1',
    dims=3,
  )
  evaluator = _evaluator(run, cache, extractor=extractor)
  with pytest.raises(ValueError, match='features hold 120 NaN or infinite'):
    evaluator.of_state(opened.sampler, state)


def test_metrics_that_an_extractor_cannot_give_are_left_out(run, cache):
  changes = {'eval__metrics': ('is', 'fid', 'sfid')}
  said = []
  assert _evaluator(run, cache, said.append, **changes).metrics == ('fid',)
  assert said == [
    'extractor random-conv-seed-0 does not give is, sfid: left out'
  ]
  match = r"gives none of the metrics \('is',\); set --config.eval.metrics"
  with pytest.raises(errors.UserError, match=match):
    _evaluator(run, cache, eval__metrics=('is',))


def test_more_real_images_than_there_are_are_refused(run, cache):
  match = '61 real images were asked for, shapes has 60'
  with pytest.raises(errors.UserError, match=match):
    _evaluate(run, cache, eval__num_reals=61)
  with pytest.raises(errors.UserError, match=match):
    _evaluator(run, cache, eval__num_reals=61).check()


@pytest.mark.parametrize(
  ('changes', 'text'),
  [
    ({'num_fakes': 1}, 'fid needs at least 2'),
    ({'num_fakes': 5, 'metrics': ('prdc',)}, 'prdc needs at least 6'),
    (
      {'num_fakes': 19, 'metrics': ('intra_fid',)},
      'intra_fid needs at least 20',
    ),
    ({'num_reals': 1}, '1 real images were asked for'),
  ],
)
def test_too_few_images_are_refused_beforehand(run, cache, changes, text):
  changes = {f'eval__{key}': value for key, value in changes.items()}
  with pytest.raises(errors.UserError, match=text):
    _evaluator(run, cache, **changes).check()


def test_classes_as_in_the_data_may_be_empty(run, cache):
  _evaluator(
    run,
    cache,
    eval__num_fakes=19,
    eval__labels='data',
    eval__metrics=('intra_fid',),
  ).check()


def test_the_best_is_chosen_by_a_score_that_there_is(run, cache):
  evaluator = _evaluator(run, cache, eval__best_metric='fid')
  evaluator.check()  # It need not be, where nothing is chosen.
  match = r"no metric 'fid' among \['fid_random'\]; set --config.eval.best_met"
  with pytest.raises(errors.UserError, match=match):
    evaluator.check(best=True)
  _evaluator(run, cache).check(best=True)


def test_a_set_of_too_few_images_is_refused(run, cache):
  few = data.make_source('shapes', image_size=32, num_examples=5)
  evaluator = _evaluator(run, cache, eval__metrics=('fid', 'prdc'))
  with pytest.raises(errors.UserError, match='prdc needs at least 6'):
    evaluator.check(few)
  evaluator.check(run[0].source)


def test_images_are_scored_without_a_model(run, cache):
  evaluator = _evaluator(run, cache)
  (same,) = evaluator.of_source(run[0].source)
  assert same['protocol']['num_fake'] == NUM_FAKES
  assert same['protocol']['fake_fingerprint'] == run[0].source.fingerprint
  assert 'weights' not in same['protocol'] and 'labels' not in same['protocol']
  (fewer,) = evaluator.of_source(
    data.make_source('shapes', image_size=32, split='test', num_examples=20)
  )
  assert fewer['protocol']['num_fake'] == 20
  assert fewer['scores']['fid_random'] > same['scores']['fid_random'] > 0
  # A score of a model and one of a folder are two protocols.
  (record,) = _evaluate(run, cache)
  with pytest.raises(ValueError, match='fake_data: .* cannot|seed: 0 and'):
    protocol.check_same(record['protocol'], same['protocol'])


def test_work_is_shared_in_whole_batches(run, cache, monkeypatch):
  evaluator = _evaluator(run, cache)
  for count, num_processes in ((40, 2), (41, 3), (5, 4), (2000, 7)):
    monkeypatch.setattr(jax, 'process_count', lambda n=num_processes: n)
    bounds = []
    for i in range(num_processes):
      monkeypatch.setattr(jax, 'process_index', lambda i=i: i)
      bounds.append(evaluator._share(count))
    assert bounds[0][0] == 0 and bounds[-1][1] == count
    assert all(a[1] == b[0] for a, b in zip(bounds, bounds[1:], strict=False))
    assert all(begin % 8 == 0 for begin, _ in bounds)


def test_wide_meshes_take_batches_that_do_not_divide(run, cache):
  """Eight images on three devices: three, three, and two and one more."""
  opened, state = run
  modes = {'eval__bn_statistics': ('standing', 'batch')}
  expected = _evaluate(run, cache, **modes)
  mesh = sharding.make_mesh(3)
  evaluator = evaluator_lib.Evaluator(
    _config(cache, **modes), mesh, opened.source, lambda _: None
  )
  found = evaluator.of_state(
    sampling.on_mesh(opened.gan, mesh, 8),
    jax.device_put(state, sharding.replicated(mesh)),
  )
  for one, other in zip(found, expected, strict=True):
    assert one['scores'] == pytest.approx(other['scores'], rel=1e-5)
