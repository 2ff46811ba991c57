"""What the numbers of an attention block mean, in words."""

import math

# Of the block's input: an eighth-bit image would not show less.
IDLE_SHARE = 0.01
UNIFORM_KEYS = 0.9  # Of all keys, that a row spreads over.
ALIKE = 0.05  # Total variation between the rows of an image and their mean.
_CLEAR = 0.02  # Difference of shares of attention that is called one.
_CORRELATED = 0.1
_PALETTE = 0.8  # Of the colour of generated shapes that keeps to the palette.

NAMES = {
  'generator': 'Generator',
  'discriminator': 'Discriminator',
  'ema': 'generated, EMA weights',
  'raw': 'generated, raw weights',
  'real': 'real',
}


def title(row):
  """Which block, and on which images, a row of statistics is about."""
  return (
    f'{NAMES[row["network"]]}, {row["block"]}, images: {NAMES[row["images"]]}'
  )


def share(row):
  """The block's share of its sum, as text."""
  return f'{100 * row["share"]:.1f} % of its input (gate {row["gate"]:+.3f})'


def warnings(row):
  """Why the maps of a block must not be read as they look, or not at all.

  Args:
    row: of `run.attention.measured`.

  Returns:
    A list of sentences; empty if there is no reason.
  """
  found = []
  if row['share'] < IDLE_SHARE:
    found.append(
      f'The block does nothing yet: what it adds is {100 * row["share"]:.2g} % '
      f'of its input, and its gate is {row["gate"]:+.2g}. What its maps show '
      'has no effect on the output.'
    )
  keys = math.exp(row['entropy'])
  if keys > UNIFORM_KEYS * row['keys']:
    found.append(
      f'Its maps are nearly uniform: a row spreads over {keys:.1f} of '
      f'{row["keys"]} keys. The block averages its input and looks nowhere.'
    )
  elif row['row_difference'] < ALIKE:
    found.append(
      'All queries of an image attend alike: rows differ from their mean by '
      f'{100 * row["row_difference"]:.1f} %. The block adds nearly the same '
      'vector everywhere; where it looks does not depend on the query.'
    )
  return found


def sentences(row):
  """What a block attends to, a list of sentences."""
  found = [
    f'A row spreads over {math.exp(row["entropy"]):.1f} of {row["keys"]} keys '
    f'(entropy {row["entropy"]:.2f} nats, uniform {math.log(row["keys"]):.2f}),'
    f' {row["distance"]:.1f} px away on average '
    f'(uniform {row["uniform_distance"]:.1f}), and differs from the mean row '
    f'of its image by {100 * row["row_difference"]:.0f} %.'
  ]
  if row['colour'] is not None and row['nearness'] is not None:
    found.append(
      f'Attention goes {_towards(row["colour"], "like", "unlike")} colours '
      f'(rank correlation with likeness of colour {row["colour"]:+.2f}, '
      f'with nearness {row["nearness"]:+.2f}, each apart from the other).'
    )
  fit = row.get('mask_fit', 1)
  if fit < _PALETTE:
    found.append(
      'Where the object is cannot be told: the images keep to the palette of '
      f'the data only by {100 * fit:.0f} %.'
    )
  elif row.get('on_object') is not None:
    found.append(_on_object(row))
  return found


def _towards(value, positive, negative):
  if abs(value) < _CORRELATED:
    return f'neither to {positive} nor to {negative}'
  return f'to {positive if value > 0 else negative}'


def _on_object(row):
  others = [
    row[f'on_object_{x}'] for x in ('uniform', 'fixed_shape', 'from_background')
  ]
  if row['on_object'] > max(others) + _CLEAR:
    verdict = 'It keeps to the shape of the object'
  elif row['on_object'] < min(others) - _CLEAR:
    verdict = 'It follows the shape of the object by avoiding it'
  else:
    verdict = 'It does not keep to the shape of the object'
  own, area, fixed, background = (
    f'{100 * value:.1f} %' for value in (row['on_object'], *others)
  )
  return (
    f'{verdict}: queries on the object spend {own} of their attention on it. '
    f'It covers {area} of the area; a neighbourhood of fixed shape with the '
    f'same reach would spend {fixed}; queries in the background spend '
    f'{background}.'
  )
