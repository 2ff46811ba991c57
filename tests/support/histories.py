"""Directories of runs that were never trained: their files alone."""

import json

import numpy as np

from sagan_jax.config import schema
from sagan_jax.pictures import grids, labelled_grid
from tests.support import tiny

CLASSES = ('disc', 'ring', 'star')


def write(path, *, steps=6, classes=CLASSES, **changes):
  """Writes a finished run of some steps, with a row for each.

  Args:
    path: of the directory; made.
    steps: how many.
    classes: names.
    **changes: of the config.

  Returns:
    `path`.
  """
  (path / 'samples').mkdir(parents=True)
  changes = {'num_steps': steps, 'num_classes': len(classes)} | changes
  schema.save(tiny.config(**changes), path / 'config.json')
  about = {
    'name': 'shapes',
    'num_examples': 64,
    'class_names': classes,
    'fingerprint': '0',
    'identity': {'name': 'shapes'},
  }
  (path / 'data.json').write_text(json.dumps(about))
  (path / 'metrics.jsonl').write_bytes(b''.join(map(row, range(1, steps + 1))))
  (path / 'evaluations.jsonl').write_text(
    ''.join(map(record, range(2, steps + 1, 2)))
  )
  for step in (steps // 2, steps):
    folder = path / 'checkpoints' / str(step)
    (folder / 'meta').mkdir(parents=True)
    (folder / 'commit_success.txt').write_text('')
    for weights in ('raw', 'ema'):
      sheet = labelled_grid.labelled(images(step), 2, classes)
      name = f'{step:08d}_{weights}.png'
      labelled_grid.save(path / 'samples' / name, sheet, classes)
  return path


def row(step, **others):
  """A line of the log; the values of `others` take __ for the slash."""
  values = {
    'step': step,
    'train/d_loss': 2 / step,
    'train/g_loss': -1.0,
    'train/d_real_accuracy': 0.75,
    'train/d_fake_accuracy': 0.5,
    'train/d_real_logit': 0.5,
    'train/d_fake_logit': -0.25 * step,
    'perf/images_per_sec': 100.0 + step,
  }
  values |= {k.replace('__', '/'): v for k, v in others.items()}
  return json.dumps(values).encode() + b'\n'


def record(step, fid=None, **protocol):
  """A line of evaluations."""
  made_by = {
    'step': step,
    'weights': 'ema',
    'bn_statistics': 'standing',
    'truncation': None,
    'num_fake': 16,
  }
  scores = {'fid_random': 10.0 / step if fid is None else fid}
  return json.dumps({'protocol': made_by | protocol, 'scores': scores}) + '\n'


def images(seed):
  """Two images of each class."""
  values = np.random.default_rng(seed).integers(0, 256, (6, 32, 32, 3))
  return values.astype(np.uint8)


def old_grid(path, seed=0):
  """Writes a grid from before grids named their rows."""
  grids.save_png(path, grids.grid(images(seed), 2))
