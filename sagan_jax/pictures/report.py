"""One page about one run or several, from plain data."""

from typing import Any, NamedTuple

from sagan_jax.pictures import guide, page, panels, score_tables, thinning

_POINTS = 4000  # Of a curve, shared by the runs.
_MAX_POINTS = 1000
_SCRIPTS = ('axis.js', 'plot.js', 'film.js', 'report.js')


class Part(NamedTuple):
  """What a page shows of one run."""

  label: str
  facts: list[tuple[str, str]]
  time: list[tuple[str, float]]  # Where it went: (title, share of it).
  verdicts: list[Any]  # With level, title, text, advice and step.
  curves: thinning.Curves
  frames: list[dict]  # Of `filmstrip.frames`.
  about_frames: str
  about_scores: str  # Failures, or how to make some; '' for nothing to tell.
  config: dict[str, Any] | None  # By key.
  damage: list[str]


def render(title, parts, scores, moving):
  """Lays out the page.

  Args:
    title: text.
    parts: a `Part` for each run.
    scores: list of `score_tables.Group`.
    moving: keys of configs that differ and move results; other keys that differ
      say how a run is watched.

  Returns:
    HTML.
  """
  labels = [part.label for part in parts]
  steps, drawn = draw(parts)
  plots = {f'scores{i}': score_tables.plots(g) for i, g in enumerate(scores)}
  data = panels.as_json(steps, drawn)
  body = [
    f'<h1>{page.escape(title)}</h1>',
    *(_head(number, part) for number, part in enumerate(parts)),
    _curves(drawn),
    _scores(parts, scores, labels),
    _samples(parts),
    _configs(parts, moving),
    _guide(),
  ]
  return page.render(
    title,
    '\n'.join(body),
    data={
      'runs': labels,
      'steps': data['steps'],
      'plots': {'curves': data['panels'], **plots},
      'frames': [part.frames for part in parts],
    },
    scripts=_SCRIPTS,
    styles=('report.css',),
  )


def draw(parts):
  """The plots of the curves of runs, as `panels.panels` gives them."""
  most = max(100, min(_MAX_POINTS, _POINTS // len(parts)))
  return panels.panels([part.curves for part in parts], most)


def _head(number, part):
  """What is first to be known of a run: facts, verdicts, damage."""
  facts = ''.join(
    f'<dt>{page.escape(name)}</dt><dd>{page.escape(text)}</dd>'
    for name, text in part.facts
  )
  verdicts = ''.join(map(_verdict, part.verdicts))
  if verdicts:
    verdicts = f'<ul class="verdicts">{verdicts}</ul>'
  return (
    '<section class="run"><h2>'
    f'<span class="dot" style="background: var(--c{number % 10})"></span>'
    f'{page.escape(part.label)}</h2><dl>{facts}</dl>{_time(part.time)}{verdicts}'
    f'{_damage(part.damage)}</section>'
  )


def _time(shares):
  """A bar of where the time went, and what its colours stand for."""
  if not shares:
    return ''
  bar = ''.join(
    f'<i style="flex: {share:.4f}; background: var(--c{i % 10})"></i>'
    for i, (_, share) in enumerate(shares)
  )
  names = ''.join(
    f'<span><i class="dot" style="background: var(--c{i % 10})"></i>'
    f'{page.escape(title)} {share:.1%}</span> '
    for i, (title, share) in enumerate(shares)
  )
  return f'<div class="time">{bar}</div><p class="times">{names}</p>'


def _verdict(verdict):
  # Only these are classes of the style sheet, and safe in an attribute.
  level = verdict.level if verdict.level in ('fine', 'warning') else 'alarm'
  advice = f' {verdict.advice}' if verdict.advice else ''
  at = '' if verdict.step is None else f'(step {verdict.step:,})'
  return (
    f'<li class="{level}"><b>{level}: {page.escape(verdict.title)}</b>'
    f'<p>{page.escape(verdict.text + advice)} <span class="faint">{at}</span>'
    '</p></li>'
  )


def _damage(lines):
  if not lines:
    return ''
  items = ''.join(f'<li>{page.escape(line)}</li>' for line in lines)
  return (
    '<details open><summary class="warning">What could not be read</summary>'
    f'<ul>{items}</ul></details>'
  )


def _curves(drawn):
  if not drawn:
    return (
      '<section><h2>Curves</h2><p>No row is logged yet; the first comes after '
      '<code>log.every_steps</code> steps.</p></section>'
    )
  return (
    '<section><h2>Curves</h2>'
    '<div class="controls" id="curve-controls"></div>'
    '<p class="faint">Point at a plot to read it; press a name to hide its '
    'curve. A band spans from the lowest to the highest of the rows that a '
    'point stands for.</p>'
    '<div class="plots" data-plots="curves"></div></section>'
  )


def _scores(parts, groups, labels):
  body = ['<section><h2>Scores</h2>']
  for part in parts:
    if part.about_scores:
      name = f'{part.label}: ' if len(parts) > 1 else ''
      body.append(f'<p>{page.escape(name + part.about_scores)}</p>')
  for i, group in enumerate(groups):
    if len(groups) > 1:
      body.append(f'<h3>Protocol {i + 1}</h3>{_apart(groups, i)}')
    body.append(f'<div class="plots" data-plots="scores{i}"></div>')
    body.append(score_tables.table(group, labels))
  return '\n'.join([*body, '</section>'])


def _apart(groups, number):
  """Says why scores of a protocol are not beside those of the first."""
  if not number:
    return ''
  first, own = groups[0].protocol, groups[number].protocol
  keys = [k for k in {**first, **own} if first.get(k) != own.get(k)]
  return (
    '<p class="faint">Not to be compared with protocol 1: they differ in '
    f'{page.escape(", ".join(keys))}.</p>'
  )


def _samples(parts):
  several = len(parts) > 1
  about = ''.join(
    f'<p class="faint">{page.escape(f"{part.label}: " * several)}'
    f'{page.escape(part.about_frames)}</p>'
    for part in parts
    if part.about_frames
  )
  viewer = ''
  if any(part.frames for part in parts):
    viewer = (
      '<div class="controls" id="film-controls"></div>'
      '<div class="films" id="films"></div>'
    )
  return f'<section><h2>Samples</h2>{viewer}{about}</section>'


def _configs(parts, moving):
  """What differs between configs, and all of them."""
  known = [part for part in parts if part.config is not None]
  if not known:
    return ''
  keys = list(dict.fromkeys(key for part in known for key in part.config))
  differing = [key for key in keys if len({_value(p, key) for p in known}) > 1]
  body = '<section><h2>Config</h2>'
  if len(known) > 1:
    first = [key for key in differing if key in moving]
    rest = [key for key in differing if key not in moving]
    body += '<p>The configs are the same.</p>' if not differing else ''
    if first:
      body += f'<h3>What moves results</h3>{_table(known, first)}'
    if rest:
      body += (
        f'<h3>How they are watched, and for how long</h3>{_table(known, rest)}'
      )
  return (
    f'{body}<details><summary>All keys</summary>{_table(known, keys)}</details>'
    '</section>'
  )


def _value(part, key):
  value = part.config.get(key)
  return repr(list(value) if isinstance(value, (list, tuple)) else value)


def _table(parts, keys):
  head = ''.join(f'<th>{page.escape(part.label)}</th>' for part in parts)
  lines = ''.join(
    f'<tr><td><code>{page.escape(key)}</code></td>'
    + ''.join(f'<td>{page.escape(_value(part, key))}</td>' for part in parts)
    + '</tr>'
    for key in keys
  )
  return f'<div class="scroll"><table><tr><th>key</th>{head}</tr>{lines}</table></div>'


def _guide():
  parts = ''.join(
    f'<details><summary>{page.escape(title)}</summary>'
    + ''.join(f'<p>{page.escape(text)}</p>' for text in paragraphs)
    + '</details>'
    for title, paragraphs in guide.SECTIONS
  )
  return f'<section id="guide"><h2>How to read this</h2>{parts}</section>'
