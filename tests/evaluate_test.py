"""The commands that score checkpoints, and sets of images."""

import shutil

import pytest

from sagan_jax import errors, evaluate
from sagan_jax.data import array_writer, shapes
from sagan_jax.evaluation import protocol
from sagan_jax.run import command, log, scoreboard, scoring, trainer
from tests.support import commands, tiny

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def small():
  with tiny.small_networks():
    yield


def _records(workdir):
  return protocol.read(workdir / 'evaluations.jsonl')


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """A directory with the checkpoints of steps 2, 4 and 6."""
  workdir = tmp_path_factory.mktemp('trained')
  with tiny.small_networks():
    trainer.Trainer(tiny.opened(workdir, checkpoint__every_steps=2)).train()
  return workdir


@pytest.fixture
def workdir(trained, tmp_path):
  """A copy of it."""
  return shutil.copytree(trained, tmp_path / 'run')


def test_one_checkpoint_or_all_are_scored(workdir, monkeypatch):
  said, texts = [], []
  monkeypatch.setattr(
    log.Writer, 'write_texts', lambda _, *shown: texts.append(shown)
  )
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
  assert [step for step, _ in texts] == [4, 2, 4, 6]
  assert texts[-1] == (6, {'scores': said[-1]})
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


def _main(*argv):
  """Runs the command in this process; returns its exit code."""
  return command.exit_code(evaluate.main, list(argv))


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (None, 'no Inception weights at '),
    (b'not a network', 'which is no known Inception file'),
    (b'', 'set --config.eval.inception_path'),
  ],
)
def test_a_bad_weights_file_ends_the_command(workdir, capsys, content, message):
  path = workdir / 'weights.pth'
  if content is not None:
    path.write_bytes(content)
  code = _main(
    f'--workdir={workdir}',
    '--config.eval.extractor=inception',
    f'--config.eval.inception_path={path}',
  )
  error = capsys.readouterr().err
  assert code == 2
  assert message in error and str(path) in error
  assert _records(workdir) == []


def test_a_metric_that_is_not_made_does_not_hinder_the_command(workdir):
  argv = [f'--workdir={workdir}', '--config.eval.best_metric=recall']
  assert _main(*argv, '--step=2') == 0
  assert [r['protocol']['step'] for r in _records(workdir)] == [2]


def test_the_command_scores_by_a_protocol_of_its_own(workdir, capsys):
  argv = [f'--workdir={workdir}', '--config.eval.num_fakes=24']
  assert _main(*argv) == 0
  found = [
    (r['protocol']['step'], r['protocol']['num_fake'])
    for r in _records(workdir)
  ]
  assert found == [(2, 24), (4, 24), (6, 24)]
  assert '- num_fake: 24' in capsys.readouterr().out


@pytest.mark.parametrize(
  ('argv', 'text'),
  [
    ([], 'give either --workdir, '),
    (['--workdir=a', '--real=b'], 'give either --workdir, '),
    (['--config=quickstart'], 'give either --workdir, '),
    (['--workdir=a', '--config=quickstart'], 'a run is scored by its own'),
    (['--step=2'], 'a run is scored by its own config: give --workdir'),
    (['--workdir=a', '--step=last'], "'last' is no step, nor best, nor all"),
    (['--workdir=a', '--step=-1'], "'-1' is no step, nor best, nor all"),
    (['--workdir=/none'], 'there is no run in /none'),
  ],
)
def test_what_cannot_be_meant_is_refused(capsys, argv, text):
  assert _main(*argv) == 2
  assert text in capsys.readouterr().err


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


def _changes(tmp_path):
  return {
    'eval__num_reals': None,
    'eval__num_fakes': 100,
    'eval__cache_dir': str(tmp_path / 'cache'),
  }


def test_two_sets_of_images_are_scored_without_a_model(prepared, tmp_path):
  said = []
  c = tiny.config(**_changes(tmp_path))
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
  with pytest.raises(errors.UserError, match='fake_data: .* and '):
    protocol.check_same(record['protocol'], same['protocol'])


def _score_sets(tmp_path, real, fake, **changes):
  return _main(
    '--config=quickstart',
    f'--real={real}',
    f'--fake={fake}',
    *tiny.overrides(**_changes(tmp_path) | changes),
  )


def test_the_command_scores_two_sets(prepared, tmp_path, capsys):
  assert _score_sets(tmp_path, *prepared) == 0
  assert '| fid_random |' in capsys.readouterr().out


@pytest.mark.parametrize('left_out', ['--config', '--real', '--fake'])
def test_two_sets_need_their_names_and_a_protocol(prepared, capsys, left_out):
  real, fake = prepared
  argv = ['--config=quickstart', f'--real={real}', f'--fake={fake}']
  assert _main(*(a for a in argv if not a.startswith(left_out))) == 2
  assert 'two sets of images need --config' in capsys.readouterr().err


def test_a_folder_without_images_ends_the_command(prepared, tmp_path, capsys):
  (tmp_path / 'folder' / 'some_class').mkdir(parents=True)
  fake = f'folder:{tmp_path / "folder"}'
  assert _score_sets(tmp_path, prepared[0], fake) == 2
  assert str(tmp_path / 'folder') in capsys.readouterr().err


def test_images_of_another_size_end_the_command(prepared, tmp_path, capsys):
  assert _score_sets(tmp_path, *prepared, image_size=64) == 2
  assert '--config.image_size' in capsys.readouterr().err
