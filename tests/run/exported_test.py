"""Weights of runs, and of files that they are read from again."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sagan_jax import errors, files
from sagan_jax.cluster import sharding
from sagan_jax.config import schema
from sagan_jax.formats import safetensors_file
from sagan_jax.gan import state as state_lib
from sagan_jax.run import exported, exporting
from sagan_jax.run.run import Run
from sagan_jax.weights import tensors as tensors_lib
from tests.support import checkpoints, exports, gcs, tiny


@pytest.fixture(autouse=True)
def small():
  with tiny.small_networks():
    yield


@pytest.fixture
def run(tmp_path):
  """A `Run` that has recorded what it is, without a checkpoint."""
  run = tiny.opened(tmp_path / 'run')
  run.record()
  return run


@functools.cache
def _state():
  """A state of it, at step 7, whose weights are random but finite."""
  return jax.tree.map(
    lambda x: (
      jnp.where(jnp.isfinite(x), x, 1)
      if jnp.issubdtype(x.dtype, jnp.floating)
      else x
    ),
    checkpoints.make_state(),
  )


def _read(path):
  return exported.read(path, Run.open, tiny.config)


def _never(*_):
  raise AssertionError('nobody should ask for this')


def _record(run, step, **scores):
  protocol = {'protocol': {'step': step}, 'scores': scores}
  with open(run.workdir / 'evaluations.jsonl', 'a') as file:
    file.write(json.dumps(protocol) + '\n')


def test_a_state_comes_back_to_the_bit(run, tmp_path):
  """From a file, from its directory; with all that it is."""
  state = _state()
  _record(run, 7, fid=1.5)
  _record(run, 3, fid=2.5)
  path = tmp_path / 'out' / 'weights.safetensors'
  beside = exporting.write(path, *exporting.as_safetensors(run, state))
  for name in path, path.parent:
    found = exported.read(name, _never, _never)
    tree = tensors_lib.unflatten(found.tensors)
    assert state_lib.digest(tree) == state_lib.digest(state.weights())
    card = found.card
    assert (card['step'], card['architecture']) == (7, 'sagan')
    assert card['class_names'][1] == 'ring'
    assert card['scores'] == [{'protocol': {'step': 7}, 'scores': {'fid': 1.5}}]
    assert exported.config_of(found) == schema.replace(
      run.config, eval__cache_dir='~/.cache/sagan_jax'
    )
  written = json.loads(beside.read_text())
  assert written.pop('file')['bytes'] == path.stat().st_size
  assert written == card


def test_a_bucket_holds_weights_too(run, tmp_path, monkeypatch):
  gcs.mock_gcs(monkeypatch, tmp_path)
  path = files.as_path('gs://b/out/weights.safetensors')
  exporting.write(path, *exporting.as_safetensors(run, _state()))
  found = exported.read('gs://b/out', _never, _never)
  assert found.where == str(path)
  wanted = exported.of_state(run, _state()).tensors
  assert tensors_lib.digest(found.tensors) == tensors_lib.digest(wanted)


def test_of_a_run_it_is_the_last_checkpoint(run):
  for step in 1, 2:
    state = checkpoints.at(_state(), step)
    run.checkpointer.save(state)
  run.checkpointer.close()
  found = _read(run.workdir)
  assert found.card['step'] == 2
  wanted = tensors_lib.flatten(state.weights())
  assert found.card['weights_sha256'] == tensors_lib.digest(wanted)


def test_weights_that_are_not_finite_are_not_exported(run):
  state = _state()
  params = {**state.ema_params, 'norm': None}
  params['norm'] = {k: v * np.nan for k, v in state.ema_params['norm'].items()}
  with pytest.raises(errors.UserError, match="step 7: 'ema.params.norm.beta'"):
    exported.of_state(run, state.replace(ema_params=params))


def test_names_of_the_arrays(run):
  """They are a promise: other programs read them."""
  wanted = """
  discriminator.params.dense.bias discriminator.params.dense.kernel
  discriminator.params.embedding.embedding discriminator.spectral.dense.sigma
  discriminator.spectral.dense.u discriminator.spectral.embedding.sigma
  discriminator.spectral.embedding.u ema.batch_stats.norm.mean
  ema.batch_stats.norm.var ema.params.dense.bias ema.params.dense.kernel
  ema.params.norm.beta ema.params.norm.gamma generator.batch_stats.norm.mean
  generator.batch_stats.norm.var generator.params.dense.bias
  generator.params.dense.kernel generator.params.norm.beta
  generator.params.norm.gamma generator.spectral.dense.sigma
  generator.spectral.dense.u
  """
  found = exported.shapes(run.config, sharding.make_mesh(1))
  assert list(found) == wanted.split()


def _flip(found):
  found.tensors['ema.params.dense.bias'] = found.tensors[
    'ema.params.dense.bias'
  ] + np.float32(1e-6)


def _poison(found):
  found.tensors['ema.params.dense.bias'] = np.full(48, np.nan, np.float32)


def _no_format(found):
  del found.card['format']


@pytest.mark.parametrize(
  'change, told',
  [
    (_flip, 'is damaged: its weights are not those that its card was written'),
    (_poison, "'ema.params.dense.bias' holds values that are not finite"),
    (_no_format, "has format 'None', this version reads 1"),
  ],
)
def test_a_file_that_is_not_what_it_says_is_refused(tmp_path, change, told):
  found = exports.export()
  change(found)
  path = exports.write(tmp_path / 'x.safetensors', found)
  with pytest.raises(errors.UserError, match=f'{path}.*{told}'):
    _read(path)


@pytest.mark.parametrize('card', [None, '[1', '[' * 100_000])
def test_a_file_without_a_card_is_refused(tmp_path, card):
  metadata = {} if card is None else {'card': card}
  path = tmp_path / 'x.safetensors'
  content = safetensors_file.dump({'a': np.zeros(2, np.float32)}, metadata)
  path.write_bytes(content)
  with pytest.raises(
    errors.UserError, match=f'{path} has no card of sagan_jax'
  ):
    _read(path)


def test_a_card_beside_that_is_of_another_file_is_refused(run, tmp_path):
  path = tmp_path / 'weights.safetensors'
  beside = exporting.write(path, *exporting.as_safetensors(run, _state()))
  for content in '{}', '{"file": 3}', '{"file": {"sha256": "ab"}}', '[]':
    beside.write_text(content)
    with pytest.raises(errors.UserError, match='the SHA-256 differs'):
      _read(path)
  beside.write_text('{')
  with pytest.raises(errors.UserError, match='weights.json is damaged'):
    _read(path)


def test_what_is_no_file_of_weights_is_named(tmp_path):
  with pytest.raises(errors.UserError, match='there is no .*/none; name what'):
    _read(tmp_path / 'none')
  with pytest.raises(errors.UserError, match='is no run, and holds 0 files'):
    _read(tmp_path)
  for name in 'ab':
    exports.write(tmp_path / f'{name}.safetensors', exports.export())
  with pytest.raises(errors.UserError, match='holds 2 files .*; name one file'):
    _read(tmp_path)


def test_a_config_of_no_number_of_classes_is_refused():
  found = exports.export()
  found.card['config']['num_classes'] = None
  with pytest.raises(errors.UserError, match='set --config.num_classes'):
    exported.config_of(found)
  assert exported.config_of(found, {'num_classes': '3'}).num_classes == 3
  found.card['config']['generator.ch'] = 2**40
  with pytest.raises(errors.UserError, match='the card of somewhere: gen'):
    exported.config_of(found)
