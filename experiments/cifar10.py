"""SAGAN on CIFAR-10, 32x32: networks and recipe of PyTorch-StudioGAN.

StudioGAN (configs/CIFAR10/SAGAN.yaml) reports IS 8.68, FID 14.01 against the
test set, 100k steps. The time and the scores of this implementation are not
yet measured.

  python -m sagan_jax.main --config=experiments/cifar10.py --workdir=DIR \
    --config.dataset.name=array:CIFAR_DIR
"""

from experiments import imagenet


def get_config():
  """The base with 32x32 networks and five discriminator updates a step."""
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
