"""Whether the values of a config go together, asked before any compile."""

from sagan_jax import errors
from sagan_jax.models import discriminator, generator


def check(c, num_devices, num_processes=1):
  """Checks that the values of a config go together on this mesh.

  Args:
    c: a `Config`.
    num_devices: of the mesh.
    num_processes: of the run.

  Raises:
    UserError: naming the values and the key to change.
  """
  part = c.num_microbatches * num_devices
  if c.batch_size % part:
    raise errors.UserError(
      f'batch_size {c.batch_size} must be a multiple of {part} = '
      f'{c.num_microbatches} microbatches x {num_devices} devices; '
      'set --config.batch_size'
    )
  if c.batch_size % num_processes:
    raise errors.UserError(
      f'batch_size {c.batch_size} must be a multiple of {num_processes} '
      'processes; set --config.batch_size'
    )
  size = c.generator.bn_group_size
  if size is not None:
    images = c.batch_size // c.num_microbatches
    if images % size:
      raise errors.UserError(
        f'{images} images per microbatch must be a multiple of bn_group_size '
        f'{size}; set --config.generator.bn_group_size'
      )
    groups = images // size
    if groups % num_devices and num_devices % groups:
      raise errors.UserError(
        f'{groups} batch-norm groups cannot be aligned with {num_devices} '
        'devices: one must divide the other; '
        'set --config.generator.bn_group_size'
      )
  _check_places(c)


def _check_places(c):
  """Attention and residual blocks must sit at maps that the networks have."""
  up = {4 * 2**i: m for i, m in enumerate(generator.MULTIPLIERS[c.image_size])}
  del up[4]  # Blocks follow the first enlargement.
  widths, num_down = discriminator.MULTIPLIERS[c.image_size]
  down = {c.image_size // 2 ** (i + 1): widths[i] for i in range(num_down)}
  for network, maps in ('generator', up), ('discriminator', down):
    section = getattr(c, network)
    for kind in ('attention', 'residual'):
      for place in getattr(section, kind):
        key = f'{network}.{kind}'
        if place not in maps:
          raise errors.UserError(
            f'{key}={getattr(section, kind)} names the resolution {place}; '
            f'at image_size {c.image_size} the {network} has '
            f'{sorted(maps)}; set --config.{key}'
          )
        if maps[place] * section.ch < 8:
          raise errors.UserError(
            f'{key} at {place} needs 8 channels there, '
            f'{network}.ch={section.ch} gives {maps[place] * section.ch}; '
            f'set --config.{network}.ch'
          )
