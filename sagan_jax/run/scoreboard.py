"""Evaluations and what becomes of them: records, the best state, the report."""

import time

from sagan_jax import data
from sagan_jax.cluster import sharding
from sagan_jax.config import schema as config_lib
from sagan_jax.evaluation import evaluator as evaluator_lib
from sagan_jax.evaluation import protocol, tables
from sagan_jax.metrics import scores
from sagan_jax.run import checkpoint, log


class Evaluations:
  """The evaluations of one run: records, the best checkpoint, the report.

  A failure is recorded and told, and training goes on.

  Args:
    run: an `experiment.Experiment`.
    start_step: of the training this is part of; records beyond it, left by a
      run that died, are dropped. None keeps all, and saves no state.
    say: called with lines of progress.
  """

  def __init__(self, run, start_step, say=print):
    self._run = run
    self._say = say
    self._path = run.workdir / 'evaluations.jsonl'
    self._evaluator = None
    self._best = checkpoint.Checkpointer(
      run.workdir / 'best', keep_last=1, writes=start_step is not None
    )
    self._records = protocol.read(self._path)
    if start_step is not None:
      self._records = [
        r for r in self._records if r['card']['step'] <= start_step
      ]
      self._best.delete_after(start_step)
      if run.is_main:
        protocol.write(self._path, self._records)

  def has(self, step):
    """Whether there is a record, of scores or of a failure, of a step."""
    return any(record['card']['step'] == step for record in self._records)

  def of_state(self, state):
    """Evaluates a state; keeps it if it is the best so far.

    Args:
      state: a `GanState`.

    Returns:
      {'eval/...': value} for the log; {} if the evaluation failed.
    """
    step = int(state.step)
    try:
      return self.score(state, keep_best=True)
    except Exception as e:  # noqa: BLE001 - training must outlive its scores.
      self._say(f'step {step}: the evaluation failed: {type(e).__name__}: {e}')
      self._record(
        [{'card': {'step': step}, 'error': f'{type(e).__name__}: {e}'}]
      )
      return {}

  def score(self, state, keep_best=False):
    """Evaluates a state, as `of_state`, and lets errors through.

    Args:
      state: a `GanState`.
      keep_best: whether to keep it if it is the best so far.

    Returns:
      {'eval/...': value} for the log.

    Raises:
      ValueError: as `evaluator_lib.Evaluator`, or if there is no such metric as is
        to choose the best.
      FileNotFoundError: as `evaluator_lib.Evaluator`.
    """
    step = int(state.step)
    began = time.perf_counter()
    if self._evaluator is None:
      run = self._run
      self._evaluator = evaluator_lib.Evaluator(
        run.config, run.mesh, run.source, self._say
      )
    records = self._evaluator.of_state(self._run.sampler, state)
    if keep_best:
      self._keep_if_best(state, records[0])
    self._record(records)
    scalars = {}
    for record in records:
      card = record['card']
      variant = f'{card["weights"]}_{card["bn_statistics"]}'
      if card['truncation'] is not None:
        variant += f'_{card["truncation"]:g}'
      for name, value in record['scores'].items():
        scalars[f'eval/{name}/{variant}'] = value
      shown = ', '.join(f'{k} {v:.4g}' for k, v in record['scores'].items())
      self._say(
        f'step {step}: {shown} ({variant}, {card["num_fake"]} fakes against '
        f'{card["num_real"]} real images, {card["extractor"]})'
      )
    scalars['perf/eval_secs'] = time.perf_counter() - began
    return scalars

  def _record(self, records):
    """Adds records, in place of those with the same card and of failures."""
    cards = [r['card'] for r in records]
    steps = [card['step'] for card in cards]
    self._records = [
      r
      for r in self._records
      if r['card'] not in cards
      and not ('error' in r and r['card']['step'] in steps)
    ]
    self._records += records
    if self._run.is_main:
      protocol.write(self._path, self._records)
      scored = [r for r in self._records if 'scores' in r]
      if scored:
        tables.write(self._run.workdir / 'scores', scored)

  def _keep_if_best(self, state, record):
    """Saves the state under `best` if it beats the one that is there."""
    name = self._evaluator.main_metric()
    if name not in record['scores']:
      raise ValueError(
        f'there is no metric {name!r} among {list(record["scores"])}; set '
        '--config.eval.best_metric'
      )
    value = record['scores'][name]
    # Not all earlier ones: a resumed run has dropped a best that came later,
    # and what that had replaced is gone.
    held = self._best.steps()
    earlier = [
      r['scores'][name]
      for r in self._records
      if r['card']['step'] in held
      and name in r.get('scores', ())
      and _same_variant(r, record)
    ]
    if record['card']['step'] not in held and all(
      scores.is_better(name, value, than) for than in earlier
    ):
      self._best.save(state)
      self._best.wait()


def _same_variant(a, b):
  try:
    protocol.check_same(a['card'], b['card'])
  except ValueError:
    return False
  return all(
    a['card'][k] == b['card'][k]
    for k in ('weights', 'bn_statistics', 'truncation')
  )


def evaluate_checkpoints(run, step=None, say=print):
  """Evaluates one checkpoint of a run, or all of them.

  Args:
    run: an `experiment.Experiment`.
    step: of the checkpoint; None for all.
    say: called with lines of progress.

  Raises:
    ValueError: if there is no such checkpoint, or as `Evaluations.score`.
    FileNotFoundError: if the extractor's weights are not to be had.
  """
  steps = run.checkpointer.steps() if step is None else [step]
  if not steps:
    raise ValueError(f'{run.workdir} has no checkpoints; train first')
  evaluations = Evaluations(run, None, say)
  writer = None
  if run.is_main:
    writer = log.Writer(
      run.workdir, None, tensorboard=run.config.log.tensorboard
    )
  try:
    for each in steps:
      scalars = evaluations.score(run.restore(each))
      if writer:
        writer.write(each, scalars)
  finally:
    if writer:
      writer.close()
  if run.is_main:
    say((run.workdir / 'scores' / 'scores.md').read_text())


def evaluate_sources(config, real, fake, say=print):
  """Scores one set of images against another; no model is needed.

  Args:
    config: a `Config`, ConfigDict or dict; its image size and section `eval`
      count.
    real: name of a data source.
    fake: name of a data source.
    say: called with lines of progress and with the table.

  Returns:
    The record.

  Raises:
    ValueError: if a source cannot be opened or has no images.
  """
  if config is None or not real or not fake:
    raise ValueError(
      'two sets of images need --config (its eval section is the protocol), '
      '--real and --fake'
    )
  c = config_lib.read(config)
  sources = [
    data.make_source(name, image_size=c.image_size, split=c.dataset.split)
    for name in (real, fake)
  ]
  evaluator = evaluator_lib.Evaluator(
    c, sharding.make_mesh(c.num_devices), sources[0], say
  )
  records = evaluator.of_source(sources[1])
  say(tables.table(records))
  return records[0]
