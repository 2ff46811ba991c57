"""What the rows of a log say about a training, in plain words.

Failures are in `verdict_cases`; here is what else there is to say.
"""

from collections.abc import Iterator

import numpy as np

from sagan_jax.metrics import scores
from sagan_jax.verdicts import cases as verdict_cases
from sagan_jax.verdicts import curves
from sagan_jax.verdicts.cases import Verdict
from sagan_jax.verdicts.curves import Curves

# Of the best score. Measured: the fid_random of the quickstart, of 500 images,
# goes up to 1.27 and down again.
_SCORE_WORSE = 1.5
_SCORE_DOUBLED = 2.0
_SCORE_LEVEL = 0.95  # An average over 500 images is not known any better.

# Adam moves a weight by at most its learning rate a step. At the 1e-4 of the
# ImageNet configs a gate could have come to 1 in so many, so that one under 0.01
# is not merely young.
_GATE_NEAR_ZERO = 0.01
_GATE_STEPS = 10_000

_FEW_SCORES = 4

# Between the logits: a tenth of the margins of the hinge loss. Measured: less in
# the first 400 steps of healthy runs, 0.7 and more later.
_UNDECIDED = 0.2

# Of the time. Below it no faster input gains more than a quarter of the speed.
_WAITING = 0.2
# Only the first is a fault: the others are what the config asks for.
_WAITING_FOR: dict[str, tuple[str, verdict_cases.Level, str]] = {
  'data': (
    'Training waits for images',
    'warning',
    'Write the images once as an array, python -m sagan_jax.prepare '
    '--output=DIR, and train from --config.dataset.name=array:DIR. If they '
    'come in bursts, --config.prefetch=16.',
  ),
  'eval': (
    'Training waits for evaluations',
    'fine',
    'Double --config.eval.every_steps, or lower --config.eval.max_time_share.',
  ),
  'sample': (
    'Training waits for sample grids',
    'fine',
    'Double --config.sample.every_steps.',
  ),
  'checkpoint': (
    'Training waits for checkpoints',
    'fine',
    'Double --config.checkpoint.every_steps.',
  ),
}


def judge(rows: dict[str, np.ndarray]) -> list[Verdict]:
  """Reads the rows of a training, finished or under way.

  What is judged is how things stand at the last row; a crisis that has passed
  is no verdict.

  Args:
    rows: {name: float [n]} over logged rows, with the names of
      `metrics.jsonl`; NaN where a row has no such number. `step` is one of
      them, all others may be missing.

  Returns:
    Verdicts, the worst first. There is always one.
  """
  seen = Curves(rows)
  cases = (*verdict_cases.ALL, _score, _gates, _time)
  with np.errstate(all='ignore'):  # Of infinities: what is NaN is no finding.
    found = [verdict for case in cases for verdict in case(seen)]
  if len(seen.steps) < 2:
    found.append(_too_early(seen))
  elif all(v.level == 'fine' for v in found):
    found.append(_balanced(seen))
  levels = ('alarm', 'warning', 'fine')
  return sorted(found, key=lambda v: levels.index(v.level))


def _gates(seen: Curves) -> Iterator[Verdict]:
  """What the gates of attention (and of its control) have come to."""
  for name in seen.names('train/g_gate_') + seen.names('train/d_gate_'):
    steps, values = seen.points(name)
    if len(steps):
      yield _gate(name.removeprefix('train/'), steps, values)


def _gate(name, steps, values):
  step = int(steps[-1])
  since = curves.since(steps, np.abs(values) < _GATE_NEAR_ZERO, blocks=1)
  if since is not None and step >= _GATE_STEPS:
    return Verdict(
      'warning',
      f'The gate {name} stays near zero',
      f'It is {values[-1]:+.4f} at step {step:,}, and within '
      f'{_GATE_NEAR_ZERO} of zero since step {since:,}: this block adds next '
      'to nothing to its input.',
      'Train without it to see whether it is missed: '
      "--config.generator.attention='()' or "
      "--config.discriminator.attention='()'; or set it at another "
      'resolution, such as --config.generator.attention=32.',
      since,
    )
  told = 'its sign means nothing, since what it multiplies can have either'
  if since is not None:
    told = f'before step {_GATE_STEPS:,} that says nothing'
  return Verdict(
    'fine',
    f'The gate {name} is {values[-1]:+.3f}',
    f'It began at zero, and is {values[-1]:+.3f} at step {step:,}; {told}.',
    '',
    step,
  )


def _score(seen: Curves) -> Iterator[Verdict]:
  """How the main score moves: an FID if there is one."""
  found = sorted(
    (
      name
      for name in seen.names('eval/')
      if name.count('/') == 2 and len(seen.points(name)[0])
    ),
    key=lambda name: (not name.startswith('eval/fid'), 'ema' not in name),
  )
  if not found:
    return
  _, metric, variant = found[0].split('/')
  steps, values = seen.points(found[0])
  ascending = scores.is_better(metric, 1.0, 0.0)
  best = int(values.argmax() if ascending else values.argmin())
  if values.min() <= 0:  # KID: a ratio to its best says nothing.
    return
  # The factor by which each is worse than the best.
  factor = values.max() / values if ascending else values / values.min()
  what = f'{metric} ({variant})'
  since = curves.since(steps[best:], factor[best:] > _SCORE_WORSE, blocks=1)
  doubled = factor[-1] >= _SCORE_DOUBLED
  if since is not None and (doubled or since < steps[-1]):
    yield Verdict(
      'alarm' if doubled else 'warning',
      'The score has become worse',
      f'{what} was best at step {steps[best]:,} with {values[best]:.4g}, and '
      f'is {values[-1]:.4g} at step {steps[-1]:,}.',
      'The best state is kept (--step=best). For a better one, halve both '
      'learning rates, --config.optim.discriminator.learning_rate and '
      f'--config.optim.generator.learning_rate. {verdict_cases.GO_ON}',
      since,
    )
    return
  yield _progress(what, steps, factor, values, best)


def _progress(what, steps, factor, values, best):
  """Whether longer training is worth it."""
  told = f'{what} is best at step {steps[best]:,}: {values[best]:.4g}.'
  half = len(steps) // 2
  if len(steps) < _FEW_SCORES:
    return Verdict('fine', 'Few scores so far', told, '', int(steps[best]))
  if factor[:half].min() * _SCORE_LEVEL > 1:
    return Verdict(
      'fine',
      'The score still improves',
      f'{told} In the first half of the evaluations it came to '
      f'{values[:half][factor[:half].argmin()]:.4g}.',
      'Train longer: twice the --config.num_steps; the same command goes on.',
      int(steps[best]),
    )
  return Verdict(
    'fine',
    'The score has levelled off',
    f'{told} The second half of the evaluations brought little.',
    'More steps of the same will change little: try a larger '
    '--config.batch_size or --config.generator.ch and '
    '--config.discriminator.ch.',
    int(steps[best]),
  )


def _time(seen: Curves) -> Iterator[Verdict]:
  """What the devices wait for."""
  for name, (title, level, advice) in _WAITING_FOR.items():
    steps, shares = seen.points(f'perf/{name}_share')
    step = curves.since(steps, shares > _WAITING, blocks=curves.BLOCK_ROWS)
    if step is not None:
      yield Verdict(
        level,
        title,
        f'It took {shares[-1]:.0%} of the time so far, and has been above '
        f'{_WAITING:.0%} since step {step:,}.',
        advice,
        step,
      )


def _too_early(seen):
  return Verdict(
    'fine',
    'Too early to tell',
    f'{seen.last_step:,} steps are too few logged rows for a verdict on the '
    f'two networks; {2 * curves.BLOCK_ROWS} are needed.',
    '',
    seen.last_step,
  )


def _balanced(seen):
  d_loss, real, fake, real_logit, fake_logit = (
    seen.medians(f'train/d_{x}')[-1]
    for x in (
      'loss',
      'real_accuracy',
      'fake_accuracy',
      'real_logit',
      'fake_logit',
    )
  )
  gap = real_logit - fake_logit
  now = (
    f"Now the discriminator's loss is {d_loss:.2f}; it takes {real:.0%} of the "
    f'real images for real and {fake:.0%} of the generated ones for '
    f'generated; the logit gap, real less generated, is {gap:.2f}.'
  )
  step = int(seen.steps[-1])
  if gap < _UNDECIDED:
    return Verdict(
      'fine',
      'The discriminator can hardly tell the images apart',
      f'{now} Early in a training that is usual, and at its end it is the aim.',
      'If the pictures are still poor after a tenth of the steps: double '
      '--config.optim.discriminator.learning_rate or --config.discriminator.ch.',
      step,
    )
  return Verdict('fine', 'The two networks are in balance', now, '', step)
