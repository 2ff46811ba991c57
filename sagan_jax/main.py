"""Trains a self-attention GAN.

  python -m sagan_jax.main --config=experiments/imagenet.py --workdir=DIR

The same command resumes a run. Exit codes: 0 finished, 75 stopped by SIGTERM
or Ctrl-C with the state saved, 2 the config, data or directory was refused,
1 anything else. This file only reads flags: everything else is in libraries.
"""

import sys

from absl import app, flags, logging
from ml_collections import config_flags

from sagan_jax import train

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'Config file, executed as Python.', lock_config=True
)
_WORKDIR = flags.DEFINE_string('workdir', None, 'Directory of the run.')
_ALLOW_CHANGES = flags.DEFINE_list(
  'allow_changes', [], 'Config keys that may differ from those of the run.'
)


def main(argv):
  """Runs the program; returns the exit code."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {argv[1:]}')
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)  # Orbax tells every file it writes.
  try:
    run = train.Run(_CONFIG.value, _WORKDIR.value, _ALLOW_CHANGES.value)
  except ValueError as e:
    logging.error('%s', e)
    return 2
  try:
    run.train()
  except train.Interrupted as e:
    logging.warning('%s; run the same command again to go on', e)
    return train.EXIT_INTERRUPTED
  return 0


if __name__ == '__main__':
  flags.mark_flags_as_required(['config', 'workdir'])
  sys.exit(app.run(main))
