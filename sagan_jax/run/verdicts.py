"""Verdicts on a run. Stand-in: another one is to take its place."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Verdict:
  """What the rows of a run say about its health."""

  level: str  # 'fine', 'warning' or 'alarm'.
  title: str
  text: str  # What is seen, with numbers.
  advice: str  # What to try.
  step: int


def judge(rows):
  """Judges a run by its rows.

  Args:
    rows: {name: float array over rows}, with 'step'; NaN where a row has none.

  Returns:
    A list of `Verdict`.
  """
  names = ('train/d_real_accuracy', 'train/d_fake_accuracy')
  if not all(name in rows for name in names):
    return []
  known = [rows[name][~np.isnan(rows[name])] for name in names]
  if not all(map(len, known)):
    return []
  worst = min(float(x[len(x) * 9 // 10 :].mean()) for x in known)
  step = int(rows['step'].max())
  if worst > 0.99:
    return [
      Verdict(
        'warning',
        'The discriminator is ahead',
        f'It takes {worst:.1%} of the images for what they are.',
        'Lower --config.optim.discriminator.learning_rate.',
        step,
      )
    ]
  return [Verdict('fine', 'No alarm', f'{worst:.1%} are told apart.', '', step)]
