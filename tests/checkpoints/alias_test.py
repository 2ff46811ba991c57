"""Directories whose names say something else to orbax and TensorStore."""

import pathlib

import pytest

from sagan_jax import errors
from sagan_jax.checkpoints import alias
from sagan_jax.gan import state as state_lib
from tests.support import checkpoints

NAMES = ['lr[1e-4]', 'a*', '**?', 'a\\b', 'new\nline é ü', '\udcff']


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES, ids=ascii)
def test_any_legal_name_works(tmp_path, name):
  directory = tmp_path / name / 'checkpoints'
  # `a*` would take the arrays of this one, too.
  (tmp_path / 'ab' / 'checkpoints').mkdir(parents=True)
  state = checkpoints.make_state()
  with checkpoints.opener(directory) as make:
    checkpoints.saved(make, checkpoints.at(state, 3), state)
  with checkpoints.opener(directory) as make:
    found = make(writes=False).restore_newest(checkpoints.shapes(state))
  assert state_lib.digest(found) == state_lib.digest(state)
  assert sorted(p.name for p in directory.iterdir()) == ['3', '7']
  assert {p.name for p in tmp_path.iterdir()} == {name, 'ab'}


def test_errors_have_the_name_that_was_given(tmp_path):
  directory = tmp_path / 'a[1]' / 'checkpoints'
  link = alias.of(directory)
  assert link != directory and pathlib.Path(link).name == 'checkpoints'
  assert alias.of(directory) == link
  text = alias.undone(f'cannot write {link}/7')
  assert text == f'cannot write {directory}/7'


def test_plain_names_and_urls_stay(tmp_path):
  for path in (tmp_path / 'a]{1},=(2) ~é\n', pathlib.Path('/x/y')):
    assert alias.of(path) == path


def test_refuses_a_place_for_links_with_such_a_name(tmp_path, monkeypatch):
  monkeypatch.setattr(alias.tempfile, 'tempdir', str(tmp_path / '[1]'))
  with pytest.raises(errors.UserError, match='set TMPDIR to a directory with'):
    alias.of(tmp_path / 'b[1]' / 'checkpoints')
