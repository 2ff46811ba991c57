"""The guide names only what there is."""

import re

from sagan_jax.config import schema
from sagan_jax.pictures import guide

OTHER_NAMES = {'fid_random', 'allow_changes'}


def test_it_has_titles_and_paragraphs():
  assert len({title for title, _ in guide.SECTIONS}) == 5
  for _, paragraphs in guide.SECTIONS:
    assert paragraphs and all(p == p.strip() != '' for p in paragraphs)


def test_the_config_keys_exist():
  text = ' '.join(p for _, paragraphs in guide.SECTIONS for p in paragraphs)
  names = set(re.findall(r'\b[a-z]+(?:[._][a-z]+)+\b', text)) - OTHER_NAMES
  assert 'optim.generator.learning_rate' in names and 'n_dis' in names
  assert names <= set(schema.KEYS)
