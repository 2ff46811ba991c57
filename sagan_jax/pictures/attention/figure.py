"""Attention maps as a picture, after figures 1 and 5 of arXiv:1805.08318.

A row per image: the image with a coloured dot per query, then the map of each
query framed in its colour. All maps are drawn on the one scale of `scale`, as
the colour bar says.
"""

import io

import numpy as np

from sagan_jax.pictures.attention import reading, scale, statistics

MOST_IMAGES = 6
_COLOURS = ('#e6194b', '#3cb44b', '#4363d8', '#f58231', '#b455d6')
MOST_QUERIES = len(_COLOURS)
# Inches. Laying out what has fixed places would take most of the time.
_CELL = 1.45
_MARGINS = {'left': 0.35, 'right': 0.95, 'top': 0.5, 'bottom': 0.15}
_NEAR = 0.5  # How much of RGB's unit the width of an image counts for.


def draw(view, block, class_names, *, points=None, num_queries=4, title=''):
  """Draws some images of a view with the maps of some queries.

  Args:
    view: an `attention_maps.View`; up to `MOST_IMAGES` of its images are
      drawn, evenly spaced.
    block: name of one of its blocks.
    class_names: of the labels.
    points: list of (y, x), pixels of the block's input, for every image; None
      chooses points that differ in colour and place.
    num_queries: how many to choose, up to `MOST_QUERIES`.
    title: text above.

  Returns:
    Bytes of a PNG.
  """
  from matplotlib.colors import LogNorm  # Not at import: it takes a second.

  norm = LogNorm(1 / scale.MAXIMUM, scale.MAXIMUM, clip=True)
  maps = view.blocks[block]
  n = len(view.images)
  images = np.linspace(0, n - 1, min(n, MOST_IMAGES)).round().astype(int)
  columns = 1 + (num_queries if points is None else len(points))
  figure, axes, place = _layout(len(images), columns, title)
  height, keys = maps.rows.shape[1], maps.rows.shape[3]
  drawn = None
  for i, number in enumerate(images):
    image = view.images[number]
    queries = choose(image, height, num_queries) if points is None else points
    axes[i, 0].imshow(image, extent=(0, height, height, 0))
    # A name may hold dollars, which would be read as a formula.
    name = class_names[view.labels[number]].replace('$', r'\$')
    axes[i, 0].set_ylabel(name, fontsize=9)
    for (y, x), colour, axis in zip(
      queries, _COLOURS, axes[i, 1:], strict=False
    ):
      _dot(axes[i, 0], y, x, colour)
      drawn = axis.imshow(
        maps.rows[number, y, x] * keys**2,
        extent=(0, height, height, 0),
        cmap=scale.COLOURS,
        norm=norm,
      )
      _dot(axis, y, x, colour)
      for spine in axis.spines.values():
        spine.set(color=colour, linewidth=3)
  for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
  bar = figure.colorbar(
    drawn, cax=place, extend='both', label='times uniform attention'
  )
  bar.minorticks_off()
  bar.set_ticks([1 / 8, 1 / 2, 1, 2, 8], labels=['1/8', '1/2', '1', '2', '8'])
  content = io.BytesIO()
  figure.savefig(content, format='png', dpi=110)
  return content.getvalue()


def _layout(rows, columns, title):
  """Returns a figure, its axes [rows, columns] and those of the colour bar."""
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  width = _MARGINS['left'] + columns * _CELL + _MARGINS['right']
  tall = _MARGINS['top'] + rows * _CELL + _MARGINS['bottom']
  figure = Figure(figsize=(width, tall))
  FigureCanvasAgg(figure)
  axes = figure.subplots(rows, columns, squeeze=False)
  figure.subplots_adjust(
    left=_MARGINS['left'] / width,
    right=1 - _MARGINS['right'] / width,
    top=1 - _MARGINS['top'] / tall,
    bottom=_MARGINS['bottom'] / tall,
    wspace=0.1,
    hspace=0.1,
  )
  figure.text(0.5, 1 - 0.25 / tall, title, fontsize=9, ha='center', va='center')
  bar = (1 - 0.8 * _MARGINS['right'] / width, 0.15, 0.14 / width, 0.7)
  return figure, axes, figure.add_axes(bar)


def _dot(axis, y, x, colour):
  """Marks a query, over the frame too."""
  at = x + 0.5, y + 0.5
  style = {'color': colour, 'markeredgecolor': 'w', 'zorder': 5}
  axis.plot(*at, 'o', clip_on=False, **style)


def title(view, block, step):
  """What a figure shows, in two lines."""
  maps = view.blocks[block]
  return (
    f'{reading.NAMES[view.network]}, {block}, step {step}\n'
    f'images: {reading.NAMES[view.source]}; the block adds '
    f'{100 * float(maps.share.mean()):.1f} % of its input'
  )


def choose(image, size, count):
  """Queries of an image that differ in colour and place.

  The first is the one in the middle; each further one is farthest from those
  before it, in RGB and half of the place.

  Args:
    image: uint8 [S, S, 3].
    size: H of the queries.
    count: how many.

  Returns:
    A list of (y, x) in pixels of the queries' grid.
  """
  colours = statistics.cells(image[None], size)[0].reshape(-1, 3)
  places = np.indices((size, size)).reshape(2, -1).T
  at = np.concatenate([colours, places / size * _NEAR], -1)
  chosen = [size // 2 * size + size // 2]
  distance = np.full(len(at), np.inf)
  while len(chosen) < count:
    distance = np.minimum(
      distance, np.linalg.norm(at - at[chosen[-1]], axis=-1)
    )
    chosen.append(int(distance.argmax()))
  return [tuple(places[i].tolist()) for i in chosen]
