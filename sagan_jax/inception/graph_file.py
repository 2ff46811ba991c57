"""Reads the frozen TensorFlow graph of Inception.

The only file of the package's evaluation that imports TensorFlow, and only when
a graph is read: once, since `weights` keeps the converted arrays.
"""

import os

import numpy as np

from sagan_jax import errors


class GraphFileError(errors.UserError):
  """A file that is damaged, or is not a frozen graph."""


def read_frozen_graph(path):
  """Reads the constants and the batch-norm attributes of a GraphDef.

  Args:
    path: pathlib.Path or str of a binary `.pb`.

  Returns:
    (constants, batch_norms): dict of node -> numpy array for every `Const` of
    float32, and dict of node -> (epsilon, uses_gamma) for every
    `BatchNormWithGlobalNormalization`.

  Raises:
    GraphFileError: if the file is truncated or no GraphDef.
    UserError: if TensorFlow is not installed, naming the file to use instead.
  """
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')  # No banners.
  try:
    import tensorflow as tf
    from google.protobuf import message
  except ImportError as e:
    raise errors.UserError(
      f'{path} is a TensorFlow graph, and TensorFlow is not installed ({e}); '
      "pip install 'sagan_jax[tfds]', or use "
      'pt_inception-2015-12-05-6726825d.pth, which needs nothing'
    ) from e
  graph = tf.compat.v1.GraphDef()
  with open(path, 'rb') as file:
    try:
      graph.ParseFromString(file.read())
    except message.DecodeError as e:
      raise GraphFileError(
        f'{path} is truncated or no frozen TensorFlow graph: {e}'
      ) from e
  constants, batch_norms = {}, {}
  for node in graph.node:
    if (
      node.op == 'Const'
      and node.attr['dtype'].type == tf.float32.as_datatype_enum
    ):
      constants[node.name] = np.asarray(
        tf.make_ndarray(node.attr['value'].tensor), np.float32
      )
    elif node.op == 'BatchNormWithGlobalNormalization':
      batch_norms[node.name] = (
        node.attr['variance_epsilon'].f,
        node.attr['scale_after_normalization'].b,
      )
  return constants, batch_norms
