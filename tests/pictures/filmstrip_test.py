"""Grids of a run, small enough for a page."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from sagan_jax.pictures import filmstrip, grids, labelled_grid
from tests.support import histories

NAMES = list(histories.CLASSES)


@pytest.fixture
def folder(tmp_path):
  """Writes grids of steps 10, 20 ...; returns a function from their number."""

  def write(count, weights=('ema', 'raw')):
    found = []
    for step in range(10, 10 * count + 1, 10):
      for each in weights:
        path = tmp_path / f'{step:08d}_{each}.png'
        sheet = labelled_grid.labelled(histories.images(step), 2, NAMES)
        labelled_grid.save(path, sheet, NAMES)
        found.append(filmstrip.Grid(step, each, path))
    return found

  return write


def frames(found, tile=32, budget=10**9):
  """Returns (frames, what was complained of)."""
  said = []
  made = filmstrip.frames(
    found, tile, lambda count: NAMES[:count], budget, said.append
  )
  return made, said


def pixels(frame):
  kind, content = frame['image'].split(',')
  assert kind == 'data:image/jpeg;base64'
  with Image.open(io.BytesIO(base64.b64decode(content))) as image:
    return np.asarray(image).astype(int)


def test_all_grids_that_fit_are_there(folder):
  found = folder(3)
  made, said = frames(found)
  assert said == []
  assert [(f['step'], f['weights']) for f in made] == [
    (10, 'ema'),
    (10, 'raw'),
    (20, 'ema'),
    (20, 'raw'),
    (30, 'ema'),
    (30, 'raw'),
  ]
  assert all(f['rows'] == NAMES for f in made)
  sheet = np.asarray(Image.open(found[0].path)).astype(int)
  assert np.abs(pixels(made[0]) - sheet).mean() < 10  # Noise, as JPEG.


def test_classes_of_one_name_can_be_told_apart(tmp_path):
  path, names = tmp_path / 'a.png', ['crane', 'ring', 'crane']
  sheet = labelled_grid.labelled(histories.images(0), 2, names)
  labelled_grid.save(path, sheet, names)
  ((made,), _) = frames([filmstrip.Grid(1, 'ema', path)])
  assert made['rows'] == ['crane', 'ring', 'crane (2)']


def test_the_budget_thins_evenly_and_keeps_the_ends(folder):
  found = folder(33, weights=('ema',))
  one = len(frames(found[:1])[0][0]['image'])
  made, _ = frames(found, budget=one * 11)
  assert sum(len(f['image']) for f in made) <= one * 11
  steps = [f['step'] for f in made]
  assert 9 <= len(steps) <= 11
  assert (steps[0], steps[-1]) == (10, 330)
  assert max(np.diff(steps)) <= 40


def test_one_grid_is_there_whatever_it_takes(folder):
  made, _ = frames(folder(3), budget=1)
  assert [f['step'] for f in made] == [30]


def test_so_many_steps_are_enough(folder, monkeypatch):
  monkeypatch.setattr(filmstrip, 'MAX_STEPS', 3)
  made, _ = frames(folder(5))
  assert [f['step'] for f in made] == [10, 10, 30, 30, 50, 50]


@pytest.mark.parametrize(
  'content, why',
  [
    (b'', 'it is no PNG image'),
    (b'no picture', 'it is no PNG image'),
    (b'\x89PNG\r\n\x1a\n', ''),
    (None, 'image file is truncated'),
  ],
)
def test_a_damaged_grid_is_named_and_left_out(folder, content, why):
  found = folder(3, weights=('ema',))
  whole = found[1].path.read_bytes()
  found[1].path.write_bytes(
    whole[: len(whole) // 2] if content is None else content
  )
  made, (said,) = frames(found)
  assert [f['step'] for f in made] == [10, 30]
  assert said.startswith(f'00000020_ema.png is damaged ({why}')
  assert said.endswith('); it is left out')


def test_a_grid_that_has_gone_is_named(folder):
  found = folder(1)
  found[0].path.unlink()
  made, (said,) = frames(found)
  assert len(made) == 1 and said.startswith(
    f'cannot read {found[0].path}: No such file or directory; '
  )
  assert said.endswith('; it is left out')


def test_a_grid_too_large_to_open_is_left_out(folder, monkeypatch):
  monkeypatch.setattr(filmstrip, '_MAX_OPENED', 6000)
  made, said = frames(folder(1))
  assert made == [] and 'pixels); it is left out' in said[0]


def test_large_sheets_are_made_smaller(folder, monkeypatch):
  monkeypatch.setattr(filmstrip, '_MAX_PIXELS', 2000)
  made, _ = frames(folder(1))
  height, width, _ = pixels(made[0]).shape
  assert 1500 <= height * width <= 2000


def test_grids_from_before_rows_were_named_get_names(tmp_path):
  histories.old_grid(tmp_path / 'a.png')
  grid = filmstrip.Grid(1, 'ema', tmp_path / 'a.png')
  ((made,), _) = frames([grid])
  assert made['rows'] == NAMES
  expected = labelled_grid.labelled(histories.images(0), 2, NAMES)
  assert pixels(made).shape == expected.shape


@pytest.mark.parametrize('tile', [None, 30])
def test_a_sheet_of_unknown_tiles_stays_as_it_is(tmp_path, tile):
  histories.old_grid(tmp_path / 'a.png')
  grid = filmstrip.Grid(1, 'ema', tmp_path / 'a.png')
  ((made,), _) = frames([grid], tile)
  assert made['rows'] == []
  assert pixels(made).shape == grids.grid(histories.images(0), 2).shape
