"""Where attention helps, against the residual control, as table 1 of the paper.

python -m sagan_jax.sweep --sweep=experiments/sweeps/attention.py --output=DIR

On the quickstart's shapes: attention at 8x8 or 16x16 of both networks, and a
residual block there instead (arXiv:1805.08318, section 5.2), with two seeds
each: 8 runs, as long as 8 quickstarts.
"""

RESOLUTIONS = (8, 16)
BLOCKS = ('attention', 'residual')


def get_sweep():
  """The base, and what its members change."""
  return {
    'config': 'quickstart',
    'list': [
      setting(block, resolution)
      for resolution in RESOLUTIONS
      for block in BLOCKS
    ],
    'seeds': 2,
  }


def setting(block, resolution):
  """Puts one kind of block at one resolution of both networks, no other."""
  return {
    f'{network}.{kind}': (resolution,) if kind == block else ()
    for network in ('generator', 'discriminator')
    for kind in BLOCKS
  }
