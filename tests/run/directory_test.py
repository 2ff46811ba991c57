"""What a run directory says about its run."""

import contextlib
import json

import pytest

from sagan_jax import data, errors
from sagan_jax.config import schema
from sagan_jax.run import directory
from tests.support import tiny


@pytest.fixture
def source():
  return data.make_source('shapes', image_size=32, num_examples=64)


@pytest.fixture
def workdir(tmp_path, source):
  """A directory with a recorded run, and an entry like a checkpoint's."""
  directory.record(
    tmp_path, tiny.config(num_classes=10), directory.facts_of(source), None
  )
  (tmp_path / 'checkpoints' / '7').mkdir(parents=True)
  return tmp_path


def test_what_is_recorded(workdir, source):
  config = tiny.config(num_classes=10)
  assert schema.saved(workdir / 'config.json') == config
  facts = json.loads((workdir / 'data.json').read_text())
  assert facts == {
    'name': 'shapes',
    'num_examples': 64,
    'class_names': list(source.class_names),
    'fingerprint': source.fingerprint,
    'identity': json.loads(json.dumps(source.identity)),
  }


def test_the_origin_of_weights_is_kept_and_forgotten(workdir):
  config = tiny.config(num_classes=10)
  assert directory.origin(workdir) is None
  for given, found in (
    ({'step': 3}, {'step': 3}),
    (None, {'step': 3}),
    ({}, None),
  ):
    directory.record(workdir, config, None, given)
    assert directory.origin(workdir) == found
  assert (workdir / 'data.json').exists()


def test_states_are_folders_with_numbers(tmp_path):
  assert not directory.has_states(tmp_path)
  (tmp_path / 'checkpoints' / '3.orbax-checkpoint-tmp').mkdir(parents=True)
  assert not directory.has_states(tmp_path)
  (tmp_path / 'checkpoints' / '3' / 'meta').mkdir(parents=True)
  assert directory.has_states(tmp_path)


def test_the_same_config_and_data_are_accepted(workdir, source):
  directory.check_same_config(workdir, tiny.config())
  directory.check_same_data(workdir, source)


def test_data_may_lie_elsewhere(workdir):
  moved = tiny.config(dataset__name='folder:x', dataset__data_dir='y')
  directory.check_same_config(workdir, moved)
  # Unless nothing is known about it.
  (workdir / 'data.json').unlink()
  with pytest.raises(errors.UserError, match="name: 'shapes' -> 'folder:x'"):
    directory.check_same_config(workdir, moved)


def test_other_data_is_refused(workdir):
  other = data.make_source(
    'shapes', image_size=32, split='test', num_examples=64
  )
  match = f'the data of the run in {workdir} has changed:\n  split: test'
  with pytest.raises(errors.UserError, match=match):
    directory.check_same_data(workdir, other)


def test_data_that_was_never_recorded_is_accepted(workdir, source):
  (workdir / 'data.json').unlink()
  directory.check_same_data(workdir, source)
  assert directory.class_names(workdir, 3) == ('0', '1', '2')


def test_checkpoints_without_a_config_are_refused(workdir):
  (workdir / 'config.json').unlink()
  match = f'{workdir} holds checkpoints but no config.json'
  with pytest.raises(errors.UserError, match=match):
    directory.check_same_config(workdir, tiny.config())


def test_an_allowed_key_that_is_none_is_refused(workdir):
  match = "unknown config key 'sead' in --allow_changes; did you mean 'seed'"
  with pytest.raises(errors.UserError, match=match):
    directory.check_same_config(workdir, tiny.config(), ['sead'])


@pytest.mark.parametrize('content', ['[]', '{}', '{"identity": 3}'])
def test_damaged_facts_are_named(workdir, source, content):
  (workdir / 'data.json').write_text(content)
  match = f"{workdir}/data.json is damaged: it has no 'identity'"
  with pytest.raises(errors.UserError, match=match):
    directory.check_same_data(workdir, source)


@pytest.mark.parametrize(
  'last, folder, lost',
  [(0, False, False), (1, False, True), (1, True, False), (201, True, True)],
)
def test_a_log_without_its_checkpoints_is_refused(tmp_path, last, folder, lost):
  directory.record(tmp_path, tiny.config(num_classes=10), None, None)
  (tmp_path / 'metrics.jsonl').write_text(f'{{"step": {last}, "x": 1.0}}\n')
  if folder:
    (tmp_path / 'checkpoints').mkdir()
  match = f'has the log of a run of {last} steps, but none of its checkpoints'
  refused = pytest.raises(errors.UserError, match=match)
  with refused if lost else contextlib.nullcontext():
    directory.check_none_lost(tmp_path)
