"""Samples beside the nearest training images: does the generator copy?"""

import numpy as np

from sagan_jax import errors
from sagan_jax.cluster import sharding
from sagan_jax.evaluation import nearest as nearest_lib
from sagan_jax.gallery import outputs, samples
from sagan_jax.pictures import labelled
from sagan_jax.run import directory, stop

_COLUMNS = (
  *('rank', 'distance', 'training_image', 'training_label'),
  *('training_class', 'features'),
)


def write(request: samples.Request, k: int, output: outputs.Output) -> None:
  """Writes nearest.png, a row per sample, and nearest.csv.

  Args:
    request: which samples.
    k: training images beside each.
    output: where to.

  Raises:
    UserError: if the data is not that of the run, the picture is too large, or
      `output` holds other files of these names.
  """
  run, labels = request.run, request.labels
  _check_data(run)
  order = [(label, j) for label in labels for j in range(request.num)]
  request.check(len(order) * (k + 1))
  search = nearest_lib.Search(
    run.config,
    sharding.local_mesh(run.mesh),
    run.source,
    k,
    request.say,
    stop.counter,
  )
  sheet = labelled.Sheet(
    run.config.image_size,
    k + 1,
    [f'{request.name(label)}, {number}' for label, number in order],
    titles=(_title(request, search.space, k, 10**6, '-12345', '-12345'),),
    captions=True,
  )
  sheet.check(f'a picture of {len(order):,} rows', 'set --classes or --num')
  output.claim(['nearest.png', 'nearest.csv'])
  made = request.by_class()
  made = made.reshape(-1, *made.shape[2:])
  found = search.nearest(
    made, np.array([label for label, _ in order], np.int32)
  )
  title = _title(
    *(request, found.space, k, request.generator.step),
    *(f'{found.typical:#.4g}', f'{found.small:#.4g}'),
  )
  request.say(title)
  images = np.concatenate([made[:, None], search.images(found.index)], axis=1)
  captions = [
    text
    for row in found.distance
    for text in ('sample', *(f'{x:#.4g}' for x in row))
  ]
  images = images.reshape(-1, *images.shape[2:])
  drawn = sheet.draw(images, title=title, captions=captions)
  output.png('nearest.png', drawn)
  output.table(
    'nearest.csv',
    (*samples.COLUMNS, *_COLUMNS),
    _rows(request, order, found),
  )


def _check_data(run):
  if changed := directory.data_changes(run.workdir, run.source):
    raise errors.UserError(
      f'{run.source.name} is not the data of the run in {run.workdir}:\n  '
      + '\n  '.join(changed)
      + '\nset --config.dataset.name and --config.dataset.data_dir'
    )


def _title(request, space, k, step, typical, small):
  return (
    f'{request.describe(step)}\n'
    f'Samples, and the {k} nearest of {request.run.source.num_examples:,} '
    'training images by Euclidean distance\n'
    f'in the features {space}.\n'
    f'Training images are {typical} from their nearest other (median; 5 % less '
    f'than {small}).'
  )


def _rows(request, order, found):
  """The rows of the table: k of each sample."""
  names = request.run.class_names
  for i, which in enumerate(order):
    for rank, (distance, index, label) in enumerate(
      zip(found.distance[i], found.index[i], found.label[i], strict=True), 1
    ):
      yield (
        *request.facts('nearest.png', *which),
        *(rank, f'{distance:.6g}', index, label, names[label], found.space),
      )
