"""Weights, references, checkpoints and plans that anybody may have written."""

import functools
import json
import os

import hypothesis
import numpy as np
import pytest
from etils import epath
from hypothesis import strategies as st

from sagan_jax import plan
from sagan_jax.checkpoints import checkpoint
from sagan_jax.evaluation import reference
from sagan_jax.formats import npz_file, torch_file, torch_writer
from sagan_jax.planning import compiler, topologies
from sagan_jax.run import exported
from sagan_jax.run.run import Run
from sagan_jax.weights import biggan_files
from sagan_jax.weights import tensors as tensors_lib
from tests.support import checkpoints as states
from tests.support import evaluation_fakes as fakes
from tests.support import exports, hostile, tiny

TAPS = {'pooled': 3}
ARRAYS = {
  'count': np.array(4),
  'labels': np.arange(4, dtype=np.int32),
  'pooled/mean': np.arange(3.0),
  'pooled/cov': np.eye(3),
  'pooled/features': np.ones((4, 3), np.float32),
}


@pytest.fixture(scope='module')
def template(tmp_path_factory):
  base = tmp_path_factory.mktemp('weights') / 'base'
  base.mkdir()
  with tiny.small_networks():
    found = exports.export()
    exports.write(base / 'w.safetensors', found)
    (base / 'safe').mkdir()
    exports.write(base / 'safe/w.safetensors', found)
    (base / 'safe/w.json').write_text(json.dumps(found.card))
  arrays = {'a.weight': np.ones((2, 3), np.float32), 'b': np.zeros(4, np.int64)}
  torch_writer.write(base / 'w.pth', arrays)
  fakes.write_torch_legacy(base / 'old.pth', {'a': arrays['a.weight']})
  dicts = {'G': arrays, 'D': arrays, 'state_dict': {'itr': 7, 'x': [1, 'a']}}
  biggan_files.write_directory(base / 'biggan', dicts)
  for name, digest in ('signed.npz', True), ('unsigned.npz', False):
    signed = {npz_file.DIGEST: npz_file.digest(ARRAYS)} if digest else {}
    np.savez(base / name, **ARRAYS, **signed)
  saver = checkpoint.Checkpointer(base / 'checkpoints', keep_last=3)
  for step in 3, 7:
    saver.save(states.at(states.make_state(), step))
  saver.close()
  before = {'topology': 'v5e:1x1', 'origins': {'convolution': 5.0}}
  (base / 'before.json').write_text(json.dumps(before))
  return base


def _safetensors(base, name='w.safetensors'):
  with tiny.small_networks():
    found = exported.read(base / name, Run.open, exports.config)
    exported.config_of(found)
    # Else its digest has accepted it.
    wanted = exports.export().card['weights_sha256']
    assert (tensors_lib.digest(found.tensors) == wanted) or (
      found.card['weights_sha256'] != wanted
    )


def _torch(base, name):
  found = torch_file.read_state_dict(base / name)
  assert sum(x.nbytes for x in found.values()) <= os.path.getsize(base / name)


def _biggan(base):
  biggan_files.read_directory(base / 'biggan')


def _npz(base, name):
  found = reference._load(epath.Path(base / name), TAPS, 4, 4)
  if found is not None and name == 'signed.npz':
    np.testing.assert_array_equal(found.features['pooled'], 1)
    np.testing.assert_array_equal(found.moments['pooled'].mean, [0, 1, 2])
    np.testing.assert_array_equal(found.labels, range(4))


def _checkpoint(base):
  state = states.make_state()
  reader = checkpoint.Checkpointer(
    base / 'checkpoints', keep_last=3, writes=False
  )
  try:
    found = reader.restore_newest(states.shapes(state))
  finally:
    reader.close()
  step = int(found.step)
  assert step in (3, 7)
  for a, b in zip(
    tiny.leaves(found), tiny.leaves(states.at(state, step)), strict=True
  ):
    np.testing.assert_array_equal(a, b)


def _before(base):
  plan._before(str(base / 'before.json'), topologies.find('v5e:1x1'))


_PARTS = ('meta/metadata', 'state/_METADATA', '_CHECKPOINT_METADATA')
READERS = {
  'safetensors': (_safetensors, ['w.safetensors']),
  'card beside': (
    functools.partial(_safetensors, name='safe'),
    ['safe/w.json', 'safe/w.safetensors'],
  ),
  'torch': (functools.partial(_torch, name='w.pth'), ['w.pth']),
  'old torch': (functools.partial(_torch, name='old.pth'), ['old.pth']),
  'biggan': (_biggan, ['biggan/G.pth', 'biggan/state_dict.pth']),
  'reference': (functools.partial(_npz, name='signed.npz'), ['signed.npz']),
  'old reference': (
    functools.partial(_npz, name='unsigned.npz'),
    ['unsigned.npz'],
  ),
  'checkpoint': (_checkpoint, None),
  'plan': (_before, ['before.json']),
}


# Of coroutines of orbax that are left when another has failed.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
@pytest.mark.parametrize('name', READERS)
@hostile.inputs
@hypothesis.given(data=st.data())
def test_files_of_weights(template, place, name, data):
  read, names = READERS[name]
  if names is None:  # Any file of the newest.
    folder = template / 'checkpoints/7'
    found = sorted(p for p in folder.rglob('*') if p.is_file())
    names = [str(p.relative_to(template)) for p in found]
    names += [f'checkpoints/7/{part}' for part in _PARTS] * 3
  base = hostile.fresh(template, place / 'base')
  of, damage = data.draw(hostile.mutated(names))
  damage(base / of)
  with hostile.guarded(base) as refusals:
    read(base)
  for text in refusals:
    assert str(base) in text, text


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  return tmp_path_factory.mktemp('hostile')


@hostile.inputs
@hypothesis.given(data=st.data())
def test_plans_that_are_kept(place, data):
  """What is not what was written is made anew."""
  base = place
  c = tiny.config(num_classes=10)
  topology = topologies.find('cpu:1')
  answer = {'fits': True, 'memory': {'peak': 3}, 'collectives': []}
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(compiler, '_compile', lambda *_: answer)
    made = compiler.account(c, topology, str(base / 'plans'))
    (kept,) = (base / 'plans').rglob('*.json')
    _, damage = data.draw(hostile.mutated([kept.name]))
    damage(kept)
    with hostile.guarded(base):
      assert compiler.account(c, topology, str(base / 'plans')) == made
    if kept.is_dir():
      kept.rmdir()
    else:
      kept.unlink(missing_ok=True)
