"""SAGAN on CIFAR-10, 32x32: the released layers at StudioGAN's sizes and rates.

From StudioGAN (configs/CIFAR10/SAGAN.yaml) are the widths, the place of the
attention, batch 64, five discriminator updates per step, learning rates of
2e-4, b1 of 0.5 and 100k steps. It reports IS 8.68, FID 14.01 against the test
set. Everything else is that of the released SAGAN, which differs from StudioGAN:

  here                                   StudioGAN
  initializer glorot_uniform             orthogonal
  generator.bn_eps 1e-5                  1e-4
  generator.bn_decay 0.999               0.9 (momentum 0.1)
  optim.*.eps 1e-8                       1e-6
  horizontal_flip False                  True
  EMA of the generator from step 1000    none
  plain class tables of batch norm       spectrally normalised
  skips leave before the ReLU            after it (it is in place)
  u moves once per update of its net     in every training pass
  l2-normalisation adds 1e-12            takes at least 1e-6

The first six can be had by keys of the config; raw weights are scored too with
`--config.eval.weights="('raw','ema')"`. The other four are not offered. Rectified
skips alone cost 1.35 FID in mmgeneration (configs/sagan, CIFAR-10), and
BigGAN-PyTorch (layers.py) warns of normalised class tables. The time and the
scores of this config are not yet measured.

  python -m sagan_jax.main --config=experiments/cifar10.py --workdir=DIR \
    --config.dataset.name=array:CIFAR_DIR
"""

from sagan_jax.experiments import imagenet


def get_config():
  """The base with 32x32 networks and five discriminator updates per step."""
  c = imagenet.get_config()
  c.image_size = 32
  c.num_classes = None
  c.batch_size = 64
  c.num_steps = 100_000
  c.n_dis = 5
  c.generator.attention = (16,)
  c.generator.bn_group_size = None
  c.discriminator.attention = (16,)
  for network in c.optim.generator, c.optim.discriminator:
    network.learning_rate = 2e-4
    network.b1 = 0.5
  c.ema.start_step = 1000
  c.dataset.name = 'tfds:cifar10'
  c.sample.every_steps = 1000
  return c
