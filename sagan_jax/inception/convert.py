"""Converts published Inception weights to the parameter tree of `inception`.

Batch norm is folded in float64 and stored in float32:
`kernel' = kernel * s`, `bias' = beta - mean * s`, `s = gamma / sqrt(var +
eps)`. The result is checked against the network's own names and shapes, so that
a file of another network cannot pass.
"""

import numpy as np

from sagan_jax import errors
from sagan_jax.inception import network as inception

_BRANCHES_35 = {
  'conv': 'branch1x1',
  'tower/conv': 'branch5x5_1',
  'tower/conv_1': 'branch5x5_2',
  'tower_1/conv': 'branch3x3dbl_1',
  'tower_1/conv_1': 'branch3x3dbl_2',
  'tower_1/conv_2': 'branch3x3dbl_3',
  'tower_2/conv': 'branch_pool',
}
_BRANCHES_TO_17 = {
  'conv': 'branch3x3',
  'tower/conv': 'branch3x3dbl_1',
  'tower/conv_1': 'branch3x3dbl_2',
  'tower/conv_2': 'branch3x3dbl_3',
}
_BRANCHES_17 = {
  'conv': 'branch1x1',
  'tower/conv': 'branch7x7_1',
  'tower/conv_1': 'branch7x7_2',
  'tower/conv_2': 'branch7x7_3',
  'tower_1/conv': 'branch7x7dbl_1',
  'tower_1/conv_1': 'branch7x7dbl_2',
  'tower_1/conv_2': 'branch7x7dbl_3',
  'tower_1/conv_3': 'branch7x7dbl_4',
  'tower_1/conv_4': 'branch7x7dbl_5',
  'tower_2/conv': 'branch_pool',
}
_BRANCHES_TO_8 = {
  'tower/conv': 'branch3x3_1',
  'tower/conv_1': 'branch3x3_2',
  'tower_1/conv': 'branch7x7x3_1',
  'tower_1/conv_1': 'branch7x7x3_2',
  'tower_1/conv_2': 'branch7x7x3_3',
  'tower_1/conv_3': 'branch7x7x3_4',
}
_BRANCHES_8 = {
  'conv': 'branch1x1',
  'tower/conv': 'branch3x3_1',
  'tower/mixed/conv': 'branch3x3_2a',
  'tower/mixed/conv_1': 'branch3x3_2b',
  'tower_1/conv': 'branch3x3dbl_1',
  'tower_1/conv_1': 'branch3x3dbl_2',
  'tower_1/mixed/conv': 'branch3x3dbl_3a',
  'tower_1/mixed/conv_1': 'branch3x3dbl_3b',
  'tower_2/conv': 'branch_pool',
}
_BLOCKS = {
  'mixed': ('Mixed_5b', _BRANCHES_35),
  'mixed_1': ('Mixed_5c', _BRANCHES_35),
  'mixed_2': ('Mixed_5d', _BRANCHES_35),
  'mixed_3': ('Mixed_6a', _BRANCHES_TO_17),
  'mixed_4': ('Mixed_6b', _BRANCHES_17),
  'mixed_5': ('Mixed_6c', _BRANCHES_17),
  'mixed_6': ('Mixed_6d', _BRANCHES_17),
  'mixed_7': ('Mixed_6e', _BRANCHES_17),
  'mixed_8': ('Mixed_7a', _BRANCHES_TO_8),
  'mixed_9': ('Mixed_7b', _BRANCHES_8),
  'mixed_10': ('Mixed_7c', _BRANCHES_8),
}

# TF node -> layer of pytorch-fid's and torch-fidelity's port.
TORCH_LAYERS = {
  'conv': 'Conv2d_1a_3x3',
  'conv_1': 'Conv2d_2a_3x3',
  'conv_2': 'Conv2d_2b_3x3',
  'conv_3': 'Conv2d_3b_1x1',
  'conv_4': 'Conv2d_4a_3x3',
} | {
  f'{node}/{branch}': f'{layer}.{torch_branch}'
  for node, (layer, branches) in _BLOCKS.items()
  for branch, torch_branch in branches.items()
}


def fold(kernel, gamma, beta, mean, variance, epsilon):
  """Folds inference-mode batch norm into the convolution before it.

  Args:
    kernel: float32 [H, W, I, O].
    gamma: float32 [O], or 1 where the norm has no scale.
    beta: float32 [O].
    mean: float32 [O], the moving mean.
    variance: float32 [O], the moving variance.
    epsilon: added to the variance.

  Returns:
    {'kernel': float32 [H, W, I, O], 'bias': float32 [O]}.
  """
  scale = gamma / np.sqrt(np.asarray(variance, np.float64) + epsilon)
  return {
    'kernel': np.asarray(kernel * scale, np.float32),
    'bias': np.asarray(beta - mean * scale, np.float32),
  }


def from_state_dict(state):
  """Converts the state-dict of the PyTorch port.

  Args:
    state: dict of name -> array, as `torch_file.read_state_dict` returns.

  Returns:
    the parameter tree of the whole network.

  Raises:
    UserError: if an entry is missing or a shape is another one.
  """

  def read(key):
    return _entry(state, key)

  params = {}
  for node, layer in TORCH_LAYERS.items():
    params[node] = fold(
      read(f'{layer}.conv.weight').transpose(2, 3, 1, 0),  # OIHW -> HWIO
      read(f'{layer}.bn.weight'),
      read(f'{layer}.bn.bias'),
      read(f'{layer}.bn.running_mean'),
      read(f'{layer}.bn.running_var'),
      inception.BATCH_NORM_EPSILON,
    )
  params['softmax'] = {
    'kernel': read('fc.weight').T.astype(np.float32),
    'bias': read('fc.bias').astype(np.float32),
  }
  return check_params(params, ('logits',))


def from_frozen_graph(constants, batch_norms):
  """Converts the constants of `classify_image_graph_def.pb`.

  Args:
    constants: dict of node -> array, as `graph_file.read_frozen_graph` returns.
    batch_norms: dict of node -> (epsilon, uses_gamma), from there too.

  Returns:
    the parameter tree of the whole network.

  Raises:
    UserError: if a node is missing or a shape is another one.
  """

  def read(key):
    return _entry(constants, key)

  params = {}
  for node in TORCH_LAYERS:
    norm = f'{node}/batchnorm'
    epsilon, uses_gamma = _entry(batch_norms, norm)
    params[node] = fold(
      read(f'{node}/conv2d_params'),
      read(f'{norm}/gamma') if uses_gamma else 1.0,
      read(f'{norm}/beta'),
      read(f'{norm}/moving_mean'),
      read(f'{norm}/moving_variance'),
      epsilon,
    )
  params['softmax'] = {
    'kernel': read('softmax/weights'),
    'bias': read('softmax/biases'),
  }
  return check_params(params, ('logits',))


def from_flat(arrays, taps):
  """Converts `<layer>/kernel` and `<layer>/bias` entries, already folded.

  Args:
    arrays: mapping of name -> array, such as an open `.npz`.
    taps: the deepest taps that the file must serve.

  Returns:
    the parameter tree.

  Raises:
    UserError: if the entries are not exactly those that `taps` need.
  """
  params = {}
  for key in arrays:
    layer, _, leaf = key.rpartition('/')
    params.setdefault(layer, {})[leaf] = np.asarray(arrays[key], np.float32)
  return check_params(params, taps)


def to_flat(params):
  """Returns the inverse of `from_flat`: a flat dict of arrays."""
  return {
    f'{layer}/{leaf}': array
    for layer, leaves in params.items()
    for leaf, array in leaves.items()
  }


def check_params(params, taps):
  """Refuses parameters that are not those of the network.

  Args:
    params: a parameter tree of arrays.
    taps: the deepest taps that the parameters must serve.

  Returns:
    `params`, unchanged.

  Raises:
    UserError: naming missing, unexpected and misshapen entries.
  """
  expected = to_flat(inception.param_shapes(taps))
  given = {name: np.shape(array) for name, array in to_flat(params).items()}
  wrong = (
    [f'{name} is missing' for name in sorted(set(expected) - set(given))]
    + [f'{name} is not expected' for name in sorted(set(given) - set(expected))]
    + [
      f'{name} has shape {given[name]}, not {expected[name]}'
      for name in sorted(set(given) & set(expected))
      if given[name] != expected[name]
    ]
  )
  if wrong:
    more = f' and {len(wrong) - 3} more' if len(wrong) > 3 else ''
    raise errors.UserError(
      'these are not the weights of the 2015-12-05 Inception network: '
      f'{"; ".join(wrong[:3])}{more}; get them again'
    )
  return params


def _entry(table, key):
  """Returns `table[key]`, or says what the file lacks."""
  if key not in table:
    raise errors.UserError(
      f'these are not the weights of the 2015-12-05 Inception network: {key} '
      f'is missing among {len(table)} entries; get them again'
    )
  return table[key]
