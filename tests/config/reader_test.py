"""Tests of the reader, by a config that has nothing to do with images."""

import dataclasses
import re
from typing import Annotated, Literal

import pytest
from ml_collections import ConfigDict

from sagan_jax import errors
from sagan_jax.config import reader
from sagan_jax.config.annotations import MAY_CHANGE, Range


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wheel:
  size: Annotated[int, Range(1)]
  spokes: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bell:
  loud: bool
  tone: Annotated[Literal['high', 'low'] | None, MAY_CHANGE]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bike:
  weight: float
  gears: Annotated[int | None, MAY_CHANGE] = None
  front: Wheel
  back: Annotated[Wheel, MAY_CHANGE]
  bell: Bell


TREE = {
  'weight': 9,
  'gears': 7,
  'front': {'size': 28, 'spokes': [3, 4]},
  'back': {'size': 27, 'spokes': ()},
  'bell': {'loud': True, 'tone': None},
}
BIKE = Bike(
  weight=9.0,
  gears=7,
  front=Wheel(size=28, spokes=(3, 4)),
  back=Wheel(size=27),
  bell=Bell(loud=True, tone=None),
)


def test_leaves_are_listed_with_what_may_change():
  leaves = reader.leaves(Bike)
  assert list(leaves) == [
    'weight',
    'gears',
    'front.size',
    'front.spokes',
    'back.size',
    'back.spokes',
    'bell.loud',
    'bell.tone',
  ]
  free = {key for key, leaf in leaves.items() if leaf.may_change}
  assert free == {'gears', 'back.size', 'back.spokes', 'bell.tone'}


@pytest.mark.parametrize(
  'tree', [TREE, ConfigDict(TREE), reader.flatten(TREE), BIKE]
)
def test_reads_dicts_config_dicts_flat_ones_and_configs(tree):
  assert reader.read(Bike, tree) == BIKE


def test_a_config_is_read_only():
  with pytest.raises(dataclasses.FrozenInstanceError, match='size'):
    reader.read(Bike, TREE).front.size = 3


def test_overrides_come_first_and_are_typed():
  flat = reader.flatten(TREE) | {'front.size': 'wrong', 'weight': None}
  overrides = {
    'front.size': '1e3',
    'weight': '8',
    'gears': 'None',
    'front.spokes': '5,6',
    'bell.tone': 'low',
  }
  bike = reader.read(Bike, flat, overrides)
  assert bike == Bike(
    weight=8.0,
    gears=None,
    front=Wheel(size=1000, spokes=(5, 6)),
    back=Wheel(size=27),
    bell=Bell(loud=True, tone='low'),
  )
  assert flat['front.size'] == 'wrong'  # The input is left alone.


@pytest.mark.parametrize(
  'changes, overrides, message',
  [
    (
      {'front.siz': 1},
      {},
      "file: unknown config key 'front.siz'; did you mean 'front.size'?",
    ),
    ({'zzzzzz': 1}, {}, "file: unknown config key 'zzzzzz'; remove it"),
    (
      {'weight.kg': 1},
      {},
      "file: unknown config key 'weight.kg'; did you mean 'weight'?",
    ),
    (
      {'bell': {}},
      {},
      "file: config key 'bell' is a section; set --config.bell.loud etc.",
    ),
    (
      {'weight': ...},
      {},
      "file: missing config key 'weight', which every run needs; "
      'set --config.weight',
    ),
    # A default is for older files only.
    ({'gears': ...}, {}, "file: missing config key 'gears', which every run"),
    (
      {'front.size': ..., 'front.spokes': ...},
      {},
      "file: missing config keys 'front.size', 'front.spokes', which every run "
      'needs; set --config.front.size etc.',
    ),
    (
      {'weight': '9'},
      {},
      "file: weight='9' must be a finite number; set --config.weight",
    ),
    (
      {'front.size': 0},
      {},
      'file: front.size=0 must be an integer >= 1; set --config.front.size',
    ),
    (
      {'bell.tone': 'hig'},
      {},
      "file: bell.tone='hig' must be one of 'high', 'low' or None; did you "
      "mean 'high'?; set --config.bell.tone",
    ),
    # What the command line says is no fault of the file.
    ({}, {'front.siz': '1'}, "unknown config key 'front.siz'; did you mean"),
    ({}, {'bell': '1'}, "config key 'bell' is a section; set --config.bell."),
    ({}, {'front.size': 'None'}, 'front.size=None must be an integer >= 1;'),
    ({}, {'weight': 'nan'}, 'weight=nan must be a finite number; set'),
  ],
)
def test_a_mistake_is_named(changes, overrides, message):
  flat = {**reader.flatten(TREE), **changes}
  flat = {key: value for key, value in flat.items() if value is not ...}
  with pytest.raises(errors.UserError, match='^' + re.escape(message)) as e:
    reader.read(Bike, flat, overrides, origin='file')
  assert '\n' not in str(e.value)


def test_all_mistakes_are_named_a_line_each():
  tree = TREE | {'weight': 'x', 'bel': 1, 'bell': {'loud': 2}}
  with pytest.raises(errors.UserError, match='bel') as e:
    reader.read(Bike, tree, {'gears': 'x', 'y': '1'})
  keys = ['bel', 'y', 'bell.tone', 'weight', 'gears', 'bell.loud']
  lines = str(e.value).splitlines()
  assert len(lines) == len(keys)
  for key, line in zip(keys, lines, strict=True):
    assert key in line


def test_a_tree_without_anything_is_one_mistake():
  with pytest.raises(errors.UserError, match=r"'back.size' and 3 more, which"):
    reader.read(Bike, {})


def test_older_files_may_lack_what_has_a_default():
  flat = reader.flatten(TREE)
  del flat['gears'], flat['front.spokes']
  bike = reader.read(Bike, flat, older=True)
  assert bike.gears is None and bike.front.spokes == ()
  del flat['weight']
  with pytest.raises(errors.UserError, match="missing config key 'weight'"):
    reader.read(Bike, flat, older=True)


def test_flatten_joins_names_with_dots():
  nested = {'a': 1, 'b': {'c': (2,), 'd': {'e': None}, 'f': {}}}
  flat = {'a': 1, 'b.c': (2,), 'b.d.e': None, 'b.f': {}}
  assert reader.flatten(nested) == flat
  assert reader.flatten(ConfigDict(nested))['b.d.e'] is None
  assert reader.flatten(BIKE)['front.size'] == 28


def test_replace_returns_a_checked_copy():
  changed = reader.replace(BIKE, {'front.size': 3}, weight=1, bell__tone='low')
  assert changed.front.size == 3
  assert changed.weight == 1.0
  assert changed.bell.tone == 'low'
  assert BIKE.front.size == 28
  with pytest.raises(errors.UserError, match='front.size=-1 must be'):
    reader.replace(BIKE, front__size=-1)
  with pytest.raises(errors.UserError, match="unknown config key 'wheels'"):
    reader.replace(BIKE, wheels=3)


def test_differences_pass_over_what_may_change():
  changes = {'gears': 1, 'back.size': 1, 'bell.tone': 'low'}
  assert reader.differences(BIKE, reader.replace(BIKE, changes)) == {}
  changes |= {'weight': 1, 'front.size': 1}
  assert reader.differences(BIKE, reader.replace(BIKE, changes)) == {
    'weight': 'weight: 9.0 -> 1.0',
    'front.size': 'front.size: 28 -> 1',
  }
