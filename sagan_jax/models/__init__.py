"""The networks in flax.linen, and the registry of what a config can name."""

import dataclasses

from sagan_jax.models import blocks, discriminator, generator


@dataclasses.dataclass(frozen=True)
class Architecture:
  """A generator and a discriminator that are trained against each other."""

  generator: type[blocks.Network]
  discriminator: type[blocks.Network]

  @property
  def image_sizes(self):
    """The image sizes that both networks have stages for, ascending."""
    both = {*self.generator.IMAGE_SIZES} & {*self.discriminator.IMAGE_SIZES}
    return tuple(sorted(both))


# By the name in the config key `architecture`.
NETWORKS = {
  'sagan': Architecture(generator.Generator, discriminator.Discriminator),
}
