"""Tests of where runs are, and that they are found again."""

import os

import pytest
from etils import epath

from sagan_jax import errors
from sagan_jax.config import schema
from sagan_jax.sweeps import definition, lock, manifest


def members(**overrides):
  given = definition.from_flags('quickstart', overrides, ['n_dis=1,2'])
  return definition.members(given)


def trained(directory, config):
  """Makes what a run leaves that has saved a state."""
  (directory / 'checkpoints' / '5' / 'state').mkdir(parents=True)
  schema.save(config, directory / 'config.json')


def test_a_run_is_found_by_name_then_by_content(tmp_path):
  output = epath.Path(tmp_path)
  one, two = members()
  trained(output / 'n_dis=1', one.config)
  trained(output / 'other', two.config)
  (output / 'sweep.md').touch()
  (output / 'damaged').mkdir()
  (output / 'damaged' / 'config.json').write_text('{')
  assert manifest.place(output, [one, two]) == {
    'n_dis=1': output / 'n_dis=1',
    'n_dis=2': output / 'other',
  }


def test_what_may_change_and_what_the_data_says_is_no_difference(tmp_path):
  output = epath.Path(tmp_path)
  one, _ = members()
  saved = schema.replace(one.config, num_classes=10, num_steps=3)
  trained(output / 'x', saved)
  assert manifest.place(output, [one]) == {'n_dis=1': output / 'x'}
  manifest.configure(output / 'x', one.config, 7)
  config = schema.saved(output / 'x' / 'config.json')
  assert (config.num_classes, config.num_steps) == (10, 7)


def test_another_config_is_refused_where_states_are(tmp_path):
  output = epath.Path(tmp_path)
  for member in members():
    trained(output / member.name, member.config)
  with pytest.raises(errors.UserError) as caught:
    manifest.place(output, members(batch_size='16'))
  lines = str(caught.value).splitlines()
  assert lines[1:3] == ['  n_dis=1 and 1 more:', '    batch_size: 32 -> 16']
  for name in ('n_dis=1', 'n_dis=2'):
    (output / name / 'checkpoints' / '5').rmtree()
  assert len(manifest.place(output, members(batch_size='16'))) == 2


def test_a_manifest_is_read_as_it_was_written(tmp_path):
  output = epath.Path(tmp_path / 'new')
  found = members()
  places = manifest.place(output, found)
  manifest.record(output, 'quickstart', found, places)
  content = manifest.read(output)
  assert content['config'] == 'quickstart'
  assert content['members'][1] == {
    'name': 'n_dis=2',
    'changes': {'n_dis': 2},
    'setting': 'n_dis=2',
    'seed': 0,
    'num_steps': 2500,
    'directory': 'n_dis=2',
  }


def test_another_config_is_refused_where_a_process_trains(tmp_path):
  output = epath.Path(tmp_path)
  one, _ = members()
  manifest.configure(output / 'n_dis=1', one.config, 7)
  descriptor = lock.acquire(output / 'n_dis=1')
  with pytest.raises(errors.UserError, match='batch_size: 32 -> 16'):
    manifest.place(output, members(batch_size='16'))
  os.close(descriptor)
  manifest.place(output, members(batch_size='16'))


@pytest.mark.parametrize('text', ['{}', '[]', '{"format": 0}'])
def test_a_damaged_manifest(tmp_path, text):
  (tmp_path / 'sweep.json').write_text(text)
  with pytest.raises(errors.UserError, match='sweep.json is damaged or of'):
    manifest.read(epath.Path(tmp_path))


def test_a_directory_that_cannot_be_written(tmp_path):
  (tmp_path / 'file').touch()
  output = epath.Path(tmp_path / 'file' / 'out')
  with pytest.raises(errors.UserError, match='cannot write .*file/out'):
    manifest.record(output, 'quickstart', [], {})
