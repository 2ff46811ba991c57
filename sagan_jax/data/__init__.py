"""Labelled image data sets as NumPy batches."""

import difflib
import importlib

from sagan_jax import errors
from sagan_jax.data.identities import changes
from sagan_jax.data.one_class import unlabelled
from sagan_jax.data.source import Batch, Source

__all__ = [
  'KINDS',
  'Batch',
  'Source',
  'changes',
  'known_num_classes',
  'make_source',
  'unlabelled',
]

# {form of the name: (module, arguments that it has besides the common ones)}.
# The module's `open_source` takes what follows the colon, if the form has one,
# `image_size`, `split` and these arguments. It is imported when it is used.
KINDS = {
  'shapes': ('shapes', ('num_examples',)),
  'array:DIR': ('array', ()),
  'folder:DIR': ('folder', ('max_bad_images',)),
  'cifar10_binary:DIR': ('cifar10_binary', ()),
  'tfds:NAME': ('tfds_directory', ('data_dir', 'shuffle_buffer')),
}

_NUM_CLASSES = {
  'shapes': 10,
  'cifar10_binary': 10,
  'tfds:cifar10': 10,
  'tfds:cifar100': 100,
  'tfds:imagenet2012': 1000,
}


def make_source(
  name: str, *, image_size: int, split: str = 'train', **arguments
) -> Source:
  """Opens a data set; the arguments are the leaves of `config.dataset`.

  Args:
    name: which data set:
      'shapes': ten drawn shapes; needs no files.
      'array:DIR': a directory written by `python -m sagan_jax.prepare`.
      'folder:DIR': images as DIR/<split>/<class>/*.jpg (or .jpeg, .png, .webp);
        without class folders they are one class.
      'cifar10_binary:DIR': the files of cifar-10-binary.tar.gz.
      'tfds:NAME': a prepared TensorFlow Datasets data set, e.g. 'tfds:cifar10'
        or 'tfds:imagenet2012'.
      DIR is a local path, which may begin with `~`, or a URL: gs://bucket/data.
    image_size: height and width of the images, pixels.
    split: which part of the data. 'train' or 'test' for 'shapes' and
      'cifar10_binary'; what was prepared for 'array'; a sub-folder for
      'folder'; anything TFDS understands, e.g. 'train[:90%]', for 'tfds'.
    **arguments: those of the kind, as `KINDS` lists them; None is the default.
      data_dir: where TFDS data is, a path or gs:// URL; None is the TFDS
        default ($TFDS_DATA_DIR or ~/tensorflow_datasets). Only for 'tfds'.
      shuffle_buffer: examples TFDS records are shuffled among, on each process;
        they are held encoded in host memory. None is 10,000. Only for 'tfds':
        the others shuffle all of their examples.
      max_bad_images: files that may be left out as they cannot be decoded; all
        are decoded then to find out. None is 0. Only for 'folder'.
      num_examples: how many shapes to draw; None is 20,000. Only for 'shapes'.

  Returns:
    The source. If the model has a single class, `unlabelled` makes one of any
    source.

  Raises:
    UserError: if the name is unknown, if an argument that the source does not
      use is set, or if the data is missing or damaged.
  """
  kind, colon, rest = name.partition(':')
  form = next((n for n in KINDS if n.partition(':')[0] == kind), None)
  if form is None or bool(colon) != (':' in form) or bool(colon) != bool(rest):
    raise errors.UserError(_unknown_name(name, form))
  module, known = KINDS[form]
  given = {key: value for key, value in arguments.items() if value is not None}
  for key, value in given.items():
    if key not in known:
      raise errors.UserError(
        f'{key}={value!r} has no effect on dataset {name!r}; set '
        f'--config.dataset.{key}=None'
      )
  open_source = importlib.import_module(f'{__name__}.{module}').open_source
  place = (rest,) if colon else ()
  return open_source(*place, image_size=image_size, split=split, **given)


def known_num_classes(name: str) -> int | None:
  """The number of classes of a data set, if its name alone tells."""
  kind = name.partition(':')[0]
  return _NUM_CLASSES.get(name, _NUM_CLASSES.get(kind))


def _unknown_name(name: str, form: str | None) -> str:
  if form is None:
    kinds = {n.partition(':')[0]: n for n in KINDS}
    nearest = difflib.get_close_matches(
      name.partition(':')[0], kinds, n=1, cutoff=0
    )
    form = kinds[nearest[0]]
  return (
    f'unknown dataset {name!r}; did you mean {form!r}? Allowed are '
    f'{", ".join(KINDS)}; set --config.dataset.name'
  )
