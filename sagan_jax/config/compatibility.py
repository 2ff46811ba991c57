"""Whether the values of a config go together, asked before any compile."""

from sagan_jax import errors, models
from sagan_jax.models import attention


def check(c, num_devices, num_processes=1):
  """Checks that the values of a config go together on this mesh.

  Args:
    c: a `Config`, with `num_classes` filled in.
    num_devices: of the mesh.
    num_processes: of the run.

  Raises:
    UserError: naming the values and the key to change.
  """
  check_model(c)
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


def check_model(c):
  """Checks that there are networks as a config describes them.

  Args:
    c: a `Config`.

  Raises:
    UserError: if they are not made for its image size, or have no maps of the
      resolutions that are named for attention, residual blocks or `remat`.
  """
  architecture = models.NETWORKS[c.architecture]
  sizes = architecture.image_sizes
  if c.image_size not in sizes:
    raise errors.UserError(
      f'image_size={c.image_size} must be one of {sizes} with architecture '
      f'{c.architecture!r}; set --config.image_size'
    )
  channels = {
    network: {
      stage.resolution: stage.channels
      for stage in getattr(architecture, network).stages(
        c.image_size, getattr(c, network).ch
      )
      if stage.resampled
    }
    for network in ('generator', 'discriminator')
  }
  offered = ', '.join(
    f'the {network} has {sorted(maps)}' for network, maps in channels.items()
  )
  for network, maps in channels.items():
    section = getattr(c, network)
    for kind in ('attention', 'residual', 'remat'):
      key = f'{network}.{kind}'
      for resolution in getattr(section, kind):
        if resolution not in maps:
          raise errors.UserError(
            f'{key}={getattr(section, kind)} names the resolution '
            f'{resolution}; at image_size {c.image_size} {offered}; '
            f'set --config.{key}'
          )
        if kind != 'remat' and maps[resolution] < attention.MIN_CHANNELS:
          raise errors.UserError(
            f'{key} at {resolution} needs {attention.MIN_CHANNELS} channels '
            f'there, {network}.ch={section.ch} gives {maps[resolution]}; '
            f'set --config.{network}.ch'
          )


def num_classes(c, source) -> int:
  """The number of classes of a config and its data.

  Args:
    c: a `Config`.
    source: its `data.Source`.

  Raises:
    UserError: if the config says another one than the data has.
  """
  if c.num_classes not in (None, source.num_classes):
    raise errors.UserError(
      f'num_classes is {c.num_classes}, but {source.name} has '
      f'{source.num_classes}; set --config.num_classes={source.num_classes}, '
      'or 1 to train without labels'
    )
  return source.num_classes
