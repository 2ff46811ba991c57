"""Work of a training step by formula, see `models.macs` for what counts."""


def step_flops(gan):
  """Floating-point operations of a step, per image of its batch.

  A backward pass counts twice its forward pass; the discriminator's weights
  get no gradient in the generator's update.

  Args:
    gan: a `Gan`, whose networks know their multiply-adds.

  Returns:
    int.
  """
  g, d = gan.generator.macs(gan.latent_dim), gan.discriminator.macs()
  return 2 * (gan.n_dis * (g + 6 * d) + 3 * g + 2 * d)
