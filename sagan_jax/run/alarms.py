"""Tells what goes wrong in a training, from its log, while it trains."""

from collections.abc import Callable

from etils import epath

from sagan_jax import errors
from sagan_jax.cluster import agree
from sagan_jax.pictures import thinning
from sagan_jax.run import directory, history, row_reader
from sagan_jax.verdicts import curves, verdicts

_LEVELS = ('fine', 'warning', 'alarm')


class Watch:
  """Reads a growing log, and what is new about it.

  Args:
    path: of metrics.jsonl; at its end there are only whole rows.
  """

  def __init__(self, path: epath.Path):
    self._path = path
    self._curves = thinning.Curves()
    self._evaluations = thinning.Curves()
    self._reader = row_reader.Reader(
      path.name, self._curves, self._evaluations, None, lambda _: None
    )
    self._position = 0
    self._told: dict[str, tuple[int, str]] = {}  # {title: (step, level)}
    self._present: set[str] = set()

  def look(self) -> list[verdicts.Verdict]:
    """What the rows say now, but for what is fine; the worst first."""
    lines = self._new_lines()
    if lines:
      self._position += sum(len(line) + 1 for line in lines)
      self._reader.add(0, lines)
    rows = history.rows_of(self._curves, self._evaluations)
    return [v for v in verdicts.judge(rows) if v.level != 'fine']

  def _new_lines(self):
    try:
      with self._path.open('rb') as file:
        file.seek(self._position)
        return file.read().split(b'\n')[:-1]
    except OSError:  # Who writes the log notices; a warning ends nothing.
      return []

  def news(self, found: list[verdicts.Verdict], step: int) -> list:
    """Those that are to be told now.

    What stays is told once, and again when it becomes an alarm. What has gone
    and comes back is told if the run has doubled its steps meanwhile.

    Args:
      found: by `look`.
      step: that is finished.

    Returns:
      The verdicts.
    """
    fresh = []
    for verdict in found:
      at, level = self._told.get(verdict.title, (0, 'fine'))
      worse = _LEVELS.index(verdict.level) > _LEVELS.index(level)
      back = verdict.title not in self._present and step >= 2 * at
      if worse or back:
        self._told[verdict.title] = (step, verdict.level)
        fresh.append(verdict)
    self._present = {verdict.title for verdict in found}
    return fresh


class Alarms:
  """An event: warns in words, and stops a run that has collapsed if asked to.

  Args:
    run: a `run.Run`.
    checkpoint: the event that saves states.
    writes: whether the rows of this process are in the log.
    say: called with lines of text.
  """

  name = 'alarms'

  def __init__(self, run, checkpoint, writes: bool, say: Callable[[str], None]):
    # What is judged are blocks of rows.
    self.every_steps = curves.BLOCK_ROWS * run.config.log.every_steps
    self._run = run
    self._checkpoint = checkpoint
    self._say = say
    self._watch = Watch(run.workdir / 'metrics.jsonl') if writes else None

  def is_done(self, step):
    del step  # The next rows tell it as well.
    return True

  def __call__(self, state):
    step, c = int(state.step), self._run.config
    found = self._watch.look() if self._watch else []
    if self._watch:
      for verdict in self._watch.news(found, step):
        self._say(f'step {step}: {_text(verdict)}')
    if c.on_collapse != 'stop' or step == c.num_steps:
      return
    worst = found[0] if found and found[0].level == 'alarm' else None
    text = agree.decide(f'alarms {step}', worst and _text(worst))
    if text:
      self._checkpoint.finish(state)
      best = self._run.workdir / directory.BEST
      kept = f', the best one scored in {best}' if best.exists() else ''
      raise errors.UserError(
        f'stopped after step {step}, which is saved{kept}, as '
        f'--config.on_collapse=stop asks for. {text}'
      )


def _text(verdict):
  return f'{verdict.level}: {verdict.title}. {verdict.text} {verdict.advice}'
