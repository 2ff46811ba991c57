"""Digests of short runs, to see that a change has changed no bit.

  python -m tests.digests

Prints the SHA-256 of the final states of five runs, of a sample grid and of an
evaluation's scores. Run it before and after a change on the same machine, with
the same versions: compilers choose other instructions elsewhere.
"""

import hashlib
import json
import pathlib
import tempfile

import jax

from sagan_jax.gan import state as state_lib
from tests.support import compilation, tiny

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
  here = pathlib.Path(tempfile.mkdtemp())
  for name, changes in RUNS.items():
    changes = {'eval__cache_dir': str(here / 'cache')} | changes
    print(f'{name} {_trained(here / name, changes)}', flush=True)
  grid = (here / 'plain' / 'samples' / '00000006_ema.png').read_bytes()
  print(f'grid {hashlib.sha256(grid).hexdigest()}')
  (record,) = (here / 'plain' / 'evaluations.jsonl').read_text().splitlines()
  scores = json.dumps(json.loads(record)['scores'], sort_keys=True)
  print(f'scores {hashlib.sha256(scores.encode()).hexdigest()}')


def _trained(workdir, changes):
  with compilation.cheap_compilation():
    return state_lib.digest(tiny.run(workdir, **changes))


if __name__ == '__main__':
  main()
