"""Weights that no training has made, as files and as runs, for the tests."""

import functools
import json

import numpy as np

from sagan_jax import models
from sagan_jax.cluster import sharding
from sagan_jax.config import schema
from sagan_jax.formats import safetensors_file
from sagan_jax.run import exported
from sagan_jax.weights import card as card_lib
from sagan_jax.weights import tensors as tensors_lib
from tests.support import tiny

NAMES = ('disc', 'ring', 'Tabby_cat')
FACTS = {
  'name': 'folder:/home/somebody/pictures',
  'num_examples': 9,
  'fingerprint': 'ab',
  'identity': {'name': 'folder'},
}


def config(**changes):
  """A config of three classes, with places of somebody's machine."""
  changes = {
    'num_classes': len(NAMES),
    'dataset__name': 'folder:/home/somebody/pictures',
    'dataset__num_examples': None,
    'eval__cache_dir': '/home/somebody/cache',
  } | changes
  return tiny.config(**changes)


def tensors(of):
  """Random weights of the networks of a config, by name; not to be changed."""
  return _tensors(of, models.NETWORKS[of.architecture])


@functools.cache
def _tensors(of, networks):
  del networks  # Tests put others in their place.
  random = np.random.default_rng(0)
  found = {}
  for name, like in exported.shapes(of, sharding.make_mesh(1)).items():
    values = np.asarray(random.standard_normal(like.shape), np.float32)
    found[name] = abs(values) + 0.5 if name.endswith('var') else values
  return found


def export(of=None, step=7, names=NAMES, **changes):
  """`exported.Exported` weights of a config."""
  of = of or config(**changes)
  made = dict(tensors(of))
  card = card_lib.make(
    schema.flatten(of),
    step=step,
    class_names=None if names is None else list(names),
    facts=None if names is None else FACTS,
    scores=[],
    origin=None,
    digest=tensors_lib.digest(made),
  )
  return exported.Exported('somewhere', made, card)


def write(path, found):
  """Writes weights as a safetensors file, without a card beside it."""
  metadata = {'card': json.dumps(found.card)}
  path.write_bytes(safetensors_file.dump(found.tensors, metadata))
  return path
