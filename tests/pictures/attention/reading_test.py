"""What is said of numbers, and what is warned of."""

import math

import pytest

from sagan_jax.pictures.attention import reading

FINE = {
  'network': 'generator',
  'images': 'ema',
  'block': 'attention_16',
  'gate': 0.4,
  'keys': 64,
  'num_images': 10,
  'share': 0.2,
  'entropy': math.log(20),
  'distance': 5.0,
  'uniform_distance': 8.3,
  'row_difference': 0.4,
  'colour': 0.3,
  'nearness': 0.02,
  'on_object': 0.6,
  'on_object_uniform': 0.27,
  'on_object_fixed_shape': 0.4,
  'on_object_from_background': 0.2,
}


def test_a_block_at_work_raises_no_warning():
  assert reading.warnings(FINE) == []


@pytest.mark.parametrize(
  ('changes', 'text'),
  [
    ({'share': 0.0, 'gate': 0.0}, 'does nothing yet: what it adds is 0 % of'),
    ({'share': 0.0099, 'gate': -0.002}, 'adds is 0.99 % of its input, and its'),
    (
      {'entropy': math.log(64)},
      'nearly uniform: a row spreads over 64.0 of 64',
    ),
    ({'entropy': math.log(58)}, 'The block averages its input and looks now'),
    (
      {'row_difference': 0.02},
      'attend alike: rows differ from their mean by 2',
    ),
  ],
)
def test_what_must_not_be_read_as_it_looks_is_warned_of(changes, text):
  (warning,) = reading.warnings(FINE | changes)
  assert text in warning


def test_uniform_maps_are_not_called_alike_too():
  row = FINE | {'entropy': math.log(64), 'row_difference': 0.0, 'share': 0.0}
  assert len(reading.warnings(row)) == 2


@pytest.mark.parametrize(
  ('changes', 'text'),
  [
    ({}, 'It keeps to the shape of the object: queries on the object spend '
     '60.0 % of their attention on it. It covers 27.0 % of the area'),
    ({'on_object_from_background': 0.6}, 'It does not keep to the shape'),
    ({'on_object_fixed_shape': 0.59}, 'It does not keep to the shape'),
    ({'on_object': 0.1}, 'It follows the shape of the object by avoiding it'),
    ({'mask_fit': 0.9}, 'It keeps to the shape of the object'),
    ({'mask_fit': 0.6}, 'cannot be told: the images keep to the palette of the '
     'data only by 60 %'),
    ({}, 'Attention goes to like colours'),
    ({'colour': -0.3}, 'Attention goes to unlike colours'),
    ({'colour': 0.05}, 'goes neither to like nor to unlike colours'),
    ({}, 'A row spreads over 20.0 of 64 keys'),
  ],
)  # fmt: skip
def test_sentences_say_what_the_numbers_say(changes, text):
  assert text in ' '.join(reading.sentences(FINE | changes))


def test_what_is_not_known_is_not_said():
  row = {k: v for k, v in FINE.items() if not k.startswith('on_')}
  said = reading.sentences(row | {'colour': None, 'nearness': None})
  assert len(said) == 1 and said[0].startswith('A row spreads')


def test_the_share_comes_with_the_gate():
  assert reading.share(FINE | {'gate': -0.25}) == (
    '20.0 % of its input (gate -0.250)'
  )
  assert reading.title(FINE) == (
    'Generator, attention_16, images: generated, EMA weights'
  )
