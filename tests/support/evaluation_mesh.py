"""One evaluation on some mesh, by itself or as one of several processes.

  python -m tests.evaluation_mesh DIRECTORY PORT INDEX COUNT

is process INDEX of COUNT, each of one device; the first writes the record to
DIRECTORY/record.json.
"""

import json
import pathlib
import sys

import jax

from sagan_jax.evaluation import evaluator as evaluator_lib
from sagan_jax.run.run import Run
from tests.support import tiny

COUNT = 2000
# Divides by 1, 3 and 8 devices, and does not divide the count.
BATCH_SIZE = 24
CHANGES = {
  'batch_size': BATCH_SIZE,
  'dataset__num_examples': COUNT,
  'eval__batch_size': BATCH_SIZE,
  'eval__num_fakes': COUNT,
  'eval__num_reals': COUNT,
}


def record(directory, num_devices, networks=tiny.small_networks, **changes):
  """Evaluates a fresh state.

  Args:
    directory: for the run and for its own cache.
    num_devices: of the mesh; None for all.
    networks: a context manager around the making of the networks.
    **changes: of the config.

  Returns:
    The record.
  """
  changes = CHANGES | {'eval__cache_dir': str(directory / 'cache')} | changes
  c = tiny.config(num_devices=num_devices, **changes)
  with networks():
    run = Run.for_training(directory / 'run', c)
    evaluator = evaluator_lib.Evaluator(run.config, run.mesh, run.source)
    state = run.init()
    (made,) = evaluator.of_state(run.sampler, state)
  run.checkpointer.close()
  return made


def main():
  """Runs one process of several."""
  directory, port, index, count = sys.argv[1:]
  jax.config.update('jax_cpu_collectives_implementation', 'gloo')
  jax.distributed.initialize(
    f'127.0.0.1:{port}', int(count), int(index), initialization_timeout=60
  )
  assert jax.process_count() == int(count)
  made = record(pathlib.Path(directory), None)
  if jax.process_index() == 0:
    path = pathlib.Path(directory) / 'record.json'
    path.write_text(json.dumps(made))
  jax.distributed.shutdown()


if __name__ == '__main__':
  main()
