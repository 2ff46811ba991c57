"""What each of several processes reads: together it is the data set."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from sagan_jax import data, prepare

SIZES = (13, 60)  # The first divides by no number of processes.
PROCESSES = (1, 2, 3, 4, 5)


def _folder(place, num):
  for i in range(num):
    path = place / 'train' / 'ab'[i % 2] / f'{i:03d}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (8, 8), (i, 2 * i, 99)).save(path)
  return f'folder:{place}'


@pytest.fixture(scope='module', params=SIZES)
def sources(request, tmp_path_factory):
  """One source per kind, each of distinct images."""
  num, here = request.param, tmp_path_factory.mktemp('sources')
  folder = _folder(here / 'folder', num)
  prepare.main(
    [f'--source={folder}', '--image_size=8', f'--output={here}/array']
  )
  return {
    'folder': data.make_source(folder, image_size=8),
    'array': data.make_source(
      f'array:{pathlib.Path(here)}/array', image_size=8
    ),
    'shapes': data.make_source('shapes', image_size=16, num_examples=num),
  }


def _identities(batches):
  """A number of bytes per image, in order."""
  return [x.tobytes() for batch in batches for x in batch['image']]


@pytest.mark.parametrize('kind', ['folder', 'array', 'shapes'])
@pytest.mark.parametrize('count', PROCESSES)
def test_shares_are_disjoint_and_together_the_data_set(sources, kind, count):
  source = sources[kind]
  whole = _identities(source.examples(batch_size=4))
  assert len(whole) == len(set(whole)) == source.num_examples
  shares = [
    _identities(
      source.examples(batch_size=4, process_index=i, process_count=count)
    )
    for i in range(count)
  ]
  assert sum(shares, []) == whole
  sizes = [len(share) for share in shares]
  assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize('kind', ['folder', 'array', 'shapes'])
@pytest.mark.parametrize('count', PROCESSES)
def test_parts_of_a_batch_are_the_batch(sources, kind, count):
  """Over several epochs, and where a run goes on."""
  source = sources[kind]
  wanted = source.batches(seed=3, batch_size=60, start=2)
  parts = [
    source.batches(
      seed=3, batch_size=60, start=2, process_index=i, process_count=count
    )
    for i in range(count)
  ]
  for _ in range(3):
    whole = next(wanted)
    found = [next(part) for part in parts]
    for name in 'image', 'label':
      joined = np.concatenate([part[name] for part in found])
      np.testing.assert_array_equal(joined, whole[name])
