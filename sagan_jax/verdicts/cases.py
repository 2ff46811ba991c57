"""Signs in a log that a training fails.

Each threshold states its reason. 'Measured' are runs on drawn shapes at 32x32:
the config `quickstart`, and smaller ones, healthy and made to fail, whose rows
are in tests/verdicts/verdict_rows/. What losses and logits mean is told for the
hinge and the logistic loss; with `least_squares`, whose targets are 0 and 1,
the verdicts on who is ahead stay silent.
"""

import dataclasses
from collections.abc import Iterator
from typing import Literal

import numpy as np

from sagan_jax.verdicts import curves
from sagan_jax.verdicts.curves import Curves

Level = Literal['alarm', 'warning', 'fine']

# The hinge loss of D is 2 while it cannot tell, and 0 once all images are
# beyond its margins, which are 2 apart; then its gradient is 0 as well.
# Measured: 0.8 to 2.7 in healthy runs, 0.00 to 0.18 where D wins. That of large
# models comes near zero before they collapse (arXiv:1809.11096, section 4.2).
_D_LOSS_NEAR_ZERO = 0.1
_HINGE_MARGINS = 2.0

# How far D puts generated images above real ones, half of those margins.
# Measured: at most 0.4 in healthy runs, 1.4 to 15 where G wins.
_WRONG_ORDER = 1.0

# Of what D says of ten batches of generated images, and between these and real
# ones. Measured: changes of 0.006 (logistic loss) or 0.03 (hinge) and more in
# healthy runs, 0.0000 in dead networks.
_NO_CHANGE = 1e-3
_NO_GAP = 1e-2

# Grey levels of 255 between two images of a class. Measured: 69 to 120 in
# healthy runs (119 among the drawn shapes themselves), 6 to 8 in the last grids
# of a collapse.
_SAME_IMAGES = 10.0
# Of the largest difference so far. Measured: at least 0.72 in healthy runs, 0.1
# to 0.4 in collapsing ones, from the first grid on.
_DIVERSITY_LOST = 0.5
_COLLAPSED = 0.25

# Of sigma over the last quarter of the steps. It grows throughout a training
# and explodes at collapse (arXiv:1809.11096, section 4.1). Measured: at most
# 1.25 in healthy runs.
_SIGMA_GROWTH = 2.0
_SIGMA_BLOCKS = 8  # Before, a quarter is no trend.

GO_ON = (
  'Start again, or from before: remove the later checkpoints of the run, and '
  'name the keys that you change in --allow_changes.'
)


@dataclasses.dataclass(frozen=True)
class Verdict:
  """One thing that a log shows."""

  level: Level
  title: str
  text: str  # what is seen: the numbers, and since which step
  advice: str  # what to try; '' where there is nothing to do
  step: int  # since when


def _not_finite(seen: Curves) -> Iterator[Verdict]:
  for name in 'd_loss', 'g_loss':
    steps = seen.not_finite(f'train/{name}')
    if len(steps):
      yield Verdict(
        'alarm',
        'A loss is not finite',
        f'{name} is no number at step {steps[0]:,}, nor at '
        f'{len(steps) - 1:,} later logged steps.',
        'Halve --config.optim.discriminator.learning_rate and '
        '--config.optim.generator.learning_rate; with bfloat16, first try '
        f'--config.dtype=float32. {GO_ON}',
        int(steps[0]),
      )


def _dead(seen: Curves) -> Iterator[Verdict]:
  """Whether the same numbers come whatever the images."""
  still = np.abs(_gap(seen)) < _NO_GAP
  for name in 'g_loss', 'd_fake_logit':
    still &= seen.spans(f'train/{name}') < _NO_CHANGE
  step = curves.since(seen.steps, still)
  if step is not None:
    loss = seen.medians('train/d_loss')[-1]
    yield Verdict(
      'alarm',
      'Nothing is learnt any more',
      f'Since step {step:,} the discriminator says the same of every image, '
      f'real or generated: its loss stays at {loss:.3f}, and from one batch '
      f'of generated images to the next its logits change by under '
      f'{_NO_CHANGE}.',
      'The networks are dead and do not recover: start again. Divide '
      '--config.optim.discriminator.learning_rate and '
      '--config.optim.generator.learning_rate by 10.',
      step,
    )


def _collapsed(seen: Curves) -> Iterator[Verdict]:
  """Whether the images of a class are becoming the same."""
  for name in 'raw', 'ema':
    steps, values = seen.points(f'sample/diversity/{name}')
    if not len(steps):
      continue
    # The average keeps what the raw weights had before the first grid.
    most = max(
      seen.points(f'sample/diversity/{other}')[1].max(initial=0)
      for other in ('raw', 'ema')
    )
    low = values < max(_SAME_IMAGES, _DIVERSITY_LOST * most)
    step = curves.since(steps, low, blocks=1)
    if step is None:
      continue
    collapsed = values[-1] < max(_SAME_IMAGES, _COLLAPSED * most)
    yield Verdict(
      'alarm' if collapsed else 'warning',
      'The generator is collapsing: its images are becoming the same',
      f'Two images of one class differ by {values[-1]:.1f} grey levels of 255 '
      f'({name} weights), after as much as {most:.1f}; so it is since step '
      f'{step:,}. Look at the rows of the sample grids.',
      'Halve --config.optim.generator.learning_rate, or set --config.n_dis=2; '
      f'a larger --config.batch_size helps too. {GO_ON}',
      step,
    )
    return


def _discriminator_ahead(seen: Curves) -> Iterator[Verdict]:
  loss, gap = seen.medians('train/d_loss'), _gap(seen)
  ahead = (loss < _D_LOSS_NEAR_ZERO) & (gap > _HINGE_MARGINS)
  step = curves.since(seen.steps, ahead)
  if step is not None:
    real, fake = (
      seen.medians(f'train/d_{x}_accuracy')[-1] for x in ('real', 'fake')
    )
    yield Verdict(
      'warning',
      'The discriminator is ahead',
      f'Since step {step:,} its loss is near zero ({loss[-1]:.3f} now): it '
      f'knows {real:.0%} of the real and {fake:.0%} of the generated images, '
      f'and its logits for them are {gap[-1]:.1f} apart. It learns nothing '
      'more, and the generator hears only that all is wrong.',
      'Halve --config.optim.discriminator.learning_rate, or double '
      '--config.optim.generator.learning_rate; --config.n_dis=1 if it is '
      'more. With few images the discriminator learns them by heart: '
      '--config.horizontal_flip=True, or more data.',
      step,
    )


def _generator_ahead(seen: Curves) -> Iterator[Verdict]:
  gap = _gap(seen)
  step = curves.since(seen.steps, gap < -_WRONG_ORDER)
  if step is not None:
    yield Verdict(
      'warning',
      'The generator is ahead',
      f'Since step {step:,} the discriminator finds generated images more '
      f'real than real ones: its logits for them are {-gap[-1]:.1f} higher. '
      'The generator follows its mistakes, not the data.',
      'Halve --config.optim.generator.learning_rate, double '
      '--config.optim.discriminator.learning_rate, or set --config.n_dis=2.',
      step,
    )


def _sigma(seen: Curves) -> Iterator[Verdict]:
  for net, title in ('g', 'generator'), ('d', 'discriminator'):
    sigma = seen.medians(f'train/{net}_sigma_max')
    if len(sigma) < _SIGMA_BLOCKS:
      continue
    then = 3 * len(sigma) // 4 - 1
    growth = sigma[-1] / sigma[then]
    if not growth > _SIGMA_GROWTH:
      continue
    yield Verdict(
      'warning',
      f"The {title}'s weights are exploding",
      f'The largest singular value of its weights grew from {sigma[then]:.3g} '
      f'at step {seen.steps[then]:,} to {sigma[-1]:.3g}, {growth:.1f} times, '
      'in the last quarter of the steps. Slow growth is normal; this comes '
      'before a collapse.',
      f'Halve --config.optim.{title}.learning_rate. {GO_ON}',
      int(seen.steps[then]),
    )


def _gap(seen):
  """How far the logits of real images are above those of generated ones."""
  real, fake = (seen.medians(f'train/d_{x}_logit') for x in ('real', 'fake'))
  return real - fake


ALL = (
  _not_finite,
  _dead,
  _collapsed,
  _discriminator_ahead,
  _generator_ahead,
  _sigma,
)
