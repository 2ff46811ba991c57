"""The page about a run, or several, and what a run leaves at its end."""

import shlex
from collections.abc import Callable
from typing import NamedTuple

from etils import epath

from sagan_jax import errors, files
from sagan_jax.config import schema
from sagan_jax.pictures import curves_png, report
from sagan_jax.run import history as history_lib
from sagan_jax.run import report_parts
from sagan_jax.verdicts import verdicts

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
    report_parts.part(found, name, budget)
    for found, name in zip(histories, names, strict=True)
  ]
  configs = [found.config for found in histories if found.config]
  moving = {
    key for c in configs[1:] for key in schema.differences(configs[0], c)
  }
  title = f'{names[0]}: a run of sagan_jax'
  if len(names) > 1:
    title = f'{len(names)} runs of sagan_jax'
  text = report.render(title, parts, report_parts.groups(histories), moving)
  # A name out of a damaged file may hold what is no letter of any alphabet.
  return text.encode(errors='replace'), parts
