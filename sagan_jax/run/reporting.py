"""The page about a run, or several: what of their past goes where."""

import shlex
from collections.abc import Callable
from typing import NamedTuple

from etils import epath

from sagan_jax import errors, files
from sagan_jax.config import schema
from sagan_jax.evaluation import protocol
from sagan_jax.metrics import scores
from sagan_jax.pictures import (
  curves_png,
  filmstrip,
  labelled_grid,
  report,
  score_tables,
)
from sagan_jax.run import history as history_lib
from sagan_jax.run import verdicts

PAGE = 'report.html'
CURVES = 'curves.png'
_IMAGE_BYTES = 14_000_000  # Of all grids on a page, in base64.


class Made(NamedTuple):
  """What was written about a run."""

  page: epath.Path
  verdicts: list[verdicts.Verdict]

  def lines(self) -> list[str]:
    """The verdicts, a line each."""
    return [
      f'{each.level}: {each.title}. {each.text} {each.advice}'.rstrip()
      for each in self.verdicts
    ]


def at_end(run, writer, scoreboard, say: Callable[[str], None]) -> Made | None:
  """Writes what there is about a run that has ended, which it outlives.

  Args:
    run: a `run.Run`.
    writer: the `log.Writer` of this process, None on those that write nothing.
    scoreboard: of its evaluations, or None.
    say: told of what is damaged or could not be made.

  Returns:
    What was made, or None.
  """
  if not writer:
    return None
  try:
    writer.flush()
    made = write(run.workdir, say)
    texts = {'verdicts': '\n\n'.join(made.lines())}
    if scoreboard:
      texts['scores'] = scoreboard.text()
    writer.write_texts(run.config.num_steps, texts)
    return made
  except Exception as e:  # noqa: BLE001 - a page must not end a training.
    say(
      f'the page about the run could not be made ({type(e).__name__}: {e}); '
      f'python -m sagan_jax.report {shlex.quote(str(run.workdir))} tries again'
    )
    return None


def write(workdir: epath.PathLike, say: Callable[[str], None]) -> Made:
  """Writes the page and the curves of a run into its directory.

  Args:
    workdir: a path or URL.
    say: told of what is damaged.

  Returns:
    What was made.

  Raises:
    UserError: if there is no run, or the files cannot be written.
  """
  found = history_lib.read(workdir)
  text, parts = _render([found])
  for line in parts[0].damage:
    say(line)
  path = found.workdir / PAGE
  files.write(path, text)
  steps, drawn = report.draw(parts)
  if drawn:
    folder = found.workdir / 'scores'
    with files.writing(folder):
      folder.mkdir(parents=True, exist_ok=True)
    files.write(folder / CURVES, curves_png.draw(steps[0], drawn))
  return Made(path, parts[0].verdicts)


def write_to(
  path: epath.PathLike,
  workdirs: list[epath.PathLike],
  say: Callable[[str], None],
) -> None:
  """Writes a page about one run or several.

  Args:
    path: of the file.
    workdirs: paths or URLs, all different.
    say: told of what is damaged.

  Raises:
    UserError: if there is no run in one, or the file cannot be written.
  """
  text, parts = _render([history_lib.read(each) for each in workdirs])
  for part in parts:
    for line in part.damage:
      say(f'{part.label}: {line}')
  files.write(path, text)


def labels(paths: list[epath.Path]) -> list[str]:
  """The names of directories, with as much before them as tells them apart.

  Args:
    paths: of the runs.

  Returns:
    A label for each.

  Raises:
    UserError: if one is there twice.
  """
  if twice := {str(path) for path in paths if paths.count(path) > 1}:
    raise errors.UserError(f'{min(twice)} is given twice; name each run once')
  names = [[part for part in str(p).split('/') if part] for p in paths]
  found = []
  for own in names:
    length = 1
    while sum(other[-length:] == own[-length:] for other in names) > 1:
      length += 1
    found.append('/'.join(own[-length:]) or '/')
  return found


def _render(histories):
  """Returns (the page as bytes, its parts)."""
  names = labels([found.workdir for found in histories])
  budget = _IMAGE_BYTES // len(histories)
  parts = [
    _part(found, name, budget)
    for found, name in zip(histories, names, strict=True)
  ]
  configs = [found.config for found in histories if found.config]
  moving = {
    key for c in configs[1:] for key in schema.differences(configs[0], c)
  }
  title = f'{names[0]}: a run of sagan_jax'
  if len(names) > 1:
    title = f'{len(names)} runs of sagan_jax'
  text = report.render(title, parts, _groups(histories), moving)
  # A name out of a damaged file may hold what is no letter of any alphabet.
  return text.encode(errors='replace'), parts


def _part(found, label, budget):
  damage = list(found.damage)
  frames = filmstrip.frames(
    found.grids,
    found.config.image_size if found.config else None,
    lambda count: _row_names(found, count),
    budget,
    damage.append,
  )
  return report.Part(
    label=label,
    facts=_facts(found),
    verdicts=found.verdicts(),
    curves=found.curves,
    frames=frames,
    about_frames=_about_frames(found, len(frames)),
    about_scores=_about_scores(found),
    config=schema.flatten(found.config) if found.config else None,
    damage=damage,
  )


def _facts(found):
  """Lines about a run: (name, text)."""
  facts = [('state', found.state())]
  c = found.config
  if c:
    classes = f', {c.num_classes:,} classes' if c.num_classes else ''
    images = ''
    if found.num_examples:
      images = f': {found.num_examples:,} images{classes}'
    facts.append(('data', f'{c.dataset.name}{images or classes}'))
    where = ', '.join(
      f'{name} {"/".join(map(str, net.attention)) or "none"}'
      for name, net in (('G', c.generator), ('D', c.discriminator))
    )
    facts.append(
      (
        'model',
        f'{c.architecture}, {c.image_size} px, attention {where}; batch '
        f'{c.batch_size}, {c.loss} loss, {c.dtype}',
      )
    )
  if speed := found.speed():
    facts.append(('speed', f'{speed:.4g} images per second, the median'))
  if best := _best(found):
    facts.append(('best', best))
  return [*facts, ('directory', str(found.workdir))]


def _scored(found):
  """(protocol, {metric: finite value}) of the evaluations that worked."""
  for record in found.records:
    values = {
      name: float(value)
      for name, value in record.get('scores', {}).items()
      if abs(value) < 1e300  # Also no NaN.
    }
    if values:
      yield record['protocol'], values


def _best(found):
  """The best score of the first metric under the last protocol, in words."""
  all_scored = list(_scored(found))
  if not all_scored:
    return None
  made_by, values = all_scored[-1]
  name, best, at = next(iter(values)), None, None
  for each, of_each in all_scored:
    if name not in of_each or not protocol.is_same(each, made_by):
      continue
    if best is None or scores.is_better(name, of_each[name], best):
      best, at = of_each[name], each
  return f'{name} {best:.4g} at step {at["step"]:,} ({_variant(at)})'


def _variant(made_by):
  return ' '.join(
    f'{key} {made_by[key]}' if key == 'truncation' else f'{made_by[key]}'
    for key in protocol.VARIANT
    if made_by.get(key) is not None
  )


def _groups(histories):
  """The scores of all runs, by protocol."""
  groups: list[tuple[dict, score_tables.Group]] = []
  for run, found in enumerate(histories):
    for made_by, values in _scored(found):
      row = score_tables.Row(run, made_by['step'], _variant(made_by), values)
      for first, group in groups:
        if protocol.is_same(first, made_by):
          group.rows.append(row)
          break
      else:
        shared = {
          k: v for k, v in made_by.items() if k not in protocol.IDENTITY
        }
        groups.append((made_by, score_tables.Group(shared, [row])))
  return [group for _, group in groups]


def _about_scores(found):
  """Failures of evaluations, or how to make some."""
  if not found.records:
    return (
      'none yet; python -m sagan_jax.evaluate '
      f'--workdir={shlex.quote(str(found.workdir))} makes some.'
    )
  failed = [r for r in found.records if 'error' in r]
  return ' '.join(
    f'The evaluation of step {r["protocol"]["step"]:,} failed: {r["error"]}.'
    for r in failed[-5:]
  )


def _num_classes(found):
  known = found.config.num_classes if found.config else None
  return known or len(found.class_names or ())


def _class_name(found, number):
  names = found.class_names or ()
  return names[number] if number < len(names) else str(number)


def _row_names(found, count):
  """The names of so many rows of a grid."""
  shown = labelled_grid.shown_classes(_num_classes(found), count)
  names = [_class_name(found, int(number)) for number in shown]
  return names + [''] * (count - len(names))


def _about_frames(found, num_frames):
  """Which classes and how many of the grids are shown."""
  if not found.grids:
    return (
      'No grid is drawn yet; the first comes after sample.every_steps steps.'
    )
  count, text = _num_classes(found), ''
  if found.config and count:
    shown = labelled_grid.shown_classes(count, found.config.sample.max_classes)
    text = f'A row is a class; all {count:,} are shown.'
    if len(shown) < count:
      named = ', '.join(
        f'{number} {name}'
        if (name := _class_name(found, number)) != str(number)
        else name
        for number in shown.tolist()
      )
      text = (
        f'A row is a class. {len(shown)} of {count:,} are shown, evenly spaced '
        f'(sample.max_classes): {named}.'
      )
  if num_frames < len(found.grids):
    text += (
      f' {num_frames:,} of {len(found.grids):,} grids are on this page; all '
      f'are in {found.workdir / "samples"}.'
    )
  return text
