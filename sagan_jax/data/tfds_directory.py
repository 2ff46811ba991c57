"""Prepared TensorFlow Datasets, from a local or gs:// directory.

Nothing is downloaded. What is stored as ArrayRecord is read by index, without
TensorFlow; all else needs it.
"""

import dataclasses
import importlib
import os
import re
from typing import Any

from etils import epath

from sagan_jax import errors, files
from sagan_jax.data import source

_FEATURES = 'tensorflow_datasets.core.features.'


@dataclasses.dataclass(frozen=True)
class Prepared:
  """A split of a prepared image data set.

  Attributes:
    name: of the source, e.g. 'tfds:cifar10'.
    builder: TFDS's, read-only.
    split: anything TFDS understands, e.g. 'train[:90%]'.
    num_examples: of the split.
    class_names: of the labels; a single one if there are no labels.
    has_labels: whether the records have a class label.
  """

  name: str
  builder: Any
  split: str
  num_examples: int
  class_names: tuple[str, ...]
  has_labels: bool

  def identity(self, image_size: int, preprocessing: str) -> dict:
    """Returns `source.Source.identity` at a size, with the way to it."""
    return {
      'name': self.builder.info.full_name,
      'split': self.split,
      'num_examples': self.num_examples,
      'class_names': list(self.class_names),
      'image_size': image_size,
      'preprocessing': preprocessing,
    }


def open_source(
  dataset_name: str,
  *,
  image_size: int,
  split: str,
  data_dir: str | None = None,
  shuffle_buffer: int | None = None,
) -> source.Source:
  """Opens a data set; reads only its description.

  Args:
    dataset_name: as TFDS names it: 'cifar10', 'imagenet2012:5.1.0',
      'imagenet_resized/64x64'.
    image_size: height and width to resize to, pixels.
    split: anything TFDS understands, e.g. 'train' or 'train[:90%]'.
    data_dir: a path or gs:// URL; None is the TFDS default.
    shuffle_buffer: records to shuffle among; None is 10,000. Only for data
      that is not stored as ArrayRecord, which is shuffled as a whole.

  Returns:
    The source. Without a class label in the data it has one class.

  Raises:
    UserError: if the data is not there, has no such split, is not images, or
      needs a package that is not installed.
  """
  name = f'tfds:{dataset_name}'
  prepared = _describe(name, _find(dataset_name, data_dir), split)
  if prepared.builder.info.file_format.value == 'array_record':
    if shuffle_buffer is not None:
      raise errors.UserError(
        f'shuffle_buffer={shuffle_buffer} has no effect on {name!r}: it is '
        'stored as ArrayRecord, which is shuffled as a whole; set '
        '--config.dataset.shuffle_buffer=None'
      )
    _need('array_record', 'ArrayRecord: pip install array_record', name)
    from sagan_jax.data import tfds_array_record

    return tfds_array_record.open_source(prepared, image_size=image_size)
  _need('tensorflow', "TensorFlow: pip install 'sagan_jax[tfds]'", name)
  from sagan_jax.data import tfds

  return tfds.TfdsSource(
    prepared, image_size=image_size, shuffle_buffer=shuffle_buffer
  )


def _need(package: str, advice: str, name: str) -> None:
  """Raises a `UserError` with advice if a package is not installed."""
  try:
    importlib.import_module(package)
  except ModuleNotFoundError as e:
    if e.name != package:
      raise
    raise errors.UserError(f'reading {name} needs {advice}') from e


def _find(dataset_name: str, data_dir: str | None) -> epath.Path:
  """Returns the directory of prepared data: the newest version.

  Found by its files. `tfds.builder` looks for the data set's code first, which
  would reach for the network where the data is missing.
  """
  if data_dir is None:
    data_dir = os.environ.get('TFDS_DATA_DIR', '~/tensorflow_datasets')
  name, _, version = dataset_name.partition(':')
  root = files.as_path(data_dir) / name
  found = {}
  for path in files.matching(root, version or '*'):
    match = re.fullmatch(r'(\d+)\.(\d+)\.(\d+)', path.name)
    if match and (path / 'dataset_info.json').exists():
      found[tuple(int(n) for n in match.groups())] = path
  if not found:
    raise errors.UserError(
      f'no prepared data of {dataset_name!r}: there is no '
      f'{root}/{version or "<version>"}/dataset_info.json. Set '
      '--config.dataset.data_dir=DIR, or prepare the data with '
      f'`tfds build {name} --data_dir=DIR`'
    )
  return found[max(found)]


def _check_features(path: epath.Path) -> None:
  """Refuses features that are not TFDS's own: it would import their modules."""
  left = [files.read_json(path)] if path.exists() else []
  while left:
    each = left.pop()
    if isinstance(each, dict):
      for key in ('pythonClassName', 'type'):
        of = each.get(key)
        if isinstance(of, str) and '.' in of and not of.startswith(_FEATURES):
          raise errors.UserError(
            f'{path} asks for {of[:80]!r}, which is no feature of TFDS; it was '
            'not imported'
          )
    if isinstance(each, (dict, list)):
      left += each.values() if isinstance(each, dict) else each


def _describe(name: str, directory: epath.Path, split: str) -> Prepared:
  """Reads the description of a data set."""
  _need(
    'tensorflow_datasets', "TensorFlow: pip install 'sagan_jax[tfds]'", name
  )
  # Here so that they are no base imports.
  import tensorflow_datasets as tfds
  from google.protobuf import json_format

  _check_features(directory / 'features.json')
  try:
    builder: Any = tfds.builder_from_directory(directory)
  # What TFDS and its parsers raise for descriptions that are damaged.
  except (
    *(OSError, ValueError, TypeError, KeyError, AttributeError),
    json_format.ParseError,
  ) as e:
    raise errors.UserError(
      f'{directory} does not describe a prepared data set: {e}; prepare it again'
    ) from e
  features: dict[str, Any] = dict(builder.info.features)
  label = features.get('label')
  if not isinstance(label, tfds.features.ClassLabel):
    label = None
  if not isinstance(features.get('image'), tfds.features.Image):
    raise errors.UserError(
      f"dataset {name!r} has the features {sorted(features)}; an 'image' is "
      'needed; set --config.dataset.name'
    )
  try:
    count = builder.info.splits[split].num_examples
  except (KeyError, ValueError) as e:
    raise errors.UserError(
      f'dataset {name!r} has no split {split!r}, only '
      f'{sorted(builder.info.splits)}; set --config.dataset.split'
    ) from e
  if not count:
    raise errors.UserError(
      f'split {split!r} of {name!r} is empty; set --config.dataset.split'
    )
  return Prepared(
    name=name,
    builder=builder,
    split=split,
    num_examples=count,
    # From the data: imagenet_resized orders its labels unlike imagenet2012.
    class_names=('images',) if label is None else tuple(label.names),
    has_labels=label is not None,
  )
