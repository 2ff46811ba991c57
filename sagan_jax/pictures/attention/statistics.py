"""What attention maps do, as numbers per image.

Distances are in pixels of the block's input, between the centre of a query and
that of a key. All means over the queries of an image are plain, unless said
otherwise; all results are float64 [n].
"""

import functools

import numpy as np

_RANKED_QUERIES = 64  # Of an image, evenly spaced: ranking is slow.


def spread(rows):
  """How far and how evenly rows spread.

  Args:
    rows: float32 [n, H, W, h, w].

  Returns:
    A dict:
      entropy: of the rows, in nats; log(h w) for uniform ones.
      distance: that is attended over.
      uniform_distance: what that is for uniform rows.
      row_difference: total variation between a row and the mean row of its
        image: 0 if all queries attend alike, at most 1.
  """
  n, height, _, keys, _ = rows.shape
  rows = rows.reshape(n, height**2, keys**2).astype(np.float64)
  logs = np.log(rows, out=np.zeros_like(rows), where=rows > 0)
  distances = _distances(height, keys)
  mean = rows.mean(1, keepdims=True)
  return {
    'entropy': -(rows * logs).sum(-1).mean(-1),
    'distance': (rows * distances).sum(-1).mean(-1),
    'uniform_distance': np.full(n, distances.mean()),
    'row_difference': np.abs(rows - mean).sum(-1).mean(-1) / 2,
  }


def colour_and_distance(rows, images):
  """Whether rows follow colour or nearness: partial rank correlations.

  For a query, all keys are ranked by attention, by the distance of their colour
  from the query's (Euclidean, in RGB averaged over a cell) and by their
  distance in space; Spearman's correlations of these give the partial ones,
  each with the other held fixed, and their mean over 64 queries.

  Args:
    rows: float32 [n, H, W, h, w].
    images: uint8 [n, S, S, 3].

  Returns:
    A dict of values in [-1, 1], NaN for an image where they are not defined, as
    where rows are uniform:
      colour: 1 if attention falls as colours differ more, nearness apart.
      nearness: 1 if attention falls with distance, colour apart.
  """
  n, height, _, keys, _ = rows.shape
  chosen = np.linspace(0, height**2 - 1, _RANKED_QUERIES).round().astype(int)
  chosen = np.unique(chosen)
  at_query = cells(images, height).reshape(n, -1, 3)[:, chosen, None]
  at_key = cells(images, keys).reshape(n, 1, -1, 3)
  attention = rows.reshape(n, height**2, -1)[:, chosen]
  # Rounding errors of uniform rows must not be ranked.
  attention = (attention * keys**2).round(5)
  colour = np.linalg.norm(at_query - at_key, axis=-1).round(6)
  distance = _distances(height, keys)[chosen]
  attention, colour = _ranks(attention), _ranks(colour)
  distance = np.broadcast_to(_ranks(distance), attention.shape)
  with np.errstate(invalid='ignore', divide='ignore'):  # Rows without ranks.
    by_colour = (attention * colour).sum(-1)
    by_distance = (attention * distance).sum(-1)
    both = (colour * distance).sum(-1)
    return {
      'colour': _mean(-_partial(by_colour, by_distance, both)),
      'nearness': _mean(-_partial(by_distance, by_colour, both)),
    }


def on_figure(rows, figure, marks):
  """How much of the attention of a figure's pixels falls on the figure.

  Means are over queries, weighted by how much of each the figure covers.

  Args:
    rows: float32 [n, H, W, h, w].
    figure: float32 [n, S, S], the share of each pixel that it covers.
    marks: float32 [n, S, S], of distant parts of the figure's colour.

  Returns:
    A dict of values in [0, 1], NaN for an image without a figure:
      on_object: share of the attention that falls on the figure.
      on_object_uniform: the figure's share of the area: that of uniform rows.
      on_object_fixed_shape: that of rows with the same attention at each
        distance, spread over all keys at that distance alike: of a
        neighbourhood of the same reach which knows nothing of shapes.
      on_object_from_background: that of queries in the background: equal to
        `on_object` if all queries attend alike.
      on_marks, on_marks_uniform, on_marks_fixed_shape,
        on_marks_from_background: the same for what falls on the marks.
  """
  n, height, _, keys, _ = rows.shape
  rows = rows.reshape(n, height**2, keys**2).astype(np.float64)
  weight = cells(figure, height).reshape(n, -1)
  background = 1 - weight - cells(marks, height).reshape(n, -1)
  # No figure, no object: nor is there anything to look at from elsewhere.
  background = background.clip(0) * (weight.sum(-1, keepdims=True) > 0)

  found = {}
  for name, mask in (('on_object', figure), ('on_marks', marks)):
    mask = cells(mask, keys).reshape(n, 1, -1)
    fixed = _blurred(np.broadcast_to(mask, rows.shape), height, keys)
    falls_on = (rows * mask).sum(-1)
    found[name] = _weighted_mean(falls_on, weight)
    found[f'{name}_uniform'] = _weighted_mean(mask.mean(-1), weight)
    found[f'{name}_fixed_shape'] = _weighted_mean(
      (rows * fixed).sum(-1), weight
    )
    found[f'{name}_from_background'] = _weighted_mean(falls_on, background)
  return found


def cells(values, size):
  """Averages over the cells of a grid: [n, S, S, ...] to [n, size, size, ...].

  uint8 becomes 0 to 1.
  """
  if values.dtype == np.uint8:
    values = values / 255.0
  n, pixels, _, *rest = values.shape
  k = pixels // size
  return (
    values.astype(np.float64).reshape(n, size, k, size, k, *rest).mean((2, 4))
  )


@functools.cache
def _distances(height, keys):
  """Between queries and keys, float64 [H W, h w]."""
  k = height // keys
  query = np.arange(height)
  key = np.arange(keys) * k + (k - 1) / 2
  along = query[:, None] - key  # [H, h], the same for both axes.
  return np.hypot(along[:, None, :, None], along[None, :, None, :]).reshape(
    height**2, keys**2
  )


def _blurred(values, height, keys):
  """Means over all keys at the same distance, rounded to the pitch of keys.

  Args:
    values: [n, H W, h w].
    height: H.
    keys: h.

  Returns:
    float64 [n, H W, h w].
  """
  n, queries, _ = values.shape
  ring = (_distances(height, keys) * keys / height).round().astype(int)
  rings = ring.max() + 1
  ring = ring + np.arange(queries)[:, None] * rings
  count = np.bincount(ring.ravel(), minlength=queries * rings)
  found = np.empty(values.shape)
  for i in range(n):
    sums = np.bincount(ring.ravel(), values[i].ravel(), queries * rings)
    found[i] = (sums / np.maximum(count, 1))[ring]
  return found


def _ranks(values):
  """Ranks along the last axis, centred, of unit norm; 0 where all are equal."""
  shape = values.shape
  values = values.reshape(-1, shape[-1])
  order = values.argsort(-1)
  ordered = np.take_along_axis(values, order, -1)
  # Equal values share the mean of their places.
  new = np.diff(ordered, axis=-1, prepend=np.nan) != 0
  group = new.cumsum() - 1
  place = np.broadcast_to(np.arange(shape[-1]), values.shape)
  means = np.bincount(group, place.ravel()) / np.bincount(group)
  ranks = np.empty(values.shape)
  np.put_along_axis(ranks, order, means[group].reshape(values.shape), -1)
  ranks = (ranks - ranks.mean(-1, keepdims=True)).reshape(shape)
  norm = np.linalg.norm(ranks, axis=-1, keepdims=True)
  return np.divide(ranks, norm, out=np.zeros_like(ranks), where=norm > 0)


def _partial(first, second, between):
  """The first of two correlations with the second held fixed; NaN for 0 / 0."""
  rest = np.sqrt((1 - second**2) * (1 - between**2))
  value = (first - second * between) / rest
  # Where all attention is equal, both are 0 and say nothing.
  return np.where((first == 0) & (second == 0), np.nan, value)


def _mean(values):
  """Means of the numbers in rows [n, m], NaN for rows without any."""
  fine = np.isfinite(values)
  return _weighted_mean(np.where(fine, values, 0), fine)


def _weighted_mean(values, weight):
  """Means along rows [n, m] by weights, NaN for rows that have none."""
  total = weight.sum(-1)
  none = np.full(len(weight), np.nan)
  sums = (values * weight).sum(-1)
  return np.divide(sums, total, out=none, where=total > 0)
