"""Runs that begin with given weights."""

import json

import jax
import numpy as np
import pytest

from sagan_jax import errors
from sagan_jax.gan import state as state_lib
from sagan_jax.run import exported, initial, trainer
from sagan_jax.run.run import Run
from sagan_jax.weights import tensors as tensors_lib
from tests.support import exports, tiny

pytestmark = pytest.mark.slow

GAMMA = 'generator.params.norm.gamma'
TABLE = 'discriminator.params.embedding.embedding'
U = 'discriminator.spectral.embedding.u'


@pytest.fixture(autouse=True)
def small():
  with tiny.small_networks():
    yield


@pytest.fixture
def export(tmp_path):
  """A file of weights for three classes, two of which shapes have."""
  return exports.write(tmp_path / 'x.safetensors', exports.export())


def _begin(tmp_path, export, classes='fresh', **changes):
  """The `Run` on ten shapes, and the weights of its first state by name."""
  run = tiny.opened(
    tmp_path / 'run',
    init__weights=str(export),
    init__classes=classes,
    **changes,
  )
  return run, _named(run.init())


def _named(state):
  leaves = tensors_lib.flatten(state.weights())
  return {k: np.asarray(v) for k, v in leaves.items()}


def test_rows_by_name_and_all_else_to_the_bit(tmp_path, export, capsys):
  run, found = _begin(tmp_path, export, 'names')
  old = exports.export().tensors
  names = run.source.class_names
  tables = {GAMMA, TABLE, U, GAMMA.replace('gamma', 'beta')}
  tables |= {x.replace('generator', 'ema') for x in tables}
  for name in old.keys() - tables - {U.replace('.u', '.sigma')}:
    assert found[name].tobytes() == old[name].tobytes(), name
  for name in tables & old.keys():
    assert len(found[name]) == 10
    np.testing.assert_array_equal(
      found[name][names.index('ring')], old[name][1]
    )
    np.testing.assert_allclose(
      found[name][names.index('heart')], old[name].mean(0), rtol=1e-6
    )
  said = capsys.readouterr().out
  assert f'begins with the weights of {export}, step 7; rows by the' in said
  assert 'disc <- disc, ring <- ring, triangle <- the mean' in said


def test_fresh_rows_are_those_of_the_seed(tmp_path, export):
  _, found = _begin(tmp_path, export)
  plain = _named(tiny.opened(tmp_path / 'plain').init())
  for name in GAMMA, TABLE, U:
    np.testing.assert_array_equal(found[name], plain[name])
  assert not np.array_equal(
    found['generator.params.dense.kernel'],
    plain['generator.params.dense.kernel'],
  )


def test_mean_rows(tmp_path, export):
  _, found = _begin(tmp_path, export, 'mean')
  old = exports.export().tensors[TABLE]
  np.testing.assert_allclose(found[TABLE], [old.mean(0)] * 10, rtol=1e-6)


def test_the_same_classes_keep_their_rows(tmp_path):
  """With the names of the data, or with none and as many."""
  names = tiny.opened(tmp_path / 'plain').source.class_names
  for known in names, None:
    of = exports.export(exports.config(num_classes=10), names=known)
    path = exports.write(tmp_path / 'x.safetensors', of)
    _, found = _begin(tmp_path, path)
    assert {k: v.tobytes() for k, v in found.items()} == {
      k: v.tobytes() for k, v in of.tensors.items()
    }
  path = exports.write(tmp_path / 'x.safetensors', exports.export(names=None))
  with pytest.raises(errors.UserError, match='has no names of classes'):
    _begin(tmp_path, path, 'names')


def test_what_is_not_given_is_as_the_seed_gives_it(tmp_path, export):
  """Latents and labels to come, moments of the optimisers, the step."""
  run, _ = _begin(tmp_path, export, seed=5)
  state = run.init()
  plain = tiny.opened(tmp_path / 'plain', seed=5).init()
  assert int(state.step) == 0
  assert jax.random.key_data(state.rng).tolist() == (
    jax.random.key_data(plain.rng).tolist()
  )
  for a, b in (
    (state.generator, plain.generator),
    (state.discriminator, plain.discriminator),
  ):
    assert state_lib.digest(a.opt_state) == state_lib.digest(b.opt_state)
  assert jax.tree.structure(state) == jax.tree.structure(plain)


def test_a_run_trains_and_resumes_without_the_file(tmp_path, export):
  """One that was interrupted ends as one that was not."""
  changes = {'init__weights': str(export), 'init__classes': 'names'}
  straight = tiny.run(tmp_path / 'straight', **changes)
  tiny.run(tmp_path / 'run', num_steps=3, **changes)
  export.unlink()
  resumed = tiny.run(tmp_path / 'run', **changes)
  assert state_lib.digest(resumed) == state_lib.digest(straight)
  with pytest.raises(errors.UserError, match="init.weights: '.*' -> None"):
    tiny.opened(tmp_path / 'run', init__classes='names')
  origin = json.loads((tmp_path / 'run' / 'origin.json').read_text())
  assert origin['how'] == 'init' and origin['name'] == 'x.safetensors'
  assert origin['step'] == 7 and origin['num_classes'] == 3
  assert origin['of_classes']['ring'] == 'ring'
  assert origin['of_classes']['heart'] == 'the mean'
  # It travels on with what is exported from there.
  found = exported.read(tmp_path / 'run', Run.open, None)
  assert found.card['origin'] == origin


def test_a_run_that_never_saved_forgets_its_origin(tmp_path, export):
  run, _ = _begin(tmp_path, export)
  run.record()
  assert (run.workdir / 'origin.json').exists()
  again = tiny.opened(run.workdir)
  again.init()
  again.record()
  assert not (run.workdir / 'origin.json').exists()


def test_other_networks_are_refused_before_anything_is_drawn(
  tmp_path, monkeypatch
):
  """The tiny networks do not depend on ch, but on the size of the latents."""
  path = exports.write(
    tmp_path / 'x.safetensors', exports.export(latent_dim=64)
  )
  monkeypatch.setattr(jax, 'jit', None)
  with pytest.raises(errors.UserError) as e:
    _begin(tmp_path, path)
  assert str(path) in str(e.value) and '2 arrays differ' in str(e.value)
  told = 'generator.params.dense.kernel: [64, 48] in the file, [128, 48] by'
  assert told in str(e.value)


def test_the_average_that_a_config_would_lose_is_told(tmp_path, export, capsys):
  _begin(tmp_path, export, ema__start_step=9)
  assert (
    'until step 9 the averaged weights are a copy' in capsys.readouterr().out
  )


def test_a_made_run_is_one_as_any(tmp_path):
  """It is opened, and trained on."""
  names = tiny.opened(tmp_path / 'plain').source.class_names
  found = exports.export(
    exports.config(num_classes=10, dataset__name='shapes'), names=names
  )
  changes = {
    'dataset.num_examples': '64',
    'eval.cache_dir': str(tmp_path / 'c'),
  }
  workdir = tmp_path / 'made'
  run = initial.make_run(found, Run.open, workdir, changes)
  state = run.restore()
  assert int(state.step) == 7 and run.class_names == names
  assert {k: v.tobytes() for k, v in _named(state).items()} == {
    k: v.tobytes() for k, v in found.tensors.items()
  }
  run.checkpointer.close()
  assert json.loads((workdir / 'origin.json').read_text())['how'] == 'import'
  opened = Run.for_training(
    workdir,
    Run.open(workdir, {'num_steps': '9'}).config,
    ['dataset.name'],
  )
  final = trainer.Trainer(opened).train()
  assert int(final.step) == 9
  match = f'{workdir} already holds a run; choose'
  with pytest.raises(errors.UserError, match=match):
    initial.make_run(found, Run.open, workdir)


def test_a_run_is_made_of_weights_that_name_nothing(tmp_path):
  found = exports.export(names=None)
  run = initial.make_run(found, Run.open, tmp_path / 'made')
  assert run.class_names == ('0', '1', '2')
  assert not (tmp_path / 'made' / 'data.json').exists()
  assert run.sample([2], seed=1).shape == (1, 32, 32, 3)


def test_no_run_is_made_of_weights_that_do_not_fit(tmp_path):
  found = exports.export()
  with pytest.raises(errors.UserError, match='2 arrays differ'):
    initial.make_run(found, Run.open, tmp_path / 'made', {'latent_dim': '64'})
  assert not (tmp_path / 'made').exists()
