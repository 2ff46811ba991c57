"""What `python -m sagan_jax.attention` writes about a run."""

import csv
import io

import numpy as np

from sagan_jax import errors, files
from sagan_jax.gan import attention_maps
from sagan_jax.pictures.attention import figure, page
from sagan_jax.run import attention, generator, stop
from sagan_jax.run import labels as labels_lib

_MOST_CLASSES = 10  # That are shown unless others are asked for.


def write(
  run,
  output,
  *,
  steps='last',
  classes=None,
  num=1,
  seed=0,
  weights=('ema', 'raw'),
  real=True,
  count=200,
  points=None,
  say=print,
):
  """Writes page, figures, statistics and arrays of a run's attention.

  Args:
    run: a `Run`.
    output: directory, made if need be.
    steps: 'last', 'best', 'all', or a list of steps.
    classes: names or numbers of classes to show, with commas, or 'all'; None
      for up to ten, evenly spaced.
    num: images of each class to show.
    seed: of the latents.
    weights: of the generator: 'ema', 'raw' or both.
    real: whether to show real images too, if they can be read.
    count: images of each kind to measure.
    points: list of (y, x), queries of the figures; None chooses.
    say: called with lines of progress.

  Raises:
    UserError: if what is asked for is not there, or too much for a page, or a
      file cannot be written.
  """
  generator.check_seed(seed)
  labels = chosen_labels(run, classes, num)
  _check_points(run.gan, points)
  steps = _steps(run, steps)
  _check_size(run.gan, len(steps) * len(labels), (*weights, *['real'] * real))
  kinds, facts = _kinds(run, labels, weights, real, count)
  for line in facts[1:]:
    say(line)
  output = files.as_path(output)
  with files.writing(output):
    output.mkdir(parents=True, exist_ok=True)
  rows, shown = [], []
  counter = stop.counter('images', len(steps) * len(kinds) * count, say)
  for step, views, found in _looks(run, steps, seed, kinds, counter):
    rows += found
    shown += [(step, view) for view in views]
    files.write(output / f'maps_{step:08d}.npz', arrays(views))
    _write_figures(output, step, views, run.class_names, points)
  files.write(output / 'statistics.csv', table(rows))
  title = f'Attention of {run.workdir.name}'
  facts.append(f'Latents of seed {seed}.')
  text = page.render(title, facts, rows, shown, run.class_names)
  files.write(output / 'attention.html', text)
  say(f'{output / "attention.html"}: {len(text) / 2**20:.1f} MB')


def chosen_labels(run, classes, num):
  """The labels of the images to show, int32 [n], grouped by class."""
  names = run.class_names
  if classes is None:
    chosen = np.linspace(
      0, len(names) - 1, min(_MOST_CLASSES, len(names))
    ).round()
  elif classes == 'all':
    chosen = np.arange(len(names))
  else:
    parts = [
      int(part) if part.isdecimal() and part not in names else part
      for part in classes.split(',')
    ]
    chosen = labels_lib.numbers(parts, names)
  return np.repeat(np.asarray(chosen, np.int32), num)


def arrays(views):
  """The bytes of an .npz: see the docstring of `sagan_jax.attention`."""
  found = {}
  for view in views:
    found[f'{view.source}/images'] = view.images
    found[f'{view.source}/labels'] = view.labels
    for block, maps in view.blocks.items():
      for field, value in vars(maps).items():
        found[f'{view.network}/{view.source}/{block}/{field}'] = value
  content = io.BytesIO()
  np.savez(content, **found)
  return content.getvalue()


def table(rows):
  """Statistics as CSV, a line per checkpoint, network, images and block."""
  columns = list(dict.fromkeys(key for row in rows for key in row))
  content = io.StringIO()
  writer = csv.DictWriter(content, columns, lineterminator='\n')
  writer.writeheader()
  writer.writerows(rows)
  return content.getvalue()


def _looks(run, steps, seed, kinds, counter):
  """Yields (step, views, statistics) of each checkpoint."""
  observer = attention_maps.Observer(run.gan)
  draws_shapes = run.config.dataset.name == 'shapes'
  done = 0

  def counted(batches):
    nonlocal done
    for batch in batches:
      yield batch
      done += len(batch[0].labels)
      counter(done)

  for step in steps:
    looker = attention.Looker(run, step, observer, seed)
    yield looker.step, *_look(looker, kinds, draws_shapes, counted)


def _look(looker, kinds, draws_shapes, counted):
  """Views of the images to show, and statistics of those to measure."""
  views, rows = [], []
  for kind, (shown, measured) in kinds.items():
    masks = None
    if kind == 'real':
      views += attention.joined(looker.real(shown))
      masks, batches = measured.masks, looker.real(measured)
    else:
      views += attention.joined(looker.generated(kind, shown))
      batches = looker.generated(kind, measured)
    found = attention.measured(
      counted(batches), masks, draws_shapes=draws_shapes
    )
    rows += [{'step': looker.step, **row} for row in found]
  return views, rows


def _kinds(run, labels, weights, real, count):
  """Returns ({kind of images: (to show, to measure)}, lines for people)."""
  c = run.config
  facts = [
    f'{run.workdir}, dataset {c.dataset.name}, formula {c.attention_formula}.'
  ]
  mixed = np.arange(count, dtype=np.int32) % c.num_classes
  kinds = {kind: (labels, mixed) for kind in weights}
  try:
    kinds |= _real(run, labels, count) if real else {}
  except errors.UserError as e:
    facts.append(f'Generated images only, as the data cannot be read: {e}')
  return kinds, facts


def _real(run, labels, count):
  """{'real': images to show and to measure}; empty if nobody would look."""
  if not run.config.discriminator.attention:
    return {}
  shown, measured = attention.real_images(run, labels, count)
  if not len(shown.labels):
    raise errors.UserError('it has none of these classes; set --classes')
  return {'real': (shown, measured)}


def _steps(run, steps):
  """What `Looker` is asked for, in order."""
  if steps in ('last', 'best'):
    return [None if steps == 'last' else steps]
  there = run.checkpointer.steps()
  if steps == 'all':
    return there or [None]
  if missing := [step for step in steps if step not in there]:
    raise errors.UserError(
      f'{run.workdir} has no checkpoints of steps {missing}, only of {there}; '
      'set --steps'
    )
  return steps


def _blocks(gan):
  """[(network, block, H, h)] of both networks."""
  return [
    (name, block, *sizes)
    for name in ('generator', 'discriminator')
    for block, sizes in attention_maps.blocks(getattr(gan, name)).items()
  ]


def _check_points(gan, points):
  smallest = min((queries for *_, queries, _ in _blocks(gan)), default=None)
  if smallest is None:
    raise errors.UserError(
      'neither network of this run has an attention block: its config has '
      'empty generator.attention and discriminator.attention'
    )
  if points is None:
    return
  if len(points) > figure.MOST_QUERIES:
    raise errors.UserError(
      f'{len(points)} points are more than the {figure.MOST_QUERIES} that a '
      'figure has room for; set --points'
    )
  if outside := [point for point in points if max(point) >= smallest]:
    y, x = outside[0]
    raise errors.UserError(
      f'the point {y},{x} is outside of a map of {smallest} x {smallest}; set '
      '--points'
    )


def _check_size(gan, images, kinds):
  """Refuses what would make a page that a browser is slow to open."""
  generated = [kind for kind in kinds if kind != 'real']
  size = sum(
    page.size(queries, keys, images)
    * len(kinds if network == 'discriminator' else generated)
    for network, _, queries, keys in _blocks(gan)
  )
  if size > page.MAX_BYTES:
    raise errors.UserError(
      f'{images} images on the page ({", ".join(kinds)}; classes x num x '
      f'steps) would make it {size / 2**20:.0f} MB, more than '
      f'{page.MAX_BYTES / 2**20:.0f}; show fewer by --classes, --num, --steps, '
      '--weights or --no_real'
    )


def _write_figures(output, step, views, class_names, points):
  """A PNG per block: of the EMA's images, and of real ones for D."""
  kinds = {view.source for view in views}
  wanted = {
    'generator': 'ema' if 'ema' in kinds else 'raw',
    'discriminator': next(x for x in ('real', 'ema', 'raw') if x in kinds),
  }
  for view in views:
    if view.source != wanted[view.network]:
      continue
    for block in view.blocks:
      name = f'{view.network}_{view.source}_{block}_{step:08d}.png'
      content = figure.draw(
        view,
        block,
        class_names,
        points=points,
        title=figure.title(view, block, step),
      )
      files.write(output / name, content)
