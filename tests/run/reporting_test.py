"""The page about runs, from their directories."""

import json
import re

import pytest
from PIL import Image

from sagan_jax import errors, files
from sagan_jax.run import reporting
from sagan_jax.verdicts import verdicts
from tests.pictures.page_test import Elements
from tests.support import damage, gcs, histories, tiny

JUDGED = [
  verdicts.Verdict('warning', 'A gate is shut', 'It is 0.', 'Wait.', 5),
  verdicts.Verdict('fine', 'Losses', 'They are level.', '', 6),
]


@pytest.fixture(autouse=True)
def judged(monkeypatch):
  monkeypatch.setattr(verdicts, 'judge', lambda _: JUDGED)


def page(*workdirs, output):
  """Writes a page; returns its HTML and what was warned of."""
  said = []
  reporting.write_to(output, workdirs, said.append)
  return output.read_text(), said


def facts(text):
  """The facts on a page: {name: text}."""
  return dict(re.findall('<dt>([a-z]+)</dt><dd>(.*?)</dd>', text))


def test_a_page_and_curves_are_written_into_the_run(tmp_path):
  workdir = histories.write(tmp_path / 'my run')
  said = []
  made = reporting.write(workdir, said.append)
  assert (said, made.verdicts) == ([], JUDGED)
  assert made.page == workdir / 'report.html'
  text = made.page.read_text()
  assert '<title>my run: a run of sagan_jax</title>' in text
  found = facts(text)
  assert found['state'] == 'finished: 6 steps'
  assert found['data'] == 'shapes: 64 images, 3 classes'
  assert found['model'] == (
    'sagan, 32 px, attention G 16, D 16; batch 8, hinge loss, float32'
  )
  assert found['speed'] == '103.5 images per second, the median'
  assert found['best'] == 'fid_random 1.667 at step 6 (ema standing)'
  assert found['directory'] == str(workdir)
  assert 'A row is a class; all 3 are shown.' in text
  assert 'warning: A gate is shut' in text
  with Image.open(workdir / 'scores' / 'curves.png') as image:
    assert image.size == (1200, 900)  # Five kinds of curves, two a line.


class Ended:
  """A run that has ended, and the log of what it has written."""

  def __init__(self, workdir):
    self.workdir = files.as_path(workdir)
    self.config = tiny.config(num_steps=6)
    self.written = []

  def flush(self):
    self.written.append('flush')

  def write_texts(self, step, texts):
    self.written.append((step, texts))

  def text(self):  # As a scoreboard.
    return '| scores |'


def test_a_run_that_ends_gets_its_page(tmp_path):
  run, said = Ended(histories.write(tmp_path / 'a')), []
  made = reporting.at_end(run, run, run, said.append)
  assert made.page.exists() and said == []
  verdict_text = (
    'warning: A gate is shut. It is 0. Wait.\n\nfine: Losses. They are level.'
  )
  texts = {'verdicts': verdict_text, 'scores': '| scores |'}
  assert run.written == ['flush', (6, texts)]


@pytest.mark.parametrize('name', ['data.json', 'config.json'])
def test_a_damaged_run_gets_its_page_all_the_same(tmp_path, name):
  run, said = Ended(histories.write(tmp_path / 'a')), []
  damage.folder(name)(run.workdir)
  made = reporting.at_end(run, run, None, said.append)
  assert made.page.exists()
  assert said == [
    f'cannot read {run.workdir}/{name}: Is a directory; mend its permissions, '
    'or restore it from a copy'
  ]


def test_a_run_outlives_its_page(tmp_path):
  run, said = Ended(histories.write(tmp_path / 'a')), []
  (run.workdir / 'report.html').mkdir()
  assert reporting.at_end(run, run, None, said.append) is None
  (text,) = said
  assert text.startswith(
    'the page about the run could not be made (UserError: cannot write '
  )
  assert text.endswith(
    f'; python -m sagan_jax.report {run.workdir} tries again'
  )


def test_a_fault_of_the_page_ends_no_run(tmp_path, monkeypatch):
  run, said = Ended(histories.write(tmp_path / 'a')), []
  monkeypatch.setattr(verdicts, 'judge', lambda _: 1 // 0)
  assert reporting.at_end(run, run, None, said.append) is None
  assert '(ZeroDivisionError: integer division' in said[0]


def test_other_processes_write_no_page(tmp_path):
  run = Ended(histories.write(tmp_path / 'a'))
  assert reporting.at_end(run, None, None, print) is None
  assert not (run.workdir / 'report.html').exists()


def test_a_page_holds_its_grids_and_curves(tmp_path):
  text, _ = page(histories.write(tmp_path / 'a'), output=tmp_path / 'p.html')
  data = json.loads(Elements(text).text['data'])
  assert [(f['step'], f['weights'], f['rows']) for f in data['frames'][0]] == [
    (3, 'ema', list(histories.CLASSES)),
    (3, 'raw', list(histories.CLASSES)),
    (6, 'ema', list(histories.CLASSES)),
    (6, 'raw', list(histories.CLASSES)),
  ]
  titles = [p['title'] for p in data['plots']['curves']]
  assert titles[:2] == ['Losses', 'Accuracy of the discriminator']
  (scores,) = data['plots']['scores0']
  assert scores['series'][0]['mean'] == [5.0, 2.5, 10 / 6]


def test_scores_of_runs_are_compared_by_protocol(tmp_path):
  one, two = (histories.write(tmp_path / x) for x in 'ab')
  lines = histories.record(2, 3.0) + histories.record(4, 1.0, num_fake=99)
  (two / 'evaluations.jsonl').write_text(lines)
  text, _ = page(one, two, output=tmp_path / 'p.html')
  data = json.loads(Elements(text).text['data'])
  assert [s['run'] for s in data['plots']['scores0'][0]['series']] == [0, 1]
  assert 'they differ in num_fake.' in text
  # The best of the second is of its last protocol.
  assert 'fid_random 1 at step 4' in text and 'fid_random 3 at' not in text


def test_configs_are_compared(tmp_path):
  one = histories.write(tmp_path / 'a')
  two = histories.write(tmp_path / 'b', log__every_steps=7, loss='logistic')
  text, _ = page(one, two, output=tmp_path / 'p.html')
  moving, watched = text.index('What moves results'), text.index('How they are')
  everything = text.index('All keys')
  assert '<code>loss</code>' in text[moving:watched]
  assert '<code>log.every_steps</code>' in text[watched:everything]


@pytest.mark.parametrize(
  'paths, labels',
  [
    (['/a/x', '/a/y'], ['x', 'y']),
    (['/a/x', '/b/x', '/c/y'], ['a/x', 'b/x', 'y']),
    (['/a/r/x', '/b/r/x'], ['a/r/x', 'b/r/x']),
    (['/x', '/a/x'], ['x', 'a/x']),
    (['/a', '/'], ['a', '/']),
    (['gs://a/x', '/a/x'], ['gs:/a/x', 'a/x']),
  ],
)
def test_runs_of_one_name_have_labels_of_their_own(
  tmp_path, monkeypatch, paths, labels
):
  gcs.mock_gcs(monkeypatch, tmp_path)  # Needs no package.
  assert reporting.labels([files.as_path(p) for p in paths]) == labels


def test_a_run_given_twice_is_refused(tmp_path):
  path = files.as_path(tmp_path)
  with pytest.raises(
    errors.UserError, match=f'{tmp_path} is given twice; name'
  ):
    reporting.labels([path, path])


def test_what_is_damaged_is_told_and_the_rest_is_shown(tmp_path):
  workdir = histories.write(tmp_path / 'a')
  damage.append('metrics.jsonl', b'{"st')(workdir)
  damage.append('evaluations.jsonl', b'[]')(workdir)
  damage.cut('samples')(workdir)
  text, said = page(workdir, output=tmp_path / 'p.html')
  assert [re.sub(r'\(.*\)', '()', line) for line in said] == [
    'a: metrics.jsonl, line 7: it is no row of a log; it is left out',
    'a: evaluations.jsonl, line 4 is damaged: it is no record of an evaluation '
    '(); mend or delete the line',
    *(
      f'a: {step:08d}_{weights}.png is damaged (); it is left out'
      for step in (6, 3)
      for weights in ('ema', 'raw')
    ),
  ]
  for line in said:
    assert line.removeprefix('a: ').split(' (')[0] in text
  assert 'fid_random' in text


def test_names_are_text_whatever_they_hold(tmp_path):
  names = ['<script>alert(1)</script>', '\ud800', '"\'&']
  workdir = histories.write(tmp_path / '<b>', classes=names)
  text, said = page(workdir, output=tmp_path / 'p.html')
  assert said == []
  found = Elements(text)
  assert [tag for tag, _ in found.tags].count('script') == 2
  data = json.loads(found.text['data'])
  assert data['frames'][0][0]['rows'] == names
  assert data['runs'] == ['<b>']


def test_grids_of_some_classes_say_which(tmp_path):
  classes = [f'class{i}' for i in range(9)]
  workdir = histories.write(
    tmp_path / 'a', classes=classes, sample__max_classes=3
  )
  for path in (workdir / 'samples').iterdir():
    histories.old_grid(path)  # Of three rows, that it does not name.
  text, _ = page(workdir, output=tmp_path / 'p.html')
  assert (
    'A row is a class. 3 of 9 are shown, evenly spaced (sample.max_classes): '
    '0 class0, 4 class4, 8 class8.'
  ) in text
  data = json.loads(Elements(text).text['data'])
  assert data['frames'][0][0]['rows'] == ['class0', 'class4', 'class8']
  damage.remove('data.json')(workdir)
  text, _ = page(workdir, output=tmp_path / 'p.html')
  assert '(sample.max_classes): 0, 4, 8.' in text


def test_grids_left_out_are_counted(tmp_path, monkeypatch):
  monkeypatch.setattr(reporting, '_IMAGE_BYTES', 1)
  workdir = histories.write(tmp_path / 'a')
  text, _ = page(workdir, output=tmp_path / 'p.html')
  assert f'1 of 4 grids are on this page; all are in {workdir}/samples.' in text


def test_a_run_without_anything_says_so(tmp_path):
  workdir = histories.write(tmp_path / "a 'b")
  for name in ('metrics.jsonl', 'evaluations.jsonl', 'samples', 'data.json'):
    damage.remove(name)(workdir)
  reporting.write(workdir, print)
  text = (workdir / 'report.html').read_text()
  assert 'No row is logged yet' in text
  assert 'No grid is drawn yet' in text
  command = f"--workdir='{tmp_path}/a '\"'\"'b'"
  assert Elements(text).text['p'].count(command) == 1
  assert not (workdir / 'scores').exists()


def test_failed_evaluations_are_told(tmp_path):
  workdir = histories.write(tmp_path / 'a')
  line = json.dumps({'protocol': {'step': 5}, 'error': 'no <file>'})
  damage.append('evaluations.jsonl', line.encode())(workdir)
  text, _ = page(workdir, output=tmp_path / 'p.html')
  assert 'The evaluation of step 5 failed: no &lt;file&gt;.' in text


def test_scores_that_are_no_numbers_are_left_out(tmp_path):
  workdir = histories.write(tmp_path / 'a')
  (workdir / 'evaluations.jsonl').write_text(
    histories.record(2, float('nan'))
    + histories.record(4, 10**400)
    + histories.record(6, 2.5)
  )
  text, _ = page(workdir, output=tmp_path / 'p.html')
  assert facts(text)['best'] == 'fid_random 2.5 at step 6 (ema standing)'


def test_a_run_in_a_bucket_gets_its_page(tmp_path, monkeypatch):
  local = gcs.mock_gcs(monkeypatch, tmp_path)
  histories.write(local('gs://b/run'))
  made = reporting.write('gs://b/run', print)
  assert str(made.page) == 'gs://b/run/report.html'
  assert (
    'run: a run of sagan_jax' in local('gs://b/run/report.html').read_text()
  )
  assert local('gs://b/run/scores/curves.png').exists()
