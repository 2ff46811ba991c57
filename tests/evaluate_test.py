"""The commands that score checkpoints, and sets of images."""

import shutil
import types

import pytest
from absl import logging

from sagan_jax import errors, main
from sagan_jax.config import schema as config_lib
from sagan_jax.data import array_writer, shapes
from sagan_jax.evaluation import protocol
from sagan_jax.run import loop, scoreboard, scoring
from tests.support import commands, compilation, tiny


@pytest.fixture(autouse=True)
def small():
  with tiny.small_networks(), compilation.cheap_compilation():
    yield


def _records(workdir):
  return protocol.read(workdir / 'evaluations.jsonl')


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A directory with the checkpoints of steps 2, 4 and 6."""
  workdir = tmp_path_factory.mktemp('trained')
  with tiny.small_networks(), compilation.cheap_compilation():
    loop.Trainer(tiny.opened(workdir, checkpoint__every_steps=2)).train()
  return workdir


@pytest.fixture
def workdir(trained, tmp_path):
  """A copy of it."""
  return shutil.copytree(trained, tmp_path / 'run')


def test_one_checkpoint_or_all_are_scored(workdir):
  said = []
  run = tiny.opened(workdir)
  scoring.evaluate_checkpoints(run, 4, said.append)
  (record,) = _records(workdir)
  assert record['protocol']['step'] == 4
  scoring.evaluate_checkpoints(run, 'all', said.append)
  records = {r['protocol']['step']: r['scores'] for r in _records(workdir)}
  assert len(_records(workdir)) == 3 and sorted(records) == [2, 4, 6]
  assert records[4] == record['scores']
  assert len({tuple(s.values()) for s in records.values()}) == 3
  # The table, last; the log; the plot against the step; and nothing as best.
  assert said[-1] == (workdir / 'scores' / 'scores.md').read_text()
  rows = [row for row in commands.rows(workdir) if 'perf/eval_secs' in row]
  assert [row['step'] for row in rows] == [4, 2, 4, 6]
  assert (workdir / 'scores' / 'fid_random.png').exists()
  assert not (workdir / 'best').exists()


def test_a_checkpoint_that_is_not_there_is_refused(workdir):
  match = r'has no checkpoint of step 3, only of \[2, 4, 6\]; set --step'
  with pytest.raises(ValueError, match=match):
    scoring.evaluate_checkpoints(tiny.opened(workdir), 3)


def test_the_best_checkpoint_is_scored(workdir):
  run = tiny.opened(workdir)
  with pytest.raises(errors.UserError, match='best holds no checkpoint: no '):
    scoring.evaluate_checkpoints(run, 'best')
  assert not (workdir / 'best').exists()
  made = scoreboard.Scoreboard(run, 6, lambda _: None)
  made.of_state(run.restore(4))
  made.close()
  (during,) = _records(workdir)
  scoring.evaluate_checkpoints(run, 'best', lambda _: None)
  (record,) = _records(workdir)
  assert record['protocol']['step'] == 4
  assert record['scores'] == during['scores'] and record['secs']


def test_too_few_images_are_refused_before_a_checkpoint_is_read(workdir):
  run = tiny.opened(workdir, eval__num_fakes=1)
  run.restore = None
  with pytest.raises(errors.UserError, match='fid needs at least 2'):
    scoring.evaluate_checkpoints(run)
  assert _records(workdir) == []


def test_a_run_without_checkpoints_is_refused(tmp_path):
  with pytest.raises(errors.UserError, match='has no checkpoints; train first'):
    scoring.evaluate_checkpoints(tiny.opened(tmp_path))


def _main(monkeypatch, **values):
  """Runs the command in this process; returns (exit code, error text)."""
  flags = {'config': None, 'mode': 'eval', 'workdir': None, 'step': None}
  flags |= {'real': None, 'fake': None, 'allow_changes': []}
  for name, value in (flags | values).items():
    flag = types.SimpleNamespace(value=value)
    monkeypatch.setattr(main, f'_{name.upper()}', flag)
  errors = []
  monkeypatch.setattr(
    logging, 'error', lambda text, *args: errors.append(text % args)
  )
  monkeypatch.setattr(logging, 'set_verbosity', lambda _: None)
  return main.main(['main']), ''.join(errors)


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (None, 'no Inception weights at '),
    (b'not a network', 'which is no known Inception file'),
    (b'', 'set --config.eval.inception_path'),
  ],
)
def test_a_bad_weights_file_ends_the_command(
  workdir, monkeypatch, content, message
):
  path = workdir / 'weights.pth'
  if content is not None:
    path.write_bytes(content)
  c = tiny.config(eval__inception_path=str(path), eval__extractor='inception')
  code, error = _main(monkeypatch, config=c, workdir=str(workdir))
  assert code == 2
  assert message in error and str(path) in error
  assert _records(workdir) == []


def test_a_metric_that_is_not_made_does_not_hinder_the_command(
  workdir, monkeypatch
):
  cache_dir = str(workdir / 'cache')
  c = tiny.config(eval__best_metric='recall', eval__cache_dir=cache_dir)
  assert _main(monkeypatch, config=c, workdir=str(workdir), step=2)[0] == 0
  assert [r['protocol']['step'] for r in _records(workdir)] == [2]


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  """Two prepared directories of shapes, as sources are named."""
  directory = tmp_path_factory.mktemp('prepared')
  names = []
  for split, n in (('train', 60), ('test', 40)):
    source = shapes.open_source(image_size=32, split=split, num_examples=n)
    array_writer.write(source, directory / split, split='train')
    names.append(f'array:{directory / split}')
  return names


def _config(tmp_path, **changes):
  changes = {'eval__num_reals': None, 'eval__num_fakes': 100} | changes
  return tiny.config(eval__cache_dir=str(tmp_path / 'cache'), **changes)


def test_two_sets_of_images_are_scored_without_a_model(prepared, tmp_path):
  said = []
  c = _config(tmp_path)
  c = config_lib.resolve(c)
  record = scoring.evaluate_sources(c, *prepared, said.append)
  assert record['protocol']['num_real'] == 60
  assert record['protocol']['num_fake'] == 40
  assert record['protocol']['data'] == prepared[0]
  assert record['protocol']['fake_data'] == prepared[1]
  assert '| fid_random |' in said[-1]
  found = record['scores']['fid_random']
  again = scoring.evaluate_sources(c, *prepared, said.append)
  assert again['scores']['fid_random'] == found
  assert 'real images: 60 from the cache' in said
  same = scoring.evaluate_sources(c, prepared[0], prepared[0], said.append)
  assert abs(same['scores']['fid_random']) < 1e-6 < found
  with pytest.raises(ValueError, match='fake_data: .* and '):
    protocol.check_same(record['protocol'], same['protocol'])


def test_the_command_scores_two_sets(prepared, tmp_path, monkeypatch, capsys):
  real, fake = prepared
  c = _config(tmp_path)
  assert _main(monkeypatch, config=c, real=real, fake=fake) == (0, '')
  assert '| fid_random |' in capsys.readouterr().out


@pytest.mark.parametrize('left_out', ['config', 'real', 'fake'])
def test_two_sets_need_their_names_and_a_protocol(
  prepared, tmp_path, monkeypatch, left_out
):
  flags = {'config': _config(tmp_path), 'real': prepared[0]}
  flags |= {'fake': prepared[1]}
  code, error = _main(monkeypatch, **flags | {left_out: None})
  assert code == 2
  assert error.startswith('two sets of images need --config')


def test_a_folder_without_images_ends_the_command(
  prepared, tmp_path, monkeypatch
):
  (tmp_path / 'folder' / 'some_class').mkdir(parents=True)
  code, error = _main(
    monkeypatch,
    config=_config(tmp_path),
    real=prepared[0],
    fake=f'folder:{tmp_path / "folder"}',
  )
  assert code == 2
  assert str(tmp_path / 'folder' / 'some_class') in error


def test_images_of_another_size_end_the_command(
  prepared, tmp_path, monkeypatch
):
  c = _config(tmp_path, image_size=64)
  code, error = _main(monkeypatch, config=c, real=prepared[0], fake=prepared[1])
  assert code == 2 and '--config.image_size' in error
