"""Tests of whether the values of a config go together."""

import pytest

from sagan_jax import errors, models
from sagan_jax.config import compatibility, schema


def _config(**changes):
  """The quickstart with widths that messages name."""
  changes = {'generator__ch': 16, 'discriminator__ch': 16} | changes
  return schema.replace(schema.load('quickstart'), **changes)


@pytest.mark.parametrize(
  'changes, devices, processes, message',
  [
    (
      {'batch_size': 12},
      8,
      1,
      'batch_size 12 must be a multiple of 8 = 1 microbatches x 8 devices; '
      'set --config.batch_size',
    ),
    (
      {'batch_size': 24, 'num_microbatches': 2},
      8,
      1,
      'batch_size 24 must be a multiple of 16 = 2 microbatches x 8 devices',
    ),
    (
      {'batch_size': 8},
      1,
      3,
      'batch_size 8 must be a multiple of 3 processes; set --config.batch_size',
    ),
    (
      {'batch_size': 24, 'generator__bn_group_size': 16},
      1,
      1,
      '24 images per microbatch must be a multiple of bn_group_size 16; '
      'set --config.generator.bn_group_size',
    ),
    (
      {
        'batch_size': 24,
        'num_microbatches': 3,
        'generator__bn_group_size': 12,
      },
      1,
      1,
      '8 images per microbatch must be a multiple of bn_group_size 12',
    ),
    (
      {'batch_size': 24, 'generator__bn_group_size': 8},
      2,
      1,
      '3 batch-norm groups cannot be aligned with 2 devices: one must divide '
      'the other; set --config.generator.bn_group_size',
    ),
  ],
)
def test_check_refuses_batches_that_do_not_divide(
  changes, devices, processes, message
):
  with pytest.raises(errors.UserError, match=message):
    compatibility.check(_config(**changes), devices, processes)


@pytest.mark.parametrize(
  'changes, devices, processes',
  [
    ({'batch_size': 24, 'num_microbatches': 3}, 8, 2),
    ({'batch_size': 32, 'generator__bn_group_size': 8}, 2, 1),  # Two a device.
    ({'batch_size': 32, 'generator__bn_group_size': 16}, 8, 1),  # On four.
    ({'batch_size': 32, 'generator__bn_group_size': None}, 8, 8),
  ],
)
def test_check_accepts_batches_that_divide(changes, devices, processes):
  compatibility.check(_config(**changes), devices, processes)


@pytest.mark.parametrize(
  'changes, message',
  [
    (
      {'generator__attention': (16, 64)},
      r'generator.attention=\(16, 64\) names the resolution 64; at image_size '
      r'32 the generator has \[8, 16, 32\], the discriminator has \[8, 16\]; '
      'set --config.generator.attention',
    ),
    (
      {'image_size': 48},
      r'image_size=48 must be one of \(32, 64, 128, 256\) with architecture '
      "'sagan'; set --config.image_size",
    ),
    ({'generator__attention': (4,)}, 'names the resolution 4'),
    (
      {'generator__remat': (64,)},
      r'generator.remat=\(64,\) names the resolution 64; .*'
      'set --config.generator.remat',
    ),
    ({'discriminator__remat': (32,)}, r'discriminator.remat=\(32,\) names'),
    ({'generator__residual': (12,)}, r'generator.residual=\(12,\) names'),
    (
      {'discriminator__attention': (32,)},
      r'discriminator.attention=\(32,\) names the resolution 32; at '
      r'image_size 32 the generator has \[8, 16, 32\], the discriminator has '
      r'\[8, 16\]; set --config.discriminator.attention',
    ),
    ({'discriminator__residual': (4,)}, 'the resolution 4'),
    (
      {'generator__ch': 1},
      'generator.attention at 16 needs 8 channels there, generator.ch=1 gives '
      '4; set --config.generator.ch',
    ),
    (
      {'discriminator__ch': 3},
      'discriminator.attention at 16 needs 8 channels there, '
      'discriminator.ch=3 gives 6',
    ),
  ],
)
def test_check_refuses_resolutions_that_networks_lack(changes, message):
  with pytest.raises(errors.UserError, match=message):
    compatibility.check(_config(**changes), 1)


@pytest.mark.parametrize('image_size', models.NETWORKS['sagan'].image_sizes)
def test_check_accepts_resolutions_between_the_ends(image_size):
  resolutions = [8, 16, 32, 64, 128, 256]
  up = tuple(x for x in resolutions if x <= image_size)
  down = tuple(x for x in resolutions if x < image_size)
  if image_size > 32:  # Down to 4 x 4 from there on, but for 32.
    down = (4, *down)
  c = _config(
    image_size=image_size,
    generator__attention=up,
    discriminator__attention=down,
    generator__ch=8,
    discriminator__ch=8,
  )
  compatibility.check(c, 1)
