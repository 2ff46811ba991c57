"""A config as a drill runs it: few steps, and by default small sizes."""

from sagan_jax import errors
from sagan_jax.config import schema

# Of every drill: all that a run does comes several times within few steps.
_STEPS = {
  'num_steps': '20',
  'log.every_steps': '1',
  'sample.every_steps': '5',
  'checkpoint.every_steps': '4',
  'checkpoint.keep_last': '3',
  'checkpoint.keep_every_steps': 'None',
  'eval.every_steps': '10',
  # Which are skipped, else, depends on the time that they take.
  'eval.max_time_share': '1',
  'on_nonfinite': 'stop',
  'on_collapse': 'warn',
}
_SIZES = {
  'batch_size': '8',
  'num_microbatches': '1',
  'generator.ch': '4',
  'generator.bn_group_size': 'None',
  'discriminator.ch': '4',
  'log.tensorboard': 'False',
  'sample.images_per_class': '2',
  'sample.max_classes': '3',
  'sample.standing_batches': '2',
  'eval.extractor': 'random',
  'eval.metrics': 'fid',
  'eval.best_metric': 'None',
  'eval.num_fakes': '16',
  'eval.num_reals': '32',
  'eval.batch_size': '8',
  'eval.standing_batches': '2',
}
_MIN_SAVES = 4


def overrides(config: str, given: dict[str, str], *, sizes: bool, cache: str):
  """What a drill changes in a config.

  Args:
    config: name or path of it.
    given: {key: text} of the command line, which comes last.
    sizes: whether to shrink networks, batches and evaluations too.
    cache: directory of the references of small evaluations.

  Returns:
    ({key: text} of all changes, the `Config` with them).

  Raises:
    UserError: if the config is refused, or is too short to be disturbed.
  """
  changes = dict(_STEPS)
  if sizes:
    changes |= _SIZES | {'eval.cache_dir': cache}
    if schema.load(config, changes | given).dataset.name == 'shapes':
      changes['dataset.num_examples'] = '64'
  changes |= given
  c = schema.load(config, changes)
  if c.num_steps < _MIN_SAVES * c.checkpoint.every_steps:
    raise errors.UserError(
      f'num_steps={c.num_steps} are less than {_MIN_SAVES} times '
      f'checkpoint.every_steps={c.checkpoint.every_steps}, too few to go back '
      'in; set --config.num_steps'
    )
  if c.eval.every_steps is None or c.checkpoint.keep_last < _MIN_SAVES - 1:
    raise errors.UserError(
      'a drill needs evaluations and several checkpoints; set '
      '--config.eval.every_steps, and --config.checkpoint.keep_last to '
      f'{_MIN_SAVES - 1} or more'
    )
  return changes, c
