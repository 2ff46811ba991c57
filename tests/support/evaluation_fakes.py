"""Random Inception weights and hand-written torch files for tests."""

import io
import pickle
import struct
import zipfile

import numpy as np

from sagan_jax.inception import convert
from sagan_jax.inception import network as inception

_STORAGES = {'float32': 'FloatStorage', 'int64': 'LongStorage'}


def random_state_dict(seed=0):
  """Returns a state-dict of the PyTorch port with random float32 entries.

  Kernels keep the activations' scale (std sqrt(2 / fan in)), so that errors in
  the last layers are not hidden by vanishing or exploding values.
  """
  rng = np.random.default_rng(seed)
  shapes = inception.param_shapes(('logits',))

  def normal(shape, std):
    return rng.standard_normal(shape, np.float32) * np.float32(std)

  state = {}
  for node, layer in convert.TORCH_LAYERS.items():
    h, w, i, o = shapes[node]['kernel']
    state[f'{layer}.conv.weight'] = normal(
      (o, i, h, w), (2 / (h * w * i)) ** 0.5
    )
    state[f'{layer}.bn.weight'] = 1 + normal((o,), 0.1)
    state[f'{layer}.bn.bias'] = normal((o,), 0.1)
    state[f'{layer}.bn.running_mean'] = normal((o,), 0.1)
    state[f'{layer}.bn.running_var'] = np.exp(normal((o,), 0.1))
    state[f'{layer}.bn.num_batches_tracked'] = np.array(7, np.int64)
  state['fc.weight'] = normal((1008, 2048), 0.03)
  state['fc.bias'] = normal((1008,), 0.1)
  return state


def graph_constants(state):
  """Returns the frozen graph's constants of the same network, gamma unused."""
  constants = {}
  for node, layer in convert.TORCH_LAYERS.items():
    kernel = state[f'{layer}.conv.weight'].transpose(2, 3, 1, 0)
    constants[f'{node}/conv2d_params'] = kernel
    for name, torch_name in (
      ('gamma', 'weight'),
      ('beta', 'bias'),
      ('moving_mean', 'running_mean'),
      ('moving_variance', 'running_var'),
    ):
      constants[f'{node}/batchnorm/{name}'] = state[f'{layer}.bn.{torch_name}']
  constants['softmax/weights'] = state['fc.weight'].T
  constants['softmax/biases'] = state['fc.bias']
  return constants


def without_gamma(state):
  """Returns the state-dict with every batch-norm scale set to 1."""
  return {
    key: np.ones_like(value) if key.endswith('.bn.weight') else value
    for key, value in state.items()
  }


def _opcodes(value):
  """Returns the pickle opcodes that push a plain value."""
  return pickle.dumps(value, 2)[2:-1]  # without the protocol mark and the stop


def _global(name):
  module, _, attribute = name.rpartition('.')
  return f'c{module}\n{attribute}\n'.encode()


def pickle_state_dict(state, persistent_id=None, rebuild=None):
  """Pickles a state-dict as torch does, without torch.

  Args:
    state: dict of name -> float32 or int64 array; storage keys are '0', '1'...
    persistent_id: opcodes to put in the place of every storage reference.
    rebuild: function to name as the maker of tensors, e.g. 'posix.system'.

  Returns:
    bytes.
  """
  out = io.BytesIO()
  out.write(b'\x80\x02' + _global('collections.OrderedDict') + b')R(')
  for key, (name, array) in enumerate(state.items()):
    storage = _global(f'torch.{_STORAGES[str(array.dtype)]}')
    reference = b'(' + _opcodes('storage') + storage
    reference += _opcodes(str(key)) + _opcodes('cpu') + _opcodes(array.size)
    reference += b't'
    strides = tuple(s // array.itemsize for s in array.strides)
    out.write(
      _opcodes(name) + _global(rebuild or 'torch._utils._rebuild_tensor_v2')
    )
    out.write(b'(' + (persistent_id or reference) + b'Q' + _opcodes(0))
    out.write(_opcodes(array.shape) + _opcodes(strides) + b'\x89')
    out.write(_global('collections.OrderedDict') + b')RtR')
  out.write(b'u.')
  return out.getvalue()


def _storage_bytes(array):
  """Returns the values in memory order, so that strides stay as they are."""
  return np.ascontiguousarray(array.ravel(order='K')).tobytes()


def write_torch_zip(path, state, data=None, byteorder=b'little'):
  """Writes the layout of torch >= 1.6; `data` replaces the pickle."""
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('archive/data.pkl', data or pickle_state_dict(state))
    archive.writestr('archive/byteorder', byteorder)
    for key, array in enumerate(state.values()):
      archive.writestr(f'archive/data/{key}', _storage_bytes(array))


def write_torch_legacy(path, state, data=None, little_endian=True, keys=None):
  """Writes the layout before torch 1.6; `data` replaces the pickle."""
  header = (0x1950A86A20F9469CFC6C, 1001, {'little_endian': little_endian})
  if keys is None:
    keys = [str(key) for key in range(len(state))]
  with open(path, 'wb') as file:
    for part in header:
      pickle.dump(part, file, 2)
    file.write(data or pickle_state_dict(state))
    pickle.dump(keys, file, 2)
    for array in list(state.values())[: len(keys)]:
      file.write(struct.pack('<q', array.size) + _storage_bytes(array))
