"""The page on which one explores attention maps.

Rows travel as binary16: each value is that of the arrays to a relative 2^-11,
or an absolute 3e-8. All values are drawn on one scale, the logarithm of attention
against that of a uniform map, so that a uniform map looks like one.
"""

import base64
import io

import numpy as np
from PIL import Image

from sagan_jax.pictures import page
from sagan_jax.pictures.attention import charts, reading, scale

MAX_BYTES = 50 << 20  # Of a page, which a browser still opens at once.
_BYTES_PER_VALUE = 8 / 3  # binary16, as base64.
_EXPLORER = """
<div class="controls">
<label>Step <select id="step"></select></label>
<label>Network <select id="network"></select></label>
<label>Images <select id="images"></select></label>
<label>Block <select id="block"></select></label>
<label>Colours up to <select id="maximum">{maxima}</select></label>
</div>
<div class="samples" id="samples" role="group" aria-label="Samples"></div>
<p id="said" aria-live="polite"></p>
<div class="pair">
<div class="maps">
<figure><canvas id="look" width="512" height="512" tabindex="0"
role="application"></canvas>
<figcaption class="faint">The image, dark where the query does not look. Point
at a pixel, click to hold it, or use the arrow keys.</figcaption></figure>
<figure><canvas id="row" width="512" height="512" role="img"
aria-label="The query's attention over the keys"></canvas>
<div id="scale_bar"></div>
<div class="ends"><span id="least"></span><span>uniform</span>
<span id="most"></span></div>
<figcaption class="faint">Attention over the grid of keys, in times that of a
uniform map: the same colours for all maps.</figcaption></figure>
<details id="numbers"><summary>The row as numbers</summary>
<div class="scroll numbers" id="table"></div></details>
</div>
{cards}
</div>
<noscript><p class="warning">Exploring needs scripts; the numbers of all maps
are in the files beside this page.</p></noscript>
"""

_METHOD = """
<h2>How it is measured</h2>
<ul>
<li>Share: the norm of what the block adds, gate times output, against that of
its input.</li>
<li>A map has a row per query, a pixel of the block's input, over the keys; a
row sums to one. Keys are pooled 2x2 where the formula is <code>code</code>.
</li>
<li>Colour and nearness: Spearman's rank correlation of attention with likeness
of colour at the same distance, and with nearness at the same colour; means
over queries and images. 0 means no relation.</li>
<li>On the object: attention of queries on the figure that falls on the figure,
its mask averaged over each key's cell. Masks of real shapes are known; those
of generated ones are told by colour.</li>
<li>A neighbourhood of fixed shape: the same attention at each distance, spread
over all keys at that distance.</li>
<li>The map is what is attended to, not what the output depends on.</li>
</ul>
"""


def size(queries, keys, samples):
  """Bytes of a page that the maps of one block need."""
  return int((queries * keys) ** 2 * samples * _BYTES_PER_VALUE)


def render(title, facts, rows, shown, class_names):
  """Makes the page.

  Args:
    title: of the page.
    facts: lines of text that stand below it.
    rows: statistics, as `run.attention.measured`, each with its 'step'.
    shown: list of (step, `attention_maps.View`).
    class_names: of the labels.

  Returns:
    HTML text.
  """
  from matplotlib import colormaps  # Not at import: it takes a while.

  # An odd number: the middle one is that of a uniform map.
  shades = colormaps[scale.COLOURS](np.linspace(0, 1, 65))[:, :3]
  colours = (shades * 255).round()
  views, images = _views(shown, class_names)
  step, network, source, block = next(reversed(views)).split('/')
  for name in views:
    if '/generator/ema/' in name:  # The last one, nearest to the pixels.
      step, network, source, block = name.split('/')
  data = {
    'views': views,
    'images': images,
    'names': reading.NAMES,
    'colours': [
      f'rgb({r:.0f} {g:.0f} {b:.0f})' for r, g, b in colours.tolist()
    ],
    'first': {
      'step': step,
      'network': network,
      'images': source,
      'block': block,
      'sample': 0,
      'y': views[f'{step}/{network}/{source}/{block}']['queries'] // 2,
      'x': views[f'{step}/{network}/{source}/{block}']['queries'] // 2,
    },
  }
  maxima = ''.join(
    f'<option value="{x}"{" selected" * (x == scale.MAXIMUM)}>{x} times '
    'uniform</option>'
    for x in scale.MAXIMA
  )
  body = (
    f'<h1>{page.escape(title)}</h1>\n'
    + ''.join(f'<p class="faint">{page.escape(x)}</p>\n' for x in facts)
    + _summary(rows)
    + '<h2>Where a pixel looks</h2>'
    + _EXPLORER.format(maxima=maxima, cards=_cards(rows))
    + _table(rows)
    + _METHOD
  )
  return page.render(
    title, body, data=data, scripts=['attention.js'], styles=['attention.css']
  )


def _views(shown, class_names):
  """The maps and the images for the script."""
  views, images = {}, {}
  for step, view in shown:
    name = 'real' if view.source == 'real' else f'{step}/{view.source}'
    images[name] = {
      'urls': [_url(image) for image in view.images],
      'classes': [class_names[label] for label in view.labels],
    }
    for block, maps in view.blocks.items():
      views[f'{step}/{view.network}/{view.source}/{block}'] = {
        'images': name,
        'queries': maps.rows.shape[1],
        'keys': maps.rows.shape[3],
        'gate': maps.gate,
        'share': maps.share.tolist(),
        'rows': [
          base64.b64encode(rows.astype('<f2').tobytes()).decode()
          for rows in maps.rows
        ],
      }
  return views, images


def _url(image):
  content = io.BytesIO()
  Image.fromarray(image).save(content, format='png')
  return page.data_url(content.getvalue(), 'image/png')


def _summary(rows):
  """The share of every block at the last step, and what speaks against it."""
  last = rows[-1]['step']
  lines = ''.join(
    f'<li><b>{page.escape(reading.title(row))}</b>: adds '
    f'{page.escape(reading.share(row))}. {_warnings(row)}</li>'
    for row in _ordered(rows)
    if row['step'] == last
  )
  return (
    f'<p>What each attention block adds to its input at step {last}, means '
    f'over {rows[-1]["num_images"]} images:</p><ul>{lines}</ul>'
  )


def _ordered(rows):
  return sorted(rows, key=lambda row: row['network'] != 'generator')


def _warnings(row):
  return ' '.join(
    f'<span class="warning">{page.escape(x)}</span>'
    for x in reading.warnings(row)
  )


def _cards(rows):
  """A card per row of statistics; the script shows that of the view."""
  cards = []
  for row in _ordered(rows):
    which = ('network', 'images', 'block')
    history = [r for r in rows if all(r[k] == row[k] for k in which)]
    name = '/'.join(str(row[k]) for k in ('step', *which))
    cards.append(
      f'<section class="card" data-view="{page.escape(name)}">'
      f'<h3>{page.escape(reading.title(row))}, step {row["step"]}</h3>'
      f'<p class="share">Adds {page.escape(reading.share(row))}</p>'
      f'<p>{_warnings(row)}</p>'
      + ''.join(f'<p>{page.escape(x)}</p>' for x in reading.sentences(row))
      + _history(history)
      + f'<p class="faint">Means over {row["num_images"]} images.</p></section>'
    )
  return ''.join(cards)


def _history(rows):
  steps = [row['step'] for row in rows]
  if len(steps) < 2:
    return ''
  share = [row['share'] for row in rows]
  drawn = charts.lines('Share of the block over steps', steps, {'share': share})
  text = f'<p class="faint">Share over steps</p>{drawn}'
  if 'on_object' in rows[0]:
    others = ('uniform', 'fixed_shape', 'from_background')
    series = {name: [r[f'on_object_{name}'] for r in rows] for name in others}
    series['on_object'] = [row['on_object'] for row in rows]
    drawn = charts.lines('Attention on the object over steps', steps, series)
    text += (
      '<p class="faint">Attention on the object over steps: line; from the '
      'background: dash and dot; of a fixed shape: dots; of a uniform map: '
      f'dashes</p>{drawn}'
    )
  return text


def _table(rows):
  columns = list(dict.fromkeys(key for row in rows for key in row))
  head = ''.join(f'<th>{page.escape(x)}</th>' for x in columns)
  lines = ''.join(
    '<tr>'
    + ''.join(f'<td>{page.escape(_cell(row.get(x)))}</td>' for x in columns)
    + '</tr>'
    for row in rows
  )
  return (
    '<h2>All numbers</h2><div class="scroll"><table><thead><tr>'
    f'{head}</tr></thead><tbody>{lines}</tbody></table></div>'
  )


def _cell(value):
  if value is None:
    return ''
  return f'{value:.4f}' if isinstance(value, float) else value
