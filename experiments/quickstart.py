"""A small SAGAN on drawn shapes: minutes on two CPU cores, no download.

python -m sagan_jax.main --config=experiments/quickstart.py --workdir=DIR
"""

from sagan_jax.experiments import imagenet


def get_config():
  """The base, 32x32, narrow, with larger learning rates and a short average."""
  c = imagenet.get_config()
  c.image_size = 32
  c.num_classes = None
  c.batch_size = 32
  c.num_steps = 2500
  c.generator.ch = 8
  c.generator.attention = (16,)
  c.generator.bn_group_size = None
  c.discriminator.ch = 8
  c.discriminator.attention = (16,)
  c.optim.generator.learning_rate = 1e-3
  c.optim.discriminator.learning_rate = 1e-3
  c.ema.decay = 0.995
  c.ema.start_step = 0
  c.dataset.name = 'shapes'
  c.log.every_steps = 20
  c.sample.every_steps = 250
  c.sample.standing_batches = 4
  c.checkpoint.every_steps = 500
  c.checkpoint.keep_every_steps = None
  c.eval.every_steps = 200
  c.eval.extractor = 'random'
  c.eval.metrics = ('fid',)
  c.eval.num_fakes = 500
  c.eval.num_reals = 2000
  c.eval.standing_batches = 4
  return c
