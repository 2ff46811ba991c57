"""Weights to and from the SAGAN of BigGAN-PyTorch.

Its networks are those of scripts/launch_SAGAN_bs128x2_ema.sh in
github.com/ajbrock/BigGAN-PyTorch at commit 9845943: no shared class embedding,
no hierarchical latents, one singular value a layer. With the same weights, u
vectors and running moments they compute what ours do.

What a state dict there cannot say, or means differently:

* Resolutions: 32, 128 and 256. The generator for 64 pixels has other widths
  there. The discriminator for 32 pixels is twice as wide for its D_ch, so that
  our `discriminator.ch` is 2 D_ch. For 32 pixels its attention comes after all
  four blocks, and at 4x4 after two: those that ours has not are written with a
  gate of zero, which adds nothing, and are read only so.
* Classes: its networks always have class tables, ours not with one class.
* Attention: of `attention_formula` 'code', values of C/2 channels, pooled. It
  has no `ResidualControl`.
* Batch norm: a class scales by 1 + gain, so that a gamma below 1/2 or above 2
  comes back rounded, by 6e-8 of what is larger, it or 1. The eps is a flag
  (--BN_eps) and no part of the file; running moments there move by a tenth a
  step and with unbiased variances.
* Spectral norm: its eps (--SN_eps) bounds a norm from below, ours is added to
  it: no difference for norms well above 1e-8. More power iterations a step
  (--num_G_SV_itrs) leave no trace in a file. Its u vectors move in both
  networks' steps; in evaluation both take one step that is not stored.
* `G_ema` averages u vectors too. A `GanState` has one vector for both sets of
  weights, so one of the two generators changes a little when it is imported:
  `ema_sigma_gap` says by how much.
* Nothing of the optimisers: --resume there wants G_optim.pth and D_optim.pth;
  sample.py does not.
"""

import re
import reprlib
from typing import Any

import numpy as np

from sagan_jax.weights import biggan_config, biggan_files, biggan_names

guess_config = biggan_config.guess_config
read_directory = biggan_files.read_directory
write_directory = biggan_files.write_directory


def to_state_dicts(config, state):
  """Makes state dicts of a state.

  Args:
    config: a `Config` whose `num_classes` is known.
    state: its `GanState`, or one of its arrays as NumPy's.

  Returns:
    {'G', 'G_ema', 'D': {name: float32 array}, 'state_dict': settings}, in
    which 'state_dict' holds what the file of that name does: counters, and the
    flags that make the networks.

  Raises:
    UserError: if BigGAN-PyTorch has no such networks.
  """
  biggan_config.check(config)
  generator = biggan_names.generator(config)
  ema_params, ema_stats = state.generator_variables('ema')
  return {
    'G': _export(generator, state.generator.variables()),
    'G_ema': _export(generator, {'params': ema_params, **ema_stats}),
    'D': _export(
      biggan_names.discriminator(config), state.discriminator.variables()
    ),
    'state_dict': {
      'itr': int(state.step),
      'epoch': 0,
      'save_num': 0,
      'save_best_num': 0,
      'best_IS': 0,
      'best_FID': 999999,
      'config': biggan_config.flags(config),
    },
  }


def from_state_dicts(config, dicts, vectors='G'):
  """Makes parts of a `GanState` of state dicts.

  Args:
    config: a `Config`, such as `guess_config` describes.
    dicts: {'G', 'D', 'G_ema': {name: array}}; without 'G_ema' the average
      begins as a copy of 'G'.
    vectors: whose u vectors to keep, 'G' or 'G_ema'. The networks that they
      come from are exact; the other generator is so up to `ema_sigma_gap`.

  Returns:
    {'generator': {'params', 'stats'}, 'discriminator': {'params', 'stats'},
    'ema_params', 'ema_batch_stats'} of float32 NumPy arrays, as the fields of
    `GanState` and `NetState` are called.

  Raises:
    UserError: if BigGAN-PyTorch has no such networks, or the arrays are those
      of others.
  """
  biggan_config.check(config)
  names = biggan_names.generator(config)
  generator = _load('G', names, dicts['G'])
  ema = _load('G_ema', names, dicts['G_ema']) if 'G_ema' in dicts else generator
  discriminator = _load('D', biggan_names.discriminator(config), dicts['D'])
  spectral = {'G': generator, 'G_ema': ema}[vectors]['spectral']
  return {
    'generator': _parts(generator | {'spectral': spectral}),
    'discriminator': _parts(discriminator),
    'ema_params': ema['params'],
    'ema_batch_stats': ema['batch_stats'],
  }


def ema_sigma_gap(dicts):
  """How much the averaged generator depends on having u vectors of its own.

  Args:
    dicts: as `from_state_dicts` takes them.

  Returns:
    The largest relative difference, over layers, between the singular values
    of G_ema's weights by one power iteration from its own vectors and from
    those of G. In 80 steps of its own code, decay 0.95, it came to 0.2 %, which
    moved pixels by 0.0013 at most.
  """
  ema, gap = dicts['G_ema'], 0.0
  for name in ema:
    if name.endswith('.u0'):
      weight = ema[name.removesuffix('u0') + 'weight']
      matrix = weight.reshape(len(weight), -1)
      own, kept = (_sigma(matrix, d[name][0]) for d in (ema, dicts['G']))
      gap = max(gap, abs(kept / own - 1))
  return float(gap)


def _sigma(matrix, u):
  v = u @ matrix
  return np.linalg.norm(matrix @ (v / np.linalg.norm(v)))


def _export(entries, variables):
  """The arrays of a network, by the names of BigGAN-PyTorch."""
  arrays = {}
  for entry in entries:
    leaf: Any = variables if entry.path else 0
    for key in entry.path:
      leaf = leaf[key]
    array = np.asarray(entry.export(np.asarray(leaf, np.float32)), order='C')
    if array.shape != entry.shape:
      raise ValueError(
        f'{".".join(entry.path)} is not of this config: as {entry.name} it '
        f'would be {array.shape}, not {entry.shape}'
      )
    arrays[entry.name] = array
  return arrays


def _load(file, entries, arrays):
  """The variables of a network: {collection: tree of float32 arrays}."""
  arrays = _one_spelling(arrays)
  biggan_config.refuse_foreign(file, arrays)
  names = {entry.name for entry in entries}
  more = next((name for name in arrays if name not in names), None)
  if more is not None:
    raise biggan_config.Wrong(file, f'{reprlib.repr(more)}, which ours has not')
  variables = {}
  for entry in entries:
    if entry.name not in arrays:
      raise biggan_config.Wrong(file, f'no {entry.name}')
    array = arrays[entry.name]
    if array.shape != entry.shape:
      raise biggan_config.Wrong(
        file, f'{entry.name} of shape {array.shape}, not {entry.shape}'
      )
    if not entry.path:
      if entry.name.endswith('.gamma') and array != 0:
        raise biggan_config.Wrong(
          file, f'an attention block, {entry.name}, which ours has not'
        )
      continue
    *path, leaf = entry.path
    tree = variables
    for key in path:
      tree = tree.setdefault(key, {})
    tree[leaf] = np.array(entry.load(array.astype(np.float32)), order='C')
  return variables


def _one_spelling(arrays):
  """Renames the running moments of --cross_replica and --mybn."""
  renamed = {}
  for name, array in arrays.items():
    if name.endswith('.bn.num_batches_tracked'):
      continue
    if name.endswith('.bn.accumulation_counter') and not array.any():
      continue
    name = re.sub(r'\.bn\.(running|stored)_(mean|var)$', r'.stored_\2', name)
    renamed[name] = array
  return renamed


def _parts(variables):
  """Splits variables into the fields of a `NetState`."""
  stats = {k: tree for k, tree in variables.items() if k != 'params'}
  return {'params': variables['params'], 'stats': stats}
