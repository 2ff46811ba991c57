"""TensorFlow Datasets stored as ArrayRecord, without TensorFlow.

Records are read by their number: the order does not depend on the number of
processes, and there is no shuffle buffer.
"""

import io

import numpy as np

from sagan_jax import errors
from sagan_jax.data import (
  decoding,
  image_file,
  indexed,
  source,
  tfds_directory,
)


def open_source(
  prepared: tfds_directory.Prepared, *, image_size: int
) -> indexed.IndexedSource:
  """Opens a split.

  Args:
    prepared: the split.
    image_size: height and width to resize to, pixels.

  Returns:
    The source. Reading from it raises a `UserError` for a record that cannot be
    decoded or has a label that is no class.
  """
  import tensorflow_datasets as tfds  # Here so that it is no base import.

  records = prepared.builder.as_data_source(
    prepared.split, decoders={'image': tfds.decode.SkipDecoding()}
  )
  num_classes = len(prepared.class_names)

  def load(i):
    record = records[i]
    try:
      image = image_file.decode_square(io.BytesIO(record['image']), image_size)
    except image_file.UnreadableError as e:
      raise errors.UserError(
        f'example {i} of {prepared.name!r}, split {prepared.split!r}, in '
        f'{prepared.builder.data_dir} cannot be decoded: {e}'
      ) from e
    label = np.asarray([record['label'] if prepared.has_labels else 0])
    return image, source.check_labels(
      label, num_classes, where=prepared.name, names=[str(i)]
    )[0]

  return indexed.IndexedSource(
    decoding.Decoder(load),
    name=prepared.name,
    num_examples=prepared.num_examples,
    class_names=prepared.class_names,
    image_size=image_size,
    identity=prepared.identity(image_size, image_file.PREPROCESSING),
  )
