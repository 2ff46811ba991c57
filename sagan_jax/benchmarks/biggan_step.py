"""Times the SAGAN of BigGAN-PyTorch (https://github.com/ajbrock/BigGAN-PyTorch).

  PYTHON biggan_step.py DIR BATCH_SIZE DTYPE STEPS WARMUP FILE SETTINGS

Runs with a Python that has torch, and without this package. Its own networks,
optimisers and training function are used, with the settings of its
`launch_SAGAN_bs128x2_ema.sh` but for sizes, which are those of SETTINGS, JSON.
float32 may be multiplied as TF32, bfloat16 is torch's autocast, and cuDNN chooses
its kernels by trial. Its spectral norm refuses channels_last.
"""

import json
import statistics
import sys
import time
import unittest.mock

_FLAGS = (
  '--G_lr 1e-4 --D_lr 4e-4 --D_B2 0.999 --G_B2 0.999 --G_nl relu --D_nl relu '
  '--SN_eps 1e-8 --BN_eps 1e-5 --adam_eps 1e-8 --G_ortho 0.0 --G_init xavier '
  '--D_init xavier --ema --use_ema --num_G_accumulations 1 '
  '--num_D_accumulations 1 --ema_start 0'
)


def main(argv):
  """Writes {'images_per_sec': ..., ...} to FILE."""
  import torch  # Here, as this package has none and imports all its files.

  directory, batch_size, dtype, steps, warmup, file, settings = argv
  sys.path.insert(0, directory)
  torch.backends.cudnn.benchmark = True
  torch.backends.cuda.matmul.allow_tf32 = True
  torch.backends.cudnn.allow_tf32 = True
  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  train, batch = _prepare(int(batch_size), json.loads(settings), device)
  secs = []
  for _ in range(int(warmup) + int(steps)):
    began = time.perf_counter()
    # Parameters and sums stay float32.
    with torch.autocast(device, torch.bfloat16, dtype == 'bfloat16'):
      train(*batch)
    if device == 'cuda':
      torch.cuda.synchronize()
    secs.append(time.perf_counter() - began)
  median = statistics.median(secs[int(warmup) :])
  figures = {
    'images_per_sec': int(batch_size) / median,
    'step_secs': median,
    'note': f'torch {torch.__version__}, {device}',
  }
  if device == 'cuda':
    figures['peak_mib'] = torch.cuda.max_memory_allocated() / 2**20
  with open(file, 'w') as f:
    json.dump(figures, f)


def _prepare(batch_size, settings, device):
  """Returns the training function and a batch of random images."""
  # They read data and draw sheets, which is not timed, and need packages of old.
  for name in 'datasets', 'torchvision', 'torchvision.transforms':
    sys.modules[name] = unittest.mock.MagicMock()
  import BigGAN
  import torch
  import train_fns
  import utils

  sizes = [f'--{key}={value}' for key, value in settings['flags'].items()]
  parser = utils.add_sample_parser(utils.prepare_parser())
  c = vars(parser.parse_args([*_FLAGS.split(), *sizes]))
  c |= {
    'batch_size': batch_size,
    'resolution': settings['image_size'],
    'n_classes': settings['num_classes'],
    'G_activation': utils.activation_dict[c['G_nl']],
    'D_activation': utils.activation_dict[c['D_nl']],
  }
  utils.seed_rng(c['seed'])
  g = BigGAN.Generator(**c).to(device)
  d = BigGAN.Discriminator(**c).to(device)
  frozen = {**c, 'skip_init': True, 'no_optim': True}
  average = BigGAN.Generator(**frozen).to(device)
  images = torch.rand(
    batch_size * c['num_D_steps'], 3, c['resolution'], c['resolution']
  )
  images = (images * 2 - 1).to(device)
  labels = torch.randint(c['n_classes'], (len(images),), device=device)
  z, y = utils.prepare_z_y(batch_size, g.dim_z, c['n_classes'], device)
  train = train_fns.GAN_training_function(
    g,
    d,
    BigGAN.G_D(g, d),
    z,
    y,
    utils.ema(g, average, c['ema_decay'], c['ema_start']),
    {'itr': 0},
    c,
  )
  g.train()
  d.train()
  return train, (images, labels)


if __name__ == '__main__':
  main(sys.argv[1:])
