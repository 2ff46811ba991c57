"""The page of attention maps: what it holds, and what a browser makes of it."""

import base64
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from sagan_jax.gan import attention_maps
from sagan_jax.pictures.attention import page
from tests.pictures.attention.reading_test import FINE
from tests.pictures.page_test import Elements
from tests.support import known_attention

BLOCKS = {
  'attention_8': (8, 4),
  'attention_16': (16, 8),
  'attention_32': (32, 16),
}
EVIL = '</script><script>alert(1)</script>'


def _view(source='ema', rows=None):
  blocks = {}
  for name, (size, keys) in BLOCKS.items():
    known = known_attention.rows(size, keys) if rows is None else rows[name]
    shape = (2, size, size, keys, keys)
    blocks[name] = attention_maps.Maps(
      np.broadcast_to(known.reshape(shape[1:]), shape),
      np.array([0.25, 0.5], np.float32),
      0.25,
    )
  images = np.zeros((2, 32, 32, 3), np.uint8)
  images[1] = 200
  return attention_maps.View(
    'generator', source, images, np.array([0, 1], np.int32), blocks
  )


def _page(views, steps=(500,), **changes):
  rows = [
    FINE | {'step': step, 'block': block, 'images': view.source} | changes
    for step in steps
    for view in views
    for block in BLOCKS
  ]
  shown = [(step, view) for step in steps for view in views]
  return page.render('A run', ['a fact'], rows, shown, ['ring', EVIL])


def _data(text):
  return json.loads(Elements(text).text['data'])


def test_rows_are_those_of_the_maps_to_binary16():
  rng = np.random.default_rng(0)
  rows = {}
  for name, (size, keys) in BLOCKS.items():
    logits = 4 * rng.standard_normal((size**2, keys**2))
    rows[name] = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  data = _data(_page([_view(rows=rows)]))
  for name, (size, keys) in BLOCKS.items():
    view = data['views'][f'500/generator/ema/{name}']
    assert (view['queries'], view['keys']) == (size, keys)
    found = np.frombuffer(base64.b64decode(view['rows'][1]), '<f2')
    np.testing.assert_allclose(
      found.reshape(size**2, keys**2).astype(float),
      rows[name],
      rtol=2**-11,
      atol=3e-8,
    )
    assert view['share'] == [0.25, 0.5] and view['gate'] == 0.25


def test_the_page_begins_with_the_last_layer_of_the_generator():
  data = _data(_page([_view('raw'), _view('ema'), _view('real')], (500, 900)))
  first = data['first']
  assert (first['step'], first['images']) == ('900', 'ema')
  assert (first['block'], first['y'], first['x']) == ('attention_32', 16, 16)
  assert sorted(data['images']) == [
    '500/ema', '500/raw', '900/ema', '900/raw', 'real',
  ]  # fmt: skip


def test_the_share_and_its_warnings_come_before_all_pictures():
  text = _page([_view()], share=0.001, gate=0.0)
  above = text.split('Where a pixel looks')[0]
  assert above.count('adds 0.1 % of its input') == len(BLOCKS)
  assert above.count('The block does nothing yet') == len(BLOCKS)
  assert 'does nothing yet' not in _page([_view()])


def test_charts_need_several_steps():
  assert '<polyline' not in _page([_view()])
  text = _page([_view()], (500, 900))
  # For each block and step a chart of the share and one of the object.
  assert text.count('<polyline class="on_object_') == 0
  assert text.count('<polyline class="on_object"') == 2 * len(BLOCKS)


def test_names_stay_text():
  text = _page([_view()])
  assert [tag for tag, _ in Elements(text).tags].count('script') == 2
  assert _data(text)['images']['500/ema']['classes'] == ['ring', EVIL]


def test_the_size_that_maps_need_is_foreseen():
  without = len(page.render('', [], [FINE | {'step': 1}], [(1, _view())], 'ab'))
  expected = sum(page.size(*sizes, 2) for sizes in BLOCKS.values())
  assert without == pytest.approx(expected, rel=0.15)


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
  """Opens the page with a part of its URL; returns the canvas's tag."""
  program = shutil.which('chromium') or shutil.which('google-chrome')
  if program is None:
    pytest.skip('there is no chromium')
  folder = tmp_path_factory.mktemp('page')
  (folder / 'a.html').write_text(_page([_view()]))

  def opened(part):
    result = subprocess.run(
      [
        program,
        '--headless',
        '--no-sandbox',
        '--disable-gpu',
        '--dump-dom',
        f'--user-data-dir={folder / "profile"}',
        (folder / 'a.html').as_uri() + part,
      ],
      capture_output=True,
      text=True,
      timeout=60,
      check=True,
    )
    return result.stdout

  return opened


@pytest.mark.parametrize(
  ('block', 'y', 'x', 'said'),
  [
    ('attention_8', 3, 6, 'key row 1, column 3 of 4 x 4: 1.00, 16.0 times'),
    ('attention_16', 15, 0, '0.0156, 1.00 times uniform. It spreads over 64.0'),
    ('attention_32', 7, 30, 'key row 0, column 5 of 16 x 16: 1.00, 256 times'),
  ],
)
def test_a_browser_shows_the_row_of_a_pixel(browser, block, y, x, said):
  text = browser(f'#block={block}&y={y}&x={x}&sample=1')
  size, keys = BLOCKS[block]
  found = re.search('data-row="([^"]*)"', text)[1]
  np.testing.assert_allclose(
    [float(value) for value in found.split()],
    known_attention.rows(size, keys)[y * size + x],
  )
  assert f'data-query="{y} {x}"' in text
  assert said in text
  assert 'In this image the block adds 50.0 %' in text
