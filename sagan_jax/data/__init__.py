"""Labelled image data sets as NumPy batches."""

import difflib

from sagan_jax.data.source import Batch, Source

__all__ = ['Batch', 'Source', 'make_source']

_NAMES = {
  'shapes': ('split', 'num_examples'),
  'array:DIR': ('split',),
  'folder:DIR': ('split',),
  'cifar10_binary:DIR': ('split',),
  'tfds:NAME': ('split', 'data_dir', 'shuffle_buffer'),
}


def make_source(
  name: str,
  *,
  image_size: int,
  split: str = 'train',
  data_dir: str | None = None,
  shuffle_buffer: int | None = None,
  num_examples: int | None = None,
) -> Source:
  """Opens a data set; the arguments are the leaves of `config.dataset`.

  Args:
    name: which data set:
      'shapes': ten drawn shapes; needs no files.
      'array:DIR': a directory written by `python -m sagan_jax.prepare`.
      'folder:DIR': images as DIR/<split>/<class>/*.jpg (or .jpeg, .png).
      'cifar10_binary:DIR': the files of cifar-10-binary.tar.gz.
      'tfds:NAME': a prepared TensorFlow Datasets data set, e.g. 'tfds:cifar10'
        or 'tfds:imagenet2012'; the only one that imports TensorFlow.
    image_size: height and width of the images, pixels.
    split: which part of the data. 'train' or 'test' for 'shapes' and
      'cifar10_binary'; what was prepared for 'array'; a sub-folder for
      'folder'; anything TFDS understands, e.g. 'train[:90%]', for 'tfds'.
    data_dir: where TFDS data is, a path or gs:// URL; None is the TFDS
      default ($TFDS_DATA_DIR or ~/tensorflow_datasets). Only for 'tfds'.
    shuffle_buffer: examples TFDS records are shuffled among, on each process;
      they are held encoded in host memory. None is 10,000. Only for 'tfds':
      the others shuffle all of their examples.
    num_examples: how many shapes to draw; None is 20,000. Only for 'shapes'.

  Returns:
    The source.

  Raises:
    ValueError: if the name is unknown, if an argument that the source does not
      use is set, or if the data is missing or damaged.
  """
  kind, colon, place = name.partition(':')
  form = next((n for n in _NAMES if n.partition(':')[0] == kind), None)
  if form is None or bool(colon) != (':' in form) or bool(colon) != bool(place):
    raise ValueError(_unknown_name(name, form))
  given = {
    'data_dir': data_dir,
    'shuffle_buffer': shuffle_buffer,
    'num_examples': num_examples,
  }
  for key, value in given.items():
    if value is not None and key not in _NAMES[form]:
      raise ValueError(
        f'{key}={value!r} has no effect on dataset {name!r}; set '
        f'--config.dataset.{key}=None'
      )
  # Imported here so that only 'tfds' loads TensorFlow (10 s).
  if kind == 'shapes':
    from sagan_jax.data import shapes

    return shapes.open_source(
      image_size=image_size, split=split, num_examples=num_examples
    )
  if kind == 'array':
    from sagan_jax.data import array

    return array.open_source(place, image_size=image_size, split=split)
  if kind == 'folder':
    from sagan_jax.data import folder

    return folder.open_source(place, image_size=image_size, split=split)
  if kind == 'cifar10_binary':
    from sagan_jax.data import cifar10_binary

    return cifar10_binary.open_source(place, image_size=image_size, split=split)
  from sagan_jax.data import tfds

  return tfds.TfdsSource(
    place,
    image_size=image_size,
    split=split,
    data_dir=data_dir,
    shuffle_buffer=shuffle_buffer,
  )


def _unknown_name(name: str, form: str | None) -> str:
  if form is None:
    kinds = {n.partition(':')[0]: n for n in _NAMES}
    nearest = difflib.get_close_matches(
      name.partition(':')[0], kinds, n=1, cutoff=0
    )
    form = kinds[nearest[0]]
  return (
    f'unknown dataset {name!r}; did you mean {form!r}? Allowed are '
    f'{", ".join(_NAMES)}; set --config.dataset.name'
  )
