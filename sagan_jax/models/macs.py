"""Multiply-adds of layers, per image and forward, of the reference graph.

Convolutions, dense layers and attention count, padding included; norms,
activations and pooling do not. The count does not depend on how resampling is
computed, so that rates of different forms compare: a form that needs fewer
operations shows as a higher effective rate.
"""


def conv(resolution, kernel_size, inputs, outputs):
  """Of a convolution that is computed on a map resolution x resolution."""
  return resolution**2 * kernel_size**2 * inputs * outputs


def attention(stage, formula):
  """Of a `SelfAttention` block.

  Args:
    stage: the `blocks.Stage` that it follows.
    formula: 'code' or 'paper', see `SelfAttention`.

  Returns:
    int.
  """
  queries, channels = stage.resolution**2, stage.channels
  keys, values = queries, channels // 8
  if formula == 'code':
    keys, values = queries // 4, channels // 2
  projections = queries * channels * (2 * (channels // 8) + 2 * values)
  return projections + queries * keys * (channels // 8 + values)


def residual(stage):
  """Of a `ResidualControl` block that follows a `blocks.Stage`."""
  inner = stage.channels // 8
  return 2 * conv(stage.resolution, 3, stage.channels, inner)
