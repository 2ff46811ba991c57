"""What is in a directory of checkpoints, and does not belong there."""

import os

import pytest

from sagan_jax import errors, files
from sagan_jax.checkpoints import listing, retention
from tests.support import checkpoints, gcs


def _strays(directory):
  """Leaves everything in a directory that nobody asked for."""
  directory.mkdir(parents=True)
  for name in ('99', '98', '3.orbax-checkpoint-tmp', '4.deleted', '5.damaged'):
    (directory / name).mkdir()
  for name in ('50', 'notes.txt', '007', '-1', '٣', '9' * 40):
    (directory / name).write_text('')
  os.symlink(directory / 'gone', directory / '60')
  for number in range(9):
    (directory / f'x{number}').write_text('')


def test_tells_checkpoints_from_all_else(tmp_path):
  directory = files.as_path(tmp_path / 'ckpt')
  assert listing.read(directory) == ([], [], {})
  _strays(directory)
  (directory / '10' / 'state').mkdir(parents=True)
  (directory / '9' / 'meta').mkdir(parents=True)
  (tmp_path / 'elsewhere' / 'meta').mkdir(parents=True)
  os.symlink(tmp_path / 'elsewhere', directory / '11')
  found = listing.read(directory)
  assert found.steps == [9, 10, 11]
  assert sorted(found.leftovers) == ['3.orbax-checkpoint-tmp', '4.deleted']
  assert listing.complaints(directory, found) == [
    f"{directory}: '-1', '007', '{'9' * 40}' and 11 more passed over as no "
    'checkpoints of a step, because their names are none',
    f"{directory}: '98', '99' passed over as no checkpoints of a step, because "
    'there is nothing of a checkpoint in them',
    f"{directory}: '50', '60' passed over as no checkpoints of a step, because "
    'they are no directories',
  ]


def test_in_a_bucket_a_file_tells_what_is_complete(monkeypatch, tmp_path):
  local = gcs.mock_gcs(monkeypatch, tmp_path)
  directory = files.as_path('gs://bucket/run/checkpoints')
  assert listing.read(directory).steps == []
  for step in (3, 10):
    files.write(directory / str(step) / 'commit_success.txt', '')
  files.write(directory / '11' / 'meta' / 'metadata', '')
  files.write(directory / 'x' / 'commit_success.txt', '')
  assert listing.read(directory).steps == [3, 10]
  retention.delete(directory, 3)
  assert listing.read(directory).steps == [10]
  assert not local(f'{directory}/3').exists()


def test_a_directory_that_cannot_be_read_is_named(monkeypatch, tmp_path):
  def fail(path):
    raise PermissionError(13, 'Permission denied', path)

  monkeypatch.setattr(os, 'scandir', fail)
  with pytest.raises(errors.UserError, match='cannot read .*: Permission den'):
    listing.read(files.as_path(tmp_path))
  lines = []
  retention.delete_old(files.as_path(tmp_path), 1, None, lines.append, set())
  assert lines[0].startswith(f'old checkpoints stay: cannot read {tmp_path}')


@pytest.mark.slow
def test_strays_do_no_harm(tmp_path):
  directory = tmp_path / 'ckpt'
  _strays(directory)
  (directory / '7').mkdir()
  (directory / '8').write_text('')
  state, lines = checkpoints.make_state(), []
  with checkpoints.opener(directory) as make:
    reader = make(writes=False, log=lines.append)
    assert (reader.last_step(), len(lines)) == (None, 3)
    assert (directory / '3.orbax-checkpoint-tmp').exists()
    saver = make(keep_last=1, log=lines.append)
    for step in (6, 7, 8):
      saver.save(checkpoints.at(state, step))
      saver.wait()
    assert saver.steps() == [8]
    assert int(saver.restore_newest(checkpoints.shapes(state)).step) == 8
  assert lines[3:6] == lines[:3]
  assert lines[6:] == [
    f'{directory}/{step} is no checkpoint, and is {step}.stray from now on'
    for step in (7, 8)
  ]
  names = {p.name for p in directory.iterdir()}
  assert {'99', '50', '007', '60', '5.damaged', '7.stray'} <= names
  assert not {'3.orbax-checkpoint-tmp', '4.deleted', '6', '7'} & names


@pytest.mark.slow
def test_an_old_one_that_cannot_be_deleted_is_told(tmp_path, monkeypatch):
  directory = tmp_path / 'ckpt'
  state, lines = checkpoints.make_state(), []

  def fail(path, suffix):
    with files.writing(path):
      raise PermissionError(13, f'Permission denied: {suffix}')

  with checkpoints.opener(directory) as make:
    saver = make(keep_last=1, log=lines.append)
    monkeypatch.setattr(retention, 'move', fail)
    for step in (1, 2, 3):
      saver.save(checkpoints.at(state, step))
      saver.wait()
    assert saver.steps() == [1, 2, 3]
    monkeypatch.undo()
    saver.save(checkpoints.at(state, 4))
    saver.wait()
    assert saver.steps() == [4]
  assert lines == [
    f'the old checkpoint of step {step} stays: cannot write {directory}/{step}:'
    ' Permission denied: .deleted; free space there, mend its permissions, or '
    'choose another directory'
    for step in (1, 2)
  ]


def test_a_link_to_a_checkpoint_goes_without_it(tmp_path):
  directory = files.as_path(tmp_path / 'ckpt')
  (tmp_path / 'elsewhere' / 'meta').mkdir(parents=True)
  directory.mkdir()
  os.symlink(tmp_path / 'elsewhere', directory / '11')
  retention.delete(directory, 11)
  assert list(directory.iterdir()) == []
  assert (tmp_path / 'elsewhere' / 'meta').is_dir()


def test_what_is_moved_takes_the_place_of_what_was_moved_before(tmp_path):
  path = files.as_path(tmp_path / '7')
  (tmp_path / 'gone').mkdir()
  for make in (
    lambda p: p.mkdir(),
    lambda p: p.write_text(''),
    lambda p: os.symlink(tmp_path / 'gone', p),
    lambda p: p.write_text('last'),
  ):
    make(path)
    retention.move(path, listing.STRAY)
  assert (tmp_path / '7.stray').read_text() == 'last'
  assert {p.name for p in tmp_path.iterdir()} == {'7.stray', 'gone'}


def test_the_last_few_and_the_multiples_stay():
  assert retention.old([1, 2, 3, 4], 2, None) == [1, 2]
  assert retention.old([1, 2, 3, 4, 6, 7], 1, 3) == [1, 2, 4]
  assert retention.old([4], 1, None) == []
