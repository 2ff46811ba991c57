"""Digests of short runs, to see that a change has changed no bit.

  python -m tests.digests

Prints the SHA-256 of the final states of five runs, of a sample grid and of an
evaluation's scores. Run it before and after a change on the same machine, with
the same versions: compilers choose other instructions elsewhere.
"""

import hashlib
import io
import json
import pathlib
import tempfile

import jax
import numpy as np
from PIL import Image

from sagan_jax.gan import state as state_lib
from tests.support import tiny

RUNS = {
  'plain': {'sample__every_steps': 6, 'eval__every_steps': 6},
  'n_dis': {'n_dis': 2},
  'microbatches': {'num_microbatches': 2},
  'groups': {'generator__bn_group_size': 4},
  'bfloat16': {'dtype': 'bfloat16'},
}


def main():
  """Prints a line per digest."""
  jax.config.update('jax_platforms', 'cpu')
  jax.config.update('jax_disable_most_optimizations', True)
  here = pathlib.Path(tempfile.mkdtemp())
  for name, changes in RUNS.items():
    changes = {'eval__cache_dir': str(here / 'cache')} | changes
    print(f'{name} {_trained(here / name, changes)}', flush=True)
  print(f'grid {_grid(here / "plain" / "samples" / "00000006_ema.png")}')
  (record,) = (here / 'plain' / 'evaluations.jsonl').read_text().splitlines()
  scores = json.dumps(json.loads(record)['scores'], sort_keys=True)
  print(f'scores {hashlib.sha256(scores.encode()).hexdigest()}')


def _grid(path):
  """Of the images alone: names beside them are drawn otherwise elsewhere."""
  width = tiny.CHANGES['sample.images_per_class'] * 33 - 1
  content = io.BytesIO()
  with Image.open(path) as sheet:
    pixels = np.asarray(sheet)[:, -width:]
  Image.fromarray(pixels).save(content, format='png')
  return hashlib.sha256(content.getvalue()).hexdigest()


def _trained(workdir, changes):
  return state_lib.digest(tiny.run(workdir, **changes))


if __name__ == '__main__':
  main()
