"""Tests of what annotations accept, how they say it, and of override texts."""

from typing import Annotated, Literal

import pytest

from sagan_jax.config import annotations
from sagan_jax.config.annotations import NON_EMPTY, OneOf, Range

NAMES = {'red': 1, 'green': 2}

Count = Annotated[int, Range(1, at_most=9)]
Share = Annotated[float, Range(above=0, at_most=1)]
Decay = Annotated[float, Range(0, below=1)]
Color = Annotated[str, OneOf(NAMES)]
Colors = Annotated[tuple[Color, ...], NON_EMPTY]
Switch = bool | Literal['auto']
NAN, INFINITY = float('nan'), float('inf')


@pytest.mark.parametrize(
  'annotation, value, expected',
  [
    (Count, 1, 1),
    (Count, 9, 9),
    (Count | None, None, None),
    (float, 2, 2.0),
    (Decay, 0, 0.0),
    (Share, 1, 1.0),
    (bool, False, False),
    (str, '', ''),
    (Color, 'red', 'red'),
    (Annotated[int, OneOf({32: 'x'})], 32, 32),
    (Literal['a', 'b'], 'b', 'b'),
    (Switch, True, True),
    (Switch, 'auto', 'auto'),
    (tuple[int, ...], [1, 2], (1, 2)),
    (tuple[float, ...], (1,), (1.0,)),
    (tuple[int, ...], (), ()),
    (Colors, ('red',), ('red',)),
  ],
)
def test_fit_accepts(annotation, value, expected):
  fitted = annotations.fit(annotation, value)
  assert fitted == expected and type(fitted) is type(expected)


@pytest.mark.parametrize(
  'annotation, value',
  [
    (Count, 0),
    (Count, 10),
    (Count, 1.0),
    (Count, '1'),
    (Count, True),
    (Count, None),
    (float, True),
    (float, '1'),
    (float, NAN),
    (float, INFINITY),
    (float, -INFINITY),
    (float, 10**400),
    (Decay, 1.0),
    (Decay, -0.1),
    (Share, 0.0),
    (Share, 1.1),
    (bool, 1),
    (bool, 'auto'),
    (Switch, 1),
    (Switch, 'on'),
    (str, 1),
    (str, None),
    (Color, 'blue'),
    (Literal[1, 2], True),
    (tuple[int, ...], 1),
    (tuple[int, ...], '12'),
    (tuple[int, ...], (1, 2.0)),
    (tuple[int, ...], None),
    (Colors, ()),
    (Colors, ('red', 'blue')),
  ],
)
def test_fit_refuses(annotation, value):
  assert annotations.fit(annotation, value) is annotations.UNFIT


def test_a_name_that_is_registered_later_is_accepted():
  names = {'a': 1}
  annotation = Annotated[str, OneOf(names)]
  assert annotations.fit(annotation, 'b') is annotations.UNFIT
  names['b'] = 2
  assert annotations.fit(annotation, 'b') == 'b'
  assert annotations.describe(annotation) == "one of 'a', 'b'"


@pytest.mark.parametrize(
  'annotation, text',
  [
    (int, 'an integer'),
    (Count, 'an integer from 1 to 9'),
    (Count | None, 'an integer from 1 to 9 or None'),
    (Decay, 'a finite number >= 0 and < 1'),
    (Share, 'a finite number > 0 and <= 1'),
    (Switch, "True or False or 'auto'"),
    (Color, "one of 'red', 'green'"),
    (str | None, 'a string or None'),
    (Colors, "a non-empty tuple, each one of 'red', 'green'"),
    (tuple[int, ...], 'a tuple, each an integer'),
  ],
)
def test_describe(annotation, text):
  assert annotations.describe(annotation) == text


@pytest.mark.parametrize(
  'annotation, text, expected',
  [
    (int, '7', 7),
    (int, ' -7 ', -7),
    (int, '1_000_000', 1_000_000),
    (int, '1e6', 1_000_000),
    (int, '9007199254740993', 9007199254740993),  # No float can hold it.
    (Count | None, 'None', None),
    (Count | None, '3', 3),
    (str | None, 'None', None),
    (str | None, 'nothing', 'nothing'),
    (float, '1e-4', 1e-4),
    (float, '1', 1.0),
    *((bool, text, True) for text in ('true', 'True', '1')),
    *((bool, text, False) for text in ('false', 'FALSE', '0')),
    (Switch, 'auto', 'auto'),
    (Switch, 'False', False),
    (str, 'a,b', 'a,b'),
    (Color, 'red', 'red'),
    *((tuple[int, ...], text, ()) for text in ('()', '', '[]', '( )')),
    *((tuple[int, ...], text, (32,)) for text in ('32', '(32,)', '[32]')),
    *((tuple[int, ...], text, (32, 64)) for text in ('(32, 64)', '32,64')),
    (tuple[float, ...], '(0.5,)', (0.5,)),
    *(
      (Colors, text, ('red', 'green'))
      for text in ('red,green', "('red','green')", '["red", "green"]')
    ),
  ],
)
def test_parse(annotation, text, expected):
  value = annotations.fit(annotation, annotations.parse(annotation, text))
  assert value == expected and type(value) is type(expected)


@pytest.mark.parametrize(
  'annotation, text, expected',
  [
    (int, 'many', 'many'),
    (int, '1.5', 1.5),
    (int, 'None', None),
    (float, 'x', 'x'),
    (bool, 'yes', 'yes'),
    (str, 'None', None),
    (Count | None, '1.5', 1.5),
    (tuple[int, ...], '(8, x)', (8, 'x')),
    (tuple[int, ...], '8,,9', (8, '', 9)),
    (Colors, '()', ()),
  ],
)
def test_parse_leaves_what_fits_not_to_be_refused(annotation, text, expected):
  value = annotations.parse(annotation, text)
  assert value == expected
  assert annotations.fit(annotation, value) is annotations.UNFIT


@pytest.mark.parametrize('text', ['inf', '1e999', 'nan', '-inf'])
@pytest.mark.parametrize('annotation', [int, float, float | None])
def test_no_text_is_an_infinity(annotation, text):
  value = annotations.parse(annotation, text)
  assert annotations.fit(annotation, value) is annotations.UNFIT


@pytest.mark.parametrize(
  'annotation, value, text',
  [
    (Color, 'rad', "; did you mean 'red'?"),
    (Colors, ('red', 'gren'), "; did you mean 'green'?"),
    (Switch, 'aut', "; did you mean 'auto'?"),
    (Color, 'xyz', ''),
    (Color, 1, ''),
    (int, 'one', ''),
  ],
)
def test_hint(annotation, value, text):
  assert annotations.hint(annotation, value) == text
