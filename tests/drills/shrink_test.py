"""What a drill makes of a config."""

import pytest

from sagan_jax import errors
from sagan_jax.drills import shrink


def test_few_steps_in_any_case_and_small_sizes_if_wanted():
  small, c = shrink.overrides('quickstart', {}, sizes=True, cache='/x')
  assert (c.num_steps, c.generator.ch, c.batch_size) == (20, 4, 8)
  assert (c.eval.cache_dir, c.dataset.num_examples) == ('/x', 64)
  large, c = shrink.overrides('quickstart', {}, sizes=False, cache='/x')
  assert (c.num_steps, c.generator.ch, c.batch_size) == (20, 8, 32)
  assert set(large) < set(small)
  _, c = shrink.overrides('imagenet', {}, sizes=True, cache='/x')
  assert c.dataset.name == 'tfds:imagenet2012' and c.image_size == 128


def test_what_is_given_comes_last():
  given = {'generator.ch': '6', 'num_steps': '40'}
  changes, c = shrink.overrides('quickstart', given, sizes=True, cache='/x')
  assert (c.generator.ch, c.num_steps) == (6, 40)
  assert given.items() <= changes.items()


@pytest.mark.parametrize(
  ('given', 'told'),
  [
    ({'num_steps': '15'}, 'num_steps=15 are less than 4 times checkpoint'),
    ({'eval.every_steps': 'None'}, 'needs evaluations'),
    ({'checkpoint.keep_last': '1'}, 'needs evaluations and several checkp'),
    ({'generator.chh': '1'}, "unknown config key 'generator.chh'"),
  ],
)
def test_what_cannot_be_disturbed_is_refused(given, told):
  with pytest.raises(errors.UserError, match=told):
    shrink.overrides('quickstart', given, sizes=True, cache='/x')
