"""Tests of what the loop refuses and of how it stops when something fails."""

import json
import threading

import jax
import numpy as np
import pytest

from sagan_jax import errors
from sagan_jax.gan import sampling
from sagan_jax.gan import state as state_lib
from sagan_jax.run import log, stop
from tests.support import tiny

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope='module')
def small_networks():
  with tiny.small_networks():
    yield


def saved(workdir):
  names = [p.name for p in (workdir / 'checkpoints').iterdir()]
  return sorted(int(name) for name in names)


def rows(workdir):
  """The rows of the log, without what tells the time."""
  text = (workdir / 'metrics.jsonl').read_text()
  return [
    {k: v for k, v in json.loads(line).items() if not k.startswith('perf/')}
    for line in text.splitlines()
  ]


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """The directory of a run of four steps, saved at two and four."""
  workdir = tmp_path_factory.mktemp('finished')
  tiny.run(workdir, num_steps=4, checkpoint__every_steps=2)
  return workdir


def test_refuses_the_directory_of_another_run(finished):
  with pytest.raises(errors.UserError) as error:
    tiny.opened(finished, seed=1, latent_dim=64, num_steps=9)
  assert str(error.value) == (
    f'{finished} holds a run with another config:\n'
    '  seed: 0 -> 1\n'
    '  latent_dim: 128 -> 64\n'
    'use another --workdir, or allow the changes with '
    '--allow_changes=seed,latent_dim'
  )
  # All of them must be allowed, and what is refused is not written.
  with pytest.raises(errors.UserError, match='allow_changes=latent_dim$'):
    tiny.opened(finished, ['seed'], seed=1, latent_dim=64)
  assert json.loads((finished / 'config.json').read_text())['seed'] == 0


def test_changes_can_be_allowed(tmp_path):
  tiny.run(tmp_path, num_steps=1)
  tiny.run(
    tmp_path,
    ['optim.generator.learning_rate', 'seed'],
    num_steps=2,
    seed=1,
    optim__generator__learning_rate=1e-5,
  )
  assert saved(tmp_path) == [1, 2]
  kept = json.loads((tmp_path / 'config.json').read_text())
  assert kept['optim.generator.learning_rate'] == 1e-5
  tiny.run(tmp_path, num_steps=2, seed=1, optim__generator__learning_rate=1e-5)


def test_how_a_run_is_watched_may_change(finished):
  tiny.opened(
    finished,
    num_steps=99,
    prefetch=7,
    log__every_steps=5,
    sample__images_per_class=5,
    checkpoint__keep_last=2,
  )


def test_an_allowed_change_of_the_model_does_not_fit_the_checkpoint(finished):
  before = (finished / 'config.json').read_text()
  with pytest.raises(errors.UserError, match=r'\[\[128, 48\].*\[\[64, 48\]'):
    tiny.trainer(finished, ['latent_dim'], latent_dim=64, num_steps=9)
  assert (finished / 'config.json').read_text() == before


def test_refuses_other_classes_than_the_data_has(tmp_path):
  message = 'num_classes is 12, but shapes has 10; set --config.num_classes=10'
  with pytest.raises(errors.UserError, match=message):
    tiny.opened(tmp_path / 'x', num_classes=12)
  assert not (tmp_path / 'x').exists()


def test_refuses_more_devices_than_there_are(tmp_path):
  message = r'9 devices were asked for, this run has 8 \(cpu\); set --config'
  with pytest.raises(errors.UserError, match=message):
    tiny.opened(tmp_path / 'x', num_devices=9)


def test_refuses_a_batch_that_does_not_divide(tmp_path):
  with pytest.raises(errors.UserError, match='12 must be a multiple of 8'):
    tiny.opened(tmp_path / 'x', batch_size=12, num_devices=8)
  assert not (tmp_path / 'x').exists()


def test_refuses_a_directory_that_cannot_be_made(tmp_path):
  (tmp_path / 'file').touch()
  message = f'cannot write {tmp_path}/file/run: Not a directory'
  with pytest.raises(errors.UserError, match=message):
    tiny.opened(tmp_path / 'file' / 'run')


def test_refuses_a_directory_that_cannot_be_written_to(tmp_path):
  (tmp_path / 'config.json').mkdir()
  message = f'cannot write {tmp_path}/config.json: Is a directory'
  with pytest.raises(errors.UserError, match=message):
    tiny.trainer(tmp_path)


def test_stops_at_a_loss_that_is_not_finite(tmp_path):
  """With such steps the weights overflow in the next update."""
  tiny.run(tmp_path, num_steps=4, checkpoint__every_steps=2)
  before = {p: p.read_bytes() for p in tmp_path.rglob('checkpoints/**/*.json')}
  rate = 'optim.discriminator.learning_rate'
  message = (
    r'g_loss is nan at step 5; the last good checkpoint is of step 4. Lower '
    r'--config.optim.\*.learning_rate'
  )
  with pytest.raises(errors.UserError, match=message):
    tiny.run(
      tmp_path,
      [rate],
      num_steps=20,
      log__every_steps=10,
      checkpoint__every_steps=8,
      optim__discriminator__learning_rate=1e38,
    )
  assert saved(tmp_path) == [2, 4]
  # The last good checkpoint is one: the run goes on from it.
  assert (
    before.items()
    <= {
      p: p.read_bytes() for p in tmp_path.rglob('checkpoints/**/*.json')
    }.items()
  )
  state = tiny.run(tmp_path, [rate], num_steps=5)
  assert int(state.step) == 5
  assert all(np.isfinite(x).all() for x in tiny.leaves(state))


def test_does_not_save_weights_that_are_not_finite(tmp_path):
  """The generator's loss is that of the weights before its update."""
  tiny.run(tmp_path, num_steps=2)
  rate = 'optim.generator.learning_rate'
  message = 'step 3 left weights that are not finite; the last good .* step 2'
  with pytest.raises(errors.UserError, match=message):
    tiny.run(
      tmp_path, [rate], num_steps=3, optim__generator__learning_rate=3.4e38
    )
  assert saved(tmp_path) == [2]


def test_refuses_to_allow_a_key_that_is_not_there(finished):
  message = "key 'sed' in --allow_changes; did you mean 'seed'"
  with pytest.raises(errors.UserError, match=message):
    tiny.opened(
      finished,
      ['sed'],
    )


def test_a_failed_save_stops_the_run(tmp_path):
  one = tiny.trainer(tmp_path, num_steps=9, log__every_steps=1)
  checks = []

  def fail_at_the_third():
    checks.append(1)
    if len(checks) == 3:
      raise errors.UserError('the disk is full')

  one.run.checkpointer.check = fail_at_the_third
  with pytest.raises(errors.UserError, match='the disk is full'):
    one.train()
  assert len((tmp_path / 'metrics.jsonl').read_text().splitlines()) == 2


def test_an_error_of_the_data_reaches_the_user(tmp_path):
  one = tiny.trainer(tmp_path, num_steps=9, prefetch=1)
  batches = one.run.source.batches

  def broken(**kwargs):
    for i, batch in enumerate(batches(**kwargs)):
      if i == 3:
        raise errors.UserError('image 17 is damaged')
      yield batch

  one.run.source.batches = broken
  with pytest.raises(errors.UserError, match='image 17 is damaged'):
    one.train()
  assert saved(tmp_path) == [3]  # What was reached is not lost.
  assert 'prefetch' not in {t.name for t in threading.enumerate()}


@pytest.fixture
def stop_after(monkeypatch):
  """Asks for a stop, as a signal does, once a run has made some steps."""
  step = log.Progress.step

  def arrange(num_steps):
    steps = []

    def step_and_stop(self):
      step(self)
      steps.append(1)
      if len(steps) == num_steps:
        stop.request()

    monkeypatch.setattr(log.Progress, 'step', step_and_stop)

  yield arrange
  stop.withdraw()


def test_a_stop_saves(tmp_path, stop_after):
  """At a step of no cadence; going on is exact."""
  straight = tiny.run(tmp_path / 'straight', num_steps=6)
  stop_after(3)
  with pytest.raises(stop.Stopped, match='stopped after step 3, which is'):
    tiny.run(tmp_path / 'stopped', num_steps=6)
  assert saved(tmp_path / 'stopped') == [3]
  stop.withdraw()
  resumed = tiny.run(tmp_path / 'stopped', num_steps=6)
  assert state_lib.digest(resumed) == state_lib.digest(straight)
  assert jax.tree.structure(resumed) == jax.tree.structure(straight)


def test_a_stop_does_not_wait_for_an_evaluation(tmp_path, monkeypatch):
  """It comes between two batches of fakes; going on scores the step."""
  changes = {
    'num_steps': 5,
    'eval__every_steps': 3,
    'eval__num_fakes': 256,
    'eval__cache_dir': str(tmp_path / 'cache'),
  }
  straight = tiny.run(tmp_path / 'straight', **changes)
  numbered, asked = sampling.numbered, []

  def batches(*args):
    for batch in numbered(*args):
      asked.append(1)
      stop.request()
      yield batch

  with monkeypatch.context() as patch:
    patch.setattr(sampling, 'numbered', batches)
    with pytest.raises(stop.Stopped, match='stopped after step 3, which is'):
      tiny.run(tmp_path / 'stopped', **changes)
  stop.withdraw()
  # Of 32: workers have one each, and one waits for each.
  assert len(asked) <= 16
  assert saved(tmp_path / 'stopped') == [3]
  resumed = tiny.run(tmp_path / 'stopped', **changes)
  assert state_lib.digest(resumed) == state_lib.digest(straight)
  assert rows(tmp_path / 'stopped') == rows(tmp_path / 'straight')


def test_what_was_due_at_the_last_save_is_made_up_for(tmp_path, stop_after):
  """Grids and scores are made after a save: a process may end in between."""
  changes = {
    'num_steps': 6,
    'sample__every_steps': 3,
    'eval__every_steps': 3,
    'eval__cache_dir': str(tmp_path / 'cache'),
  }
  one, other = tmp_path / 'straight', tmp_path / 'stopped'
  tiny.run(one, **changes)
  (other / 'samples').mkdir(parents=True)
  for name in ('raw', 'ema'):  # Of a process that was killed before its save.
    (other / 'samples' / f'00000003_{name}.png').write_text('no row is of it')
  stop_after(3)
  with pytest.raises(stop.Stopped):
    tiny.run(other, **changes)
  stop.withdraw()
  assert list((other / 'samples').iterdir()) == []
  tiny.run(other, **changes)
  for name in ('raw', 'ema'):
    for step in (3, 6):
      file = f'samples/{step:08}_{name}.png'
      assert (other / file).read_bytes() == (one / file).read_bytes()
  assert len(rows(one)) == 6 + 2 + 2  # Of steps, grids and evaluations.
  assert rows(other) == rows(one)
  # A process that ends after its last save finishes its run, too.
  (other / 'samples' / '00000006_ema.png').unlink()
  tiny.run(other, **changes)
  assert (other / 'samples' / '00000006_ema.png').exists()
  assert rows(other) == rows(one)
