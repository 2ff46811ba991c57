"""Tests of the loop: what it writes and when, what it refuses, how it ends."""

import collections
import json

import jax
import numpy as np
import pytest
from PIL import Image

from sagan_jax.checkpoints import checkpoint
from sagan_jax.config import schema
from sagan_jax.gan import build
from sagan_jax.gan import state as state_lib
from sagan_jax.pictures import labelled_grid
from tests.support import tiny

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True, scope='module')
def small_networks():
  with tiny.small_networks():
    yield


def rows(workdir):
  text = (workdir / 'metrics.jsonl').read_text()
  return [json.loads(line) for line in text.splitlines()]


def trained(workdir):
  """The rows of log steps."""
  return [row for row in rows(workdir) if 'train/d_loss' in row]


def logged(workdir):
  return [row['step'] for row in trained(workdir)]


def saved(workdir):
  """The steps of the checkpoints there are."""
  names = [p.name for p in (workdir / 'checkpoints').iterdir()]
  return sorted(int(name) for name in names)


def sampled(workdir):
  return sorted(p.name for p in (workdir / 'samples').iterdir())


def computed(row):
  """What of a row does not tell the time."""
  return {k: v for k, v in row.items() if not k.startswith('perf/')}


class Compilations(collections.Counter):
  """Counts the compilations of programs, by name, while it is entered."""

  def __enter__(self):
    jax.monitoring.register_event_duration_secs_listener(self._count)
    return self

  def __exit__(self, *error):
    jax.monitoring.unregister_event_duration_listener(self._count)

  def _count(self, event, secs, **kwargs):
    del secs
    if event == '/jax/core/compile/backend_compile_duration':
      self[kwargs['fun_name'].removeprefix('jit(').removesuffix(')')] += 1


@pytest.fixture(scope='module')
def cadences(tmp_path_factory):
  """A run with different cadences, and the programs compiled by then.

  Returns:
    (its directory, its final state, programs before step 5, programs).
  """
  workdir = tmp_path_factory.mktemp('cadences')
  counts = {}
  with Compilations() as compiled, pytest.MonkeyPatch.context() as patch:
    save = checkpoint.Checkpointer.save

    def count_and_save(self, state):
      counts[int(state.step)] = compiled.copy()
      save(self, state)

    patch.setattr(checkpoint.Checkpointer, 'save', count_and_save)
    state = tiny.run(
      workdir,
      num_steps=10,
      log__every_steps=2,
      sample__every_steps=3,
      checkpoint__every_steps=4,
    )
    counts['end'] = compiled.copy()
  return workdir, state, counts


def test_everything_is_written_when_it_is_due(cadences):
  workdir, state, _ = cadences
  assert int(state.step) == 10
  assert logged(workdir) == [2, 4, 6, 8, 10]
  assert saved(workdir) == [4, 8, 10]
  assert sampled(workdir) == [
    f'{step:08}_{name}.png' for step in (3, 6, 9, 10) for name in ('ema', 'raw')
  ]
  assert sorted(p.name for p in workdir.iterdir()) == [
    'checkpoints',
    'config.json',
    'data.json',
    'metrics.jsonl',
    'report.html',
    'samples',
    'scores',
    'time.jsonl',
  ]
  assert [p.name for p in (workdir / 'scores').iterdir()] == ['curves.png']


def test_a_row_tells_everything(cadences):
  workdir, _, _ = cadences
  for row in trained(workdir):
    assert set(row) == {
      'step',
      'train/d_loss',
      'train/d_real_logit',
      'train/d_fake_logit',
      'train/d_real_accuracy',
      'train/d_fake_accuracy',
      'train/d_sigma_max',
      'train/g_loss',
      'train/g_sigma_max',
      'perf/images_per_sec',
      'perf/eta_secs',
      'perf/data_share',
      'perf/sample_share',
      'perf/checkpoint_share',
      'perf/eval_share',
    }
    assert all(np.isfinite(value) for value in row.values())
    assert row['perf/images_per_sec'] > 0
    shares = [v for k, v in row.items() if k.endswith('_share')]
    assert 0 <= min(shares) and sum(shares) <= 1
  assert trained(workdir)[-1]['perf/eta_secs'] == 0
  assert trained(workdir)[-1]['perf/sample_share'] > 0


def test_grids_have_rows_of_their_own(cadences):
  workdir, _, _ = cadences
  found = [row for row in rows(workdir) if 'train/d_loss' not in row]
  assert [row['step'] for row in found] == [3, 6, 9, 10]
  for row in found:
    assert set(row) == {'step', 'sample/diversity/raw', 'sample/diversity/ema'}


def test_the_config_of_the_run_is_kept(cadences):
  workdir, _, _ = cadences
  kept = schema.saved(workdir / 'config.json')
  assert kept.num_classes == 10  # As the data has.
  assert kept.checkpoint.every_steps == 4


def test_grids_show_classes_in_rows(cadences):
  workdir, _, _ = cadences
  for path in (workdir / 'samples').iterdir():
    with Image.open(path) as opened:
      assert labelled_grid.names_in(opened) == ['disc', 'cross', 'arrow']
      image = np.asarray(opened)[:, -(2 * 33 - 1) :]  # Without the names.
    # Three classes of two images, 32 pixels each, with a gap of one.
    assert image.shape == (3 * 33 - 1, 2 * 33 - 1, 3)
    assert (image[32] == 255).all() and (image[:, 32] == 255).all()
    assert len({image[y : y + 32].tobytes() for y in (0, 33, 66)}) == 3


def test_grids_of_raw_and_averaged_weights_differ(cadences):
  workdir, _, _ = cadences
  raw, ema = (
    (workdir / 'samples' / f'00000010_{name}.png').read_bytes()
    for name in ('raw', 'ema')
  )
  assert raw != ema


def test_every_program_is_compiled_once(cadences):
  _, _, counts = cadences
  programs = ('init_state', 'train_step', 'moments', 'images')
  assert {name: counts['end'][name] for name in programs} == dict.fromkeys(
    programs, 1
  )
  # Nor is anything else compiled once all has been done for the first time.
  assert counts[8] == counts['end']


def test_going_on_is_exact_and_compiles_once(cadences, tmp_path):
  """Six steps and four more against ten in one go."""
  straight, state, _ = cadences
  cadence = {'log__every_steps': 2, 'sample__every_steps': 3}
  tiny.run(tmp_path, num_steps=6, **cadence)
  with Compilations() as compiled:
    resumed = tiny.run(tmp_path, num_steps=10, **cadence)
  assert compiled['train_step'] == 1
  assert compiled['moments'] == 1
  assert compiled['images'] == 1
  assert compiled['init_state'] == 0
  assert state_lib.digest(resumed) == state_lib.digest(state)
  assert [computed(row) for row in rows(tmp_path)] == [
    computed(row) for row in rows(straight)
  ]
  assert sampled(tmp_path) == sampled(straight)
  for name in sampled(straight):
    assert (tmp_path / 'samples' / name).read_bytes() == (
      straight / 'samples' / name
    ).read_bytes()


def test_a_finished_run_does_nothing(cadences, monkeypatch, capsys):
  workdir, state, _ = cadences
  before = {p: p.read_bytes() for p in workdir.rglob('*') if p.is_file()}

  def fail(*args):
    raise AssertionError(args)

  monkeypatch.setattr(build, 'compile_step', fail)
  again = tiny.run(
    workdir,
    num_steps=10,
    log__every_steps=2,
    sample__every_steps=3,
    checkpoint__every_steps=4,
  )
  assert state_lib.digest(again) == state_lib.digest(state)
  assert 'nothing to do: 10 of 10 steps done' in capsys.readouterr().out
  assert before == {
    p: p.read_bytes() for p in workdir.rglob('*') if p.is_file()
  }


def test_says_what_is_trained(tmp_path, capsys):
  tiny.run(tmp_path, num_steps=1)
  out = capsys.readouterr().out
  assert 'generator: 6,252 parameters, 1 normalised weights' in out
  assert 'discriminator: 529 parameters, 2 normalised weights' in out
  assert 'data: shapes, 64 images, 10 classes' in out
  assert 'mesh: 1 x cpu, 1 processes' in out
  assert str(tmp_path) in out
  assert 'compiled in' in out
  assert 'step 1/1 100.0% ETA 0s' in out
  assert f'  report: {tmp_path}/report.html\n' in out


def test_metrics_are_read_only_when_a_later_step_runs(tmp_path, monkeypatch):
  """Reading those of the step just launched would leave the device idle."""
  launched = []  # Ids of the losses of all steps.
  read_at = []  # (steps launched, last step read) of every read.
  lower_step, device_get = build.lower_step, jax.device_get
  kept = []  # So that no id is used twice.

  def lower_and_watch(*args):
    step_fn = lower_step(*args).compile()

    class Watched:
      cost_analysis = step_fn.cost_analysis
      memory_analysis = step_fn.memory_analysis

      def __call__(self, state, batch):
        state, metrics = step_fn(state, batch)
        launched.append(id(metrics['d_loss']))
        kept.append(metrics)
        return state, metrics

    class Lowered:
      compile = Watched

    return Lowered()

  def watch_get(tree):
    for leaf in jax.tree.leaves(tree):
      if id(leaf) in launched:
        read_at.append((len(launched), launched.index(id(leaf)) + 1))
    return device_get(tree)

  monkeypatch.setattr(build, 'lower_step', lower_and_watch)
  monkeypatch.setattr(jax, 'device_get', watch_get)
  tiny.run(
    tmp_path, num_steps=7, log__every_steps=2, checkpoint__every_steps=100
  )
  assert logged(tmp_path) == [2, 4, 6]
  # Step 2 is looked at when 3 runs; at the end there is nothing to wait for.
  assert read_at == [(3, 1), (3, 2), (5, 3), (5, 4), (7, 5), (7, 6), (7, 7)]


def test_on_eight_devices_as_on_one(tmp_path, cadences):
  _, state, _ = cadences
  spread = tiny.run(tmp_path, num_steps=10, num_devices=8)
  for leaf in jax.tree.leaves(spread):
    assert len(leaf.devices()) == 8
    assert leaf.is_fully_replicated
  for a, b in zip(tiny.leaves(spread), tiny.leaves(state), strict=True):
    # Sums over the batch in another order, through ten steps of Adam.
    np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)


def test_several_updates_and_microbatches(tmp_path):
  """Steps of two discriminator updates, of two parts each; resumed."""
  changes = {'n_dis': 2, 'num_microbatches': 2, 'num_steps': 3}
  tiny.run(tmp_path / 'a', **changes)
  resumed = tiny.run(tmp_path / 'a', **changes | {'num_steps': 5})
  straight = tiny.run(tmp_path / 'b', **changes | {'num_steps': 5})
  assert state_lib.digest(resumed) == state_lib.digest(straight)
  counts = straight.discriminator.opt_state[0].count
  assert int(counts) == 10
  assert int(straight.generator.opt_state[0].count) == 5
