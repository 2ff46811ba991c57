"""Verdicts on rows of real runs, and on rows that show one thing each.

`verdict_rows/` holds the logs of runs on drawn shapes, thinned by
`verdict_rows/thin.py`; the first line of each is the command that made it.
"""

import csv
import json
import pathlib
import re
import time

import numpy as np
import pytest

from sagan_jax.config import schema
from sagan_jax.verdicts import verdicts
from tests.support import tiny

FILES = {
  path.stem: path
  for path in (pathlib.Path(__file__).parent / 'verdict_rows').glob('*.csv')
}
COLLAPSING = 'The generator is collapsing: its images are becoming the same'
DEAD = 'Nothing is learnt any more'
# What is told of each kind of forced failure, and by which step of 300.
FAILED = {
  'rate100': (DEAD, 180),
  'd_wins': ('The discriminator is ahead', 120),
  'collapse': (COLLAPSING, 50),
  'd_rate20': (DEAD, 230),
  'g_rate30': (DEAD, 280),
}


def read(name):
  """The rows of a file, as `judge` takes them."""
  with FILES[name].open() as file:
    table = list(csv.reader(line for line in file if line[0] != '#'))
  columns = zip(*table[1:], strict=True)
  return {
    name: np.array([float(x or 'nan') for x in column])
    for name, column in zip(table[0], columns, strict=True)
  }


def until(rows, step):
  """The rows that there were at a step."""
  kept = rows['step'] <= step
  return {name: values[kept] for name, values in rows.items()}


def of_log(path):
  """The rows of a metrics.jsonl."""
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  names = {name for line in lines for name in line}
  return {n: np.array([line.get(n, np.nan) for line in lines]) for n in names}


def raised(rows):
  """{title: verdict} of what is not fine."""
  return {v.title: v for v in verdicts.judge(rows) if v.level != 'fine'}


HEALTHY = sorted(name for name in FILES if name.startswith('healthy'))


def failure(name):
  """What is to be told of a file of a forced failure, and by which step."""
  return FAILED[re.sub(r'_\d$', '', name)]


def test_there_are_three_seeds_of_each_kind():
  assert len(HEALTHY) >= 6
  for kind in 'rate100', 'd_wins', 'collapse':
    assert {f'{kind}_{seed}' for seed in range(3)} <= set(FILES)


@pytest.mark.parametrize('name', HEALTHY)
def test_a_healthy_run_raises_nothing_at_any_step(name):
  rows = read(name)
  for step in np.unique(rows['step']):
    assert raised(until(rows, step)) == {}, step


@pytest.mark.parametrize('name', sorted(set(FILES) - set(HEALTHY)))
def test_a_forced_failure_is_told_early_and_to_the_end(name):
  rows = read(name)
  title, by = failure(name)
  steps = np.unique(rows['step'])
  for step in steps[steps >= by]:
    verdict = raised(until(rows, step))[title]
    assert verdict.step < step or step == 50  # The first grid.
    assert verdict.advice


@pytest.mark.parametrize('name', sorted(set(FILES) - set(HEALTHY)))
def test_it_is_told_before_the_score_has_doubled(name):
  rows = read(name)
  scores = rows['eval/fid_random/ema_standing']
  steps, scores = (x[np.isfinite(scores)] for x in (rows['step'], scores))
  doubled = steps[scores >= 2 * np.minimum.accumulate(scores)]
  before = until(rows, doubled[0] - 1 if len(doubled) else steps[-1])
  assert failure(name)[0] in raised(before)


def steady(n=100, every=100, **changes):
  """Rows of a training that goes well, with some columns replaced."""
  wave = np.sin(np.arange(n))
  columns = {
    'd_loss': 1 + 0.3 * wave,
    'g_loss': 0.5 + 0.5 * wave,
    'd_real_logit': 0.7 + 0.3 * wave,
    'd_fake_logit': -0.8 + 0.3 * wave,
    'd_real_accuracy': 0.8 + 0.1 * wave,
    'd_fake_accuracy': 0.9 + 0.1 * wave,
    'g_sigma_max': np.linspace(2, 5, n),
    'd_sigma_max': np.full(n, 2.0),
    'g_gate_attention_16': np.linspace(0, -0.5, n),
  }
  columns = {f'train/{name}': values for name, values in columns.items()}
  columns |= {'perf/data_share': np.full(n, 0.01)}
  columns |= {
    name: np.asarray(values, float) for name, values in changes.items()
  }
  return {'step': every * np.arange(1, n + 1), **columns}


def scored(*scores, name='eval/fid/ema_standing'):
  """Rows of `steady` with a score at every hundredth step from 1,000 on."""
  values = np.full(100, np.nan)
  values[9 : 9 + 10 * len(scores) : 10] = scores
  return steady(**{name: values})


def end_in(before, after, last=50, n=100):
  """`before`, but `after` in the last rows."""
  values = np.broadcast_to(np.asarray(before, float), n).copy()
  values[-last:] = after
  return values


def test_a_steady_training_is_fine():
  found = verdicts.judge(steady())
  assert {v.level for v in found} == {'fine'}
  assert "the discriminator's loss is 0.98" in found[-1].text
  assert 'The two networks are in balance' in [v.title for v in found]


@pytest.mark.parametrize(
  'changes, title, numbers, step',
  [
    (
      {'train/g_loss': end_in(1, np.inf, 3)},
      'A loss is not finite',
      'g_loss is no number at step 9,800, nor at 2 later logged steps',
      9800,
    ),
    (
      {'train/d_loss': end_in(1, np.nan, 1)},
      'A loss is not finite',
      'd_loss is no number at step 10,000, nor at 0 later logged steps',
      10_000,
    ),
    (
      {
        'train/d_loss': end_in(1, 0.03),
        'train/d_real_logit': end_in(1, 4.5),
        'train/d_fake_logit': end_in(-1, -3),
      },
      'The discriminator is ahead',
      'Since step 5,100 its loss is near zero (0.030 now)',
      5100,
    ),
    (
      {'train/d_real_logit': end_in(1, -2), 'train/d_fake_logit': end_in(0, 1)},
      'The generator is ahead',
      'its logits for them are 3.0 higher',
      5100,
    ),
    (
      {'train/g_sigma_max': end_in(4, 9, 10)},
      "The generator's weights are exploding",
      'from 4 at step 6,',
      6500,
    ),
    (
      {'train/g_gate_attention_16': end_in(0.2, 0.004)},
      'The gate g_gate_attention_16 stays near zero',
      'within 0.01 of zero since step 5,100',
      5100,
    ),
    (
      {'sample/diversity/raw': end_in(80, 30, 2)},
      COLLAPSING,
      'differ by 30.0 grey levels of 255 (raw weights), after as much as 80.0',
      9900,
    ),
    (
      {'perf/data_share': end_in(0.1, 0.3, 20)},
      'Training waits for images',
      'It took 30% of the time so far, and has been above 20% since step 8,100',
      8100,
    ),
  ],
)
def test_each_fault_is_told_with_its_numbers(changes, title, numbers, step):
  found = raised(steady(**changes))
  assert list(found) == [title]
  assert numbers in found[title].text
  assert abs(found[title].step - step) <= 1000  # Ten rows have one median.


def test_a_crisis_that_has_passed_is_none():
  loss = np.r_[np.full(50, 1.0), np.full(30, 0.01), np.full(20, 1.0)]
  gap = np.r_[np.full(50, 1.0), np.full(30, 6), np.full(20, 1.0)]
  changes = {'train/d_loss': loss, 'train/d_real_logit': gap}
  assert raised(steady(**changes)) == {}
  ahead = raised(until(steady(**changes), 8000))
  assert list(ahead) == ['The discriminator is ahead']


def test_a_young_gate_is_no_fault():
  gate = {'train/g_gate_attention_16': np.full(100, -0.004)}
  assert raised(steady(every=99, **gate)) == {}
  assert list(raised(steady(every=100, **gate)))


@pytest.mark.parametrize(
  'scores, level',
  [
    ((9, 5, 4, 5.1), None),  # As noisy as a healthy run.
    ((9, 5, 4, 6.5), None),  # Once may be chance.
    ((9, 5, 4, 6.5, 6.1), 'warning'),
    ((9, 5, 4, 6.5, 8), 'alarm'),
    ((9, 5, 4, 8.5), 'alarm'),
    ((9, 5, 4, 8.5, 4.2), None),
    ((4,), None),
  ],
)
def test_a_score_that_has_become_worse(scores, level):
  verdict = raised(scored(*scores)).get('The score has become worse')
  assert (verdict and verdict.level) == level
  if verdict:
    assert 'fid (ema_standing) was best at step 3,000 with 4' in verdict.text
    assert verdict.step == 4000


def test_of_an_inception_score_more_is_better():
  name = 'eval/is/ema_standing'
  assert raised(scored(2, 5, 9, 12, name=name)) == {}
  assert list(raised(scored(2, 9, 4, 4, name=name))) == [
    'The score has become worse'
  ]


def test_a_score_about_zero_has_no_ratio():
  assert raised(scored(0.3, -0.001, 0.02, name='eval/kid/ema_standing')) == {}


@pytest.mark.parametrize(
  'scores, title',
  [
    ((9, 8, 7, 6, 5, 4), 'The score still improves'),
    ((9, 8, 4, 4.1, 3.95, 4.2), 'The score has levelled off'),
    ((9, 8), 'Few scores so far'),
  ],
)
def test_whether_more_steps_are_worth_it(scores, title):
  assert title in [v.title for v in verdicts.judge(scored(*scores))]


@pytest.mark.parametrize('name', ['eval', 'sample', 'checkpoint'])
def test_what_the_config_asks_for_is_told_but_no_fault(name):
  rows = steady(**{f'perf/{name}_share': np.full(100, 0.6)})
  assert raised(rows) == {}
  [told] = [v for v in verdicts.judge(rows) if v.title.startswith('Training')]
  assert f'--config.{name}.every_steps' in told.advice


def test_logits_that_hardly_differ_are_told():
  rows = steady(**{'train/d_real_logit': np.sin(np.arange(100)) - 0.8})
  title = 'The discriminator can hardly tell the images apart'
  assert title in [v.title for v in verdicts.judge(rows)]


def test_the_worst_comes_first():
  rows = steady(
    **{
      'train/g_gate_attention_16': np.zeros(100),
      'train/d_gate_attention_16': np.full(100, 0.3),
      'sample/diversity/ema': end_in(80, 5),
    }
  )
  levels = [v.level for v in verdicts.judge(rows)]
  assert levels[:2] == ['alarm', 'warning']
  assert set(levels[2:]) == {'fine'}


@pytest.mark.parametrize(
  'rows',
  [
    {},
    {'step': np.array([])},
    {'step': np.arange(5.0)},
    {'train/d_loss': np.ones(3), 'step': np.full(3, np.nan)},
    steady(n=19),
  ],
)
def test_few_rows_are_too_early_to_judge(rows):
  assert 'Too early to tell' in [v.title for v in verdicts.judge(rows)]
  assert raised(rows) == {}


def test_columns_may_be_missing_or_empty():
  rows = read('d_wins_0')
  for name in rows.keys() - {'step'}:
    raised({k: v for k, v in rows.items() if k != name})
    raised(rows | {name: np.full(rows['step'].shape, np.nan)})
    raised(rows | {name: np.full(rows['step'].shape, np.inf)})
  few = {k: v for k, v in rows.items() if k in ('step', 'train/d_loss')}
  assert verdicts.judge(few)


def test_the_order_of_the_rows_does_not_matter():
  rows = read('collapse_0')
  order = np.random.default_rng(0).permutation(len(rows['step']))
  mixed = {name: values[order] for name, values in rows.items()}
  assert verdicts.judge(mixed) == verdicts.judge(rows)


def test_a_million_rows_take_no_time():
  n = 1_000_000
  rows = {k: np.resize(v, n) for k, v in read('healthy_0').items()}
  rows['step'] = np.arange(n)
  began = time.process_time()
  assert verdicts.judge(rows)
  assert time.process_time() - began < 2  # 0.3 s on a core of 2020.


def test_all_keys_that_advice_names_exist():
  score = 'eval/fid/ema_standing'
  worst = steady(
    **{
      'train/d_loss': end_in(1, np.inf, 1),
      'train/g_sigma_max': end_in(4, 9, 10),
      'train/g_gate_attention_16': np.zeros(100),
      'perf/data_share': np.full(100, 0.5),
      'sample/diversity/raw': np.full(100, 1.0),
      score: scored(4, 9, 9, 9)[score],
    }
  )
  found = verdicts.judge(worst)
  for name in FAILED:
    found += verdicts.judge(read(f'{name}_0'))
  text = ' '.join(v.advice for v in found)
  keys = set(re.findall(r'--config\.([a-z_.]*[a-z_])', text))
  assert len(keys) >= 8
  assert keys <= set(schema.KEYS)


def test_a_collapse_is_told_from_the_log_of_a_training(tmp_path):
  with tiny.small_networks():
    tiny.run(
      tmp_path,
      num_steps=20,
      sample__every_steps=10,
      optim__generator__learning_rate=0.1,
      optim__discriminator__learning_rate=1e-6,
    )
  found = raised(of_log(tmp_path / 'metrics.jsonl'))
  assert found[COLLAPSING].step == 10
  assert 'The generator is ahead' in found
