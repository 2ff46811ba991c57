"""What of the past of a run goes where on its page."""

import shlex

from sagan_jax import progress
from sagan_jax.config import schema
from sagan_jax.evaluation import protocol
from sagan_jax.metrics import scores
from sagan_jax.pictures import filmstrip, labelled_grid, report, score_tables
from sagan_jax.run import history, ledger


def part(found: history.History, label: str, budget: int) -> report.Part:
  """What a page shows of a run.

  Args:
    found: its history.
    label: what it is called there.
    budget: bytes that its grids may take.
  """
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
    time=_time(found),
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
  if found.time:
    spent = progress.duration(sum(found.time.values()) - found.time['report'])
    facts.append(('time', f'{spent} from the first start'))
  if best := _best(found):
    facts.append(('best', best))
  return [*facts, ('directory', str(found.workdir))]


def _time(found):
  """Where the time went until the page was made: [(title, share)]."""
  secs = {k: v for k, v in (found.time or {}).items() if k != 'report'}
  return ledger.shares(secs)


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
  name, best, at = next(iter(values)), None, made_by
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


def groups(histories: list[history.History]) -> list[score_tables.Group]:
  """The scores of all runs, by protocol."""
  found_groups: list[tuple[dict, score_tables.Group]] = []
  for run, found in enumerate(histories):
    for made_by, values in _scored(found):
      row = score_tables.Row(run, made_by['step'], _variant(made_by), values)
      for first, group in found_groups:
        if protocol.is_same(first, made_by):
          group.rows.append(row)
          break
      else:
        shared = {
          k: v for k, v in made_by.items() if k not in protocol.IDENTITY
        }
        found_groups.append((made_by, score_tables.Group(shared, [row])))
  return [group for _, group in found_groups]


def _about_scores(found):
  """Failures of evaluations, or how to make some."""
  if not found.records:
    return (
      'No scores yet; python -m sagan_jax.evaluate '
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
  names = found.class_names
  return names[number] if names and number < len(names) else str(number)


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
