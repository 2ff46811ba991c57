"""Trains and evaluates self-attention GANs.

  python -m sagan_jax.main --config=experiments/imagenet.py --workdir=DIR
  python -m sagan_jax.main --mode=eval --workdir=DIR [--step=N]
  python -m sagan_jax.main --mode=eval --config=FILE --real=SOURCE --fake=SOURCE

The first command also resumes a run. The second scores its checkpoints, the
third two sets of images, named as `--config.dataset.name` names them.

Exit codes: 0 finished, 75 stopped by SIGTERM or Ctrl-C with the state saved, 2
the config, data or directory was refused, 1 anything else. This file only reads
flags: everything else is in libraries.
"""

import sys
import traceback

from absl import app, flags, logging
from ml_collections import config_flags
from ml_collections.config_flags import config_path

from sagan_jax.config import schema
from sagan_jax.run import experiment, loop, scoring

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'Config file, executed as Python.', lock_config=True
)
_MODE = flags.DEFINE_enum('mode', 'train', ['train', 'eval'], 'What to do.')
_WORKDIR = flags.DEFINE_string('workdir', None, 'Directory of the run.')
_STEP = flags.DEFINE_integer(
  'step', None, 'Checkpoint to evaluate; default: all.'
)
_REAL = flags.DEFINE_string('real', None, 'Images to evaluate against.')
_FAKE = flags.DEFINE_string('fake', None, 'Images to evaluate.')
_ALLOW_CHANGES = flags.DEFINE_list(
  'allow_changes', [], 'Config keys that may differ from those of the run.'
)


def parse_flags(argv):
  """Parses the command line; ends the program where a value is refused."""
  try:
    rest = flags.FLAGS(argv)
    if _CONFIG.value is not None:
      _CONFIG.value.keys()  # Raises now if the file could not be read.
    return rest
  except flags.Error as e:
    text = str(e)
  except OSError as e:  # Its last line has the cause.
    text = f'--config: {str(e).strip().splitlines()[-1].strip()}'
  except (AttributeError, KeyError) as e:
    # Raised for a key that is not in the config, in words, but also by what is
    # wrong in a config file: that needs its traceback.
    frames = traceback.extract_tb(e.__traceback__)
    if all(frame.filename != config_path.__file__ for frame in frames):
      raise
    error = e
    while isinstance(error, Exception):  # They wrap each other.
      error = error.args[0]
    text = f'unknown config key {error}'
  print(text, file=sys.stderr)  # Logging waits for its flags.
  sys.exit(2)


def main(argv):
  """Runs the program; returns the exit code."""
  if len(argv) > 1:
    raise app.UsageError(f'unexpected arguments: {argv[1:]}')
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.WARNING)  # Orbax tells every file it writes.
  try:
    if _REAL.value or _FAKE.value:
      if not (_CONFIG.value and _REAL.value and _FAKE.value):
        raise ValueError(
          'two sets of images need --config (its eval section is the protocol), '
          '--real and --fake'
        )
      c = schema.resolve(_CONFIG.value)
      scoring.evaluate_sources(c, _REAL.value, _FAKE.value)
      return 0
    if _WORKDIR.value is None:
      raise ValueError('no directory was given; set --workdir')
    run = experiment.Experiment(
      _CONFIG.value,
      _WORKDIR.value,
      _ALLOW_CHANGES.value,
      trains=_MODE.value == 'train',
    )
    if _MODE.value == 'eval':
      step = 'all' if _STEP.value is None else _STEP.value
      scoring.evaluate_checkpoints(run, step)
      return 0
    trainer = loop.Trainer(run)
  except (ValueError, FileNotFoundError) as e:
    logging.error('%s', e)
    return 2
  try:
    trainer.train()
  except loop.Interrupted as e:
    logging.warning('%s; run the same command again to go on', e)
    return loop.EXIT_INTERRUPTED
  return 0


if __name__ == '__main__':
  sys.exit(app.run(main, flags_parser=parse_flags))
