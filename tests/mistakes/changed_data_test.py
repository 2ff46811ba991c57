"""Data that is found damaged while a run trains, or is another later."""

import shutil

import numpy as np
import pytest
from PIL import Image

from sagan_jax import main
from sagan_jax.data import array_writer, shapes
from sagan_jax.run import command
from tests.mistakes import data_test
from tests.support import mistakes, tiny
from tests.support.mistakes import Case

pytestmark = pytest.mark.slow

train, photos, damage = data_test.train, data_test.photos, data_test.damage
places = data_test.places  # A fixture.
SIZE = data_test.SIZE


@pytest.fixture(autouse=True, scope='module')
def small_networks():
  with tiny.small_networks():
    yield


def _run(*argv):
  return command.exit_code(main.main, list(argv))


def test_an_image_that_is_found_damaged_while_training(places, capsys):
  """What was reached is saved, and the run goes on when it is repaired."""
  path = places / 'photos' / 'bee' / '3.jpg'
  content = path.read_bytes()
  damage(path)
  workdir = places / 'run'
  # The damaged one comes in the first pass, not in the first batch.
  argv = train(f'folder:{places}/photos', workdir, num_steps=9, batch_size=2)
  assert _run(*argv) == 2
  case = Case('main', argv, [str(path), 'repair it or remove it'])
  mistakes.check_text(case, places, capsys.readouterr().err)
  saved = [int(p.name) for p in (workdir / 'checkpoints').iterdir()]
  path.write_bytes(content)
  # Repaired, it is another file: that is for a person to say.
  mistakes.check(
    Case('main', argv, [str(workdir), 'class bee']), places, capsys
  )
  assert _run(*argv, '--allow_changes=dataset.name') == 0
  assert saved == [] or f'after step {saved[0]}' in capsys.readouterr().out


def _replace_file(places):
  pixels = np.zeros((40, 48, 3), np.uint8)
  Image.fromarray(pixels).save(places / 'photos' / 'ant' / '0.jpg')


def _add_class(places):
  photos(places / 'photos', ['cow'])


def _rename_class(places):
  (places / 'photos' / 'ant').rename(places / 'photos' / 'wasp')


def _remove_file(places):
  (places / 'photos' / 'bee' / '7.jpg').unlink()


def _prepare_another(places):
  shutil.rmtree(places / 'array')
  source = shapes.open_source(image_size=SIZE, split='test', num_examples=40)
  array_writer.write(source, places / 'array', split='train')


@pytest.mark.parametrize(
  ('kind', 'change', 'told'),
  [
    ('folder:PLACES/photos', _replace_file, 'class ant: the same number'),
    ('folder:PLACES/photos', _remove_file, 'class bee: 7 files instead of 8'),
    ('folder:PLACES/photos', _rename_class, 'classes removed: ant'),
    ('array:PLACES/array', _prepare_another, 'images_sha256'),
  ],
)
def test_a_run_whose_data_has_changed(places, capsys, kind, change, told):
  source = kind.replace('PLACES', str(places))
  workdir = places / 'run'
  assert _run(*train(source, workdir)) == 0
  change(places)
  argv = train(source, workdir, num_steps=3)
  told = [str(workdir), told, '--allow_changes=dataset.name']
  mistakes.check(Case('main', argv, told), places, capsys)
  assert _run(*argv, '--allow_changes=dataset.name') == 0


def test_a_run_whose_data_has_another_class(places, capsys):
  source, workdir = f'folder:{places}/photos', places / 'run'
  assert _run(*train(source, workdir)) == 0
  _add_class(places)
  argv = train(source, workdir, num_steps=3)
  told = [str(workdir), 'classes added: cow']
  mistakes.check(Case('main', argv, told), places, capsys)


def test_data_may_move(places, capsys):
  workdir = places / 'run'
  assert _run(*train(f'folder:{places}/photos', workdir)) == 0
  (places / 'photos').rename(places / 'moved')
  moved = train(f'folder:{places}/moved', workdir, num_steps=3)
  assert _run(*moved) == 0
  assert 'resuming after step 2' in capsys.readouterr().out
  _run_elsewhere = train(f'array:{places}/array', workdir, num_steps=4)
  case = Case('main', _run_elsewhere, [str(workdir)])
  mistakes.check(case, places, capsys)
