"""Which networks BigGAN-PyTorch and a `Config` have in common, as each says it.

The docstring of `biggan` says where they differ.
"""

import re
import reprlib

from sagan_jax import errors, models
from sagan_jax.weights import biggan_names

IMAGE_SIZES = (32, 128, 256)

# Flags that leave no trace in the arrays, and what they must be.
_SILENT = {
  'norm_style': ('bn',),
  'G_nl': ('relu', 'inplace_relu', 'ir'),
  'D_nl': ('relu', 'inplace_relu', 'ir'),
}
_GATE = 'blocks.{}.1.gamma'  # Of the attention after a block.
_BN_EPS = 1e-5  # By default there.
# What arrays that ours have not come from, by a pattern of their names.
_FOREIGN = {
  r'^shared\.': 'a shared class embedding (--G_shared)',
  r'\.(u|sv)[1-9]\d*$': 'several singular values (--num_G_SVs, --num_D_SVs)',
  r'\.accumulation_counter$': 'sums of moments (--mybn --accumulate_stats)',
  r'\.conv[34]\.': 'the blocks of BigGAN-deep (--model BigGANdeep)',
}


class Wrong(errors.UserError):
  """Arrays that are not those of a SAGAN."""

  def __init__(self, file, what):
    super().__init__(
      f'{file} is not of a SAGAN of BigGAN-PyTorch: it has {what}'
    )


def refuse_foreign(file, arrays):
  """Refuses arrays that come from options which ours have not.

  Args:
    file: what they are of, 'G' for G.pth.
    arrays: by name.

  Raises:
    UserError: naming the option.
  """
  for pattern, what in _FOREIGN.items():
    if any(re.search(pattern, name) for name in arrays):
      raise Wrong(file, what)


def guess_config(dicts):
  """Reads from shapes what networks state dicts are of.

  Args:
    dicts: as `from_state_dicts` takes them; 'state_dict', if it is there, says
      what shapes do not.

  Returns:
    {'section.leaf': value} of the leaves of a `Config` that weights depend on.

  Raises:
    UserError: if they are of no network that ours are.
  """
  g, d = dicts['G'], dicts['D']
  for file, arrays in ('G', g), ('D', d):
    refuse_foreign(file, arrays)
  bn_eps = _bn_eps(dicts)
  num_blocks = sum(f'blocks.{i}.0.conv1.weight' in g for i in range(10))
  image_size = 4 * 2**num_blocks
  _check_size(image_size)
  network = models.NETWORKS['sagan']
  g_unit = network.generator.stages(image_size, 1)[-1].channels
  d_stages = network.discriminator.stages(image_size, 1)
  classes, _ = _shape('G', g, 'blocks.0.0.bn1.gain.weight', 2)
  _, latent_dim = _shape('G', g, 'linear.weight', 2)
  (g_width,) = _shape('G', g, 'output_layer.0.gain', 1)
  d_width, *_ = _shape('D', d, 'blocks.0.0.conv1.weight', 4)
  g_attended = [i for i in range(num_blocks) if _GATE.format(i) in g]
  d_attended = [
    i
    for i, stage in enumerate(d_stages)
    if stage.resampled and _GATE.format(i) in d
  ]
  if image_size == 32:  # Some, but not all, may be there only to fill a place.
    at_work = [i for i in d_attended if d[_GATE.format(i)].any()]
    d_attended = at_work or d_attended[:1]
  return {
    'architecture': 'sagan',
    'image_size': image_size,
    'num_classes': classes,
    'latent_dim': latent_dim,
    'attention_formula': 'code',
    'generator.ch': g_width // g_unit,
    'generator.attention': tuple(8 * 2**i for i in g_attended),
    'generator.residual': (),
    'generator.bn_eps': bn_eps,
    'discriminator.ch': d_width // d_stages[0].channels,
    'discriminator.attention': tuple(
      d_stages[i].resolution for i in reversed(d_attended)
    ),
    'discriminator.residual': (),
  }


def flags(config):
  """The flags of train.py and sample.py there that make these networks.

  Args:
    config: a `Config` that `check` accepts.

  Returns:
    {name: bool, int, float or str}; 'resolution' and 'n_classes' follow from
    --dataset there.
  """
  g, d = config.generator, config.discriminator
  d_attention = biggan_names.discriminator_attention(config)
  return {
    'model': 'BigGAN',
    'resolution': config.image_size,
    'n_classes': config.num_classes,
    'dim_z': config.latent_dim,
    'G_ch': g.ch,
    'D_ch': d.ch // _d_factor(config.image_size),
    'G_attn': '_'.join(map(str, sorted(g.attention))) or '0',
    'D_attn': '_'.join(map(str, sorted(d_attention))) or '0',
    'BN_eps': g.bn_eps,
    'SN_eps': 1e-12,
    **{flag: allowed[0] for flag, allowed in _SILENT.items()},
    **dict.fromkeys(('G_param', 'D_param'), 'SN'),
    **dict.fromkeys(('num_G_SVs', 'num_D_SVs'), 1),
    **dict.fromkeys(('num_G_SV_itrs', 'num_D_SV_itrs'), 1),
    **dict.fromkeys(('G_shared', 'hier', 'cross_replica', 'mybn'), False),
    **dict.fromkeys(('D_wide', 'ema', 'use_ema', 'G_eval_mode'), True),
  }


def check(config):
  """Refuses a config whose networks BigGAN-PyTorch has not.

  Args:
    config: a `Config` whose `num_classes` is known.

  Raises:
    UserError: naming the first key that stands against it.
  """
  _check_size(config.image_size)
  d_factor = _d_factor(config.image_size)
  against = {
    f'architecture {config.architecture!r}': config.architecture != 'sagan',
    'num_classes 1': config.num_classes == 1,
    "attention_formula 'paper'": config.attention_formula != 'code',
    'generator.residual': config.generator.residual,
    'discriminator.residual': config.discriminator.residual,
    f'discriminator.ch {config.discriminator.ch}, which is odd, at image_size '
    f'{config.image_size}': config.discriminator.ch % d_factor,
  }
  for what, is_so in against.items():
    if is_so:
      raise errors.UserError(
        f'BigGAN-PyTorch has no networks with {what}, so their weights cannot '
        'be exchanged with it'
      )


def _check_size(image_size):
  if image_size not in IMAGE_SIZES:
    raise errors.UserError(
      f'BigGAN-PyTorch has not our networks for image_size {image_size}; '
      f'weights for {", ".join(map(str, IMAGE_SIZES))} can be exchanged with it'
    )


def _d_factor(image_size):
  """Our discriminator.ch by its D_ch."""
  return 2 if image_size == 32 else 1


def _bn_eps(dicts):
  """The eps of a checkpoint; refuses flags that leave no other trace."""
  settings = dicts.get('state_dict', {}).get('config')
  settings = settings if isinstance(settings, dict) else {}
  eps = settings.get('BN_eps')
  for flag, allowed in _SILENT.items():
    value = settings.get(flag)
    if isinstance(value, str) and value not in allowed:
      raise errors.UserError(
        f'the checkpoint is of networks with --{flag} {reprlib.repr(value)}; '
        f'only those with {allowed[0]} can be imported'
      )
  return eps if isinstance(eps, float) else _BN_EPS


def _shape(file, arrays, name, rank):
  """The shape of an array that all checkpoints have."""
  if name not in arrays or arrays[name].ndim != rank:
    raise Wrong(file, f'no {name} of {rank} axes')
  return arrays[name].shape
