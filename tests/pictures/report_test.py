"""The page about runs, from plain data."""

import json
import types

import numpy as np

from sagan_jax.pictures import report, score_tables, thinning
from tests.pictures.page_test import Elements

EVIL = '</script><script>alert(1)</script><img src=x onerror=alert(2)>"\'&'


def part(label='a', **changes):
  curves = thinning.Curves()
  curves.add(('step', 'train/d_loss'), np.array([[1, 2.0], [2, 3.0]]))
  frame = {'step': 1, 'weights': 'ema', 'rows': ['disc'], 'image': 'data:,'}
  fields = {
    'label': label,
    'facts': [('state', 'finished')],
    'time': [],
    'verdicts': [],
    'curves': curves,
    'frames': [frame],
    'about_frames': 'all 10 are shown',
    'about_scores': 'none yet',
    'config': {'seed': 0, 'num_steps': 5, 'loss': 'hinge'},
    'damage': [],
  }
  return report.Part(**(fields | changes))


def verdict(**changes):
  fields = {
    'level': 'alarm',
    'title': 'It is ahead',
    'text': 'Seen: 0.99.',
    'advice': 'Try less.',
    'step': 1200,
  }
  return types.SimpleNamespace(**(fields | changes))


def group(fid=1.0, run=0, **protocol):
  row = score_tables.Row(run, 2, 'ema', {'fid': fid})
  return score_tables.Group({'num_fake': 16} | protocol, [row])


def text_of(*parts, scores=(), moving=()):
  return report.render('t', parts, list(scores), set(moving))


def test_whatever_is_quoted_stays_text():
  curves = thinning.Curves()
  curves.add(('step', EVIL), np.array([[1, 2.0]]))
  frame = {'step': 1, 'weights': 'ema', 'rows': [EVIL], 'image': 'data:,'}
  evil = part(
    EVIL,
    facts=[(EVIL, EVIL)],
    verdicts=[verdict(level=EVIL, title=EVIL, text=EVIL, advice=EVIL)],
    curves=curves,
    frames=[frame],
    about_frames=EVIL,
    about_scores=EVIL,
    config={EVIL: EVIL},
    damage=[EVIL],
  )
  scores = [
    score_tables.Group({EVIL: EVIL}, [score_tables.Row(0, 1, EVIL, {EVIL: 1})]),
    group(),
  ]
  found = Elements(report.render(EVIL, [evil, evil], scores, {EVIL}))
  tags = [tag for tag, _ in found.tags]
  assert tags.count('script') == 2 and 'img' not in tags
  assert not any(name.startswith('on') for _, a in found.tags for name in a)
  assert found.text['title'] == EVIL
  data = json.loads(found.text['data'])
  assert data['runs'] == [EVIL, EVIL]
  assert data['frames'][0][0]['rows'] == [EVIL]
  assert data['plots']['curves'][0]['series'][0]['name'] == EVIL


def test_every_plot_has_its_data():
  found = Elements(text_of(part(), scores=[group(), group(num_fake=32)]))
  places = [a['data-plots'] for _, a in found.tags if 'data-plots' in a]
  assert places == ['curves', 'scores0', 'scores1']
  data = json.loads(found.text['data'])
  assert set(data['plots']) == set(places)
  assert data['steps'][0]['mean'] == [1, 2]


def test_verdicts_come_with_their_advice():
  text = text_of(
    part(verdicts=[verdict(), verdict(level='fine', advice='', step=None)])
  )
  assert '<li class="alarm"><b>alarm: It is ahead</b>' in text
  assert 'Seen: 0.99. Try less. <span class="faint">(step 1,200)' in text
  assert '<li class="fine"><b>fine: It is ahead</b><p>Seen: 0.99. <span' in text
  assert text.index('class="verdicts"') < text.index('<h2>Curves</h2>')


def test_scores_of_different_protocols_stay_apart():
  text = text_of(part(), scores=[group(), group(num_fake=32, labels='data')])
  assert 'protocol 1: they differ in num_fake, labels.' in text


def test_configs_are_compared():
  first = part('a')
  other = part('b', config={'seed': 0, 'num_steps': 9, 'loss': 'logistic'})
  text = text_of(first, other, moving={'loss'})
  moves = text.index('What moves results')
  watched = text.index('How they are watched')
  assert moves < text.index('<td>&#x27;logistic&#x27;</td>') < watched
  assert watched < text.index('<td>9</td>') < text.index('All keys')
  text = text_of(first, part('b'))
  assert 'The configs are the same.' in text
  assert 'What moves results' not in text and 'How they are' not in text
  # Of a single run there is nothing to compare.
  assert 'The configs are the same.' not in text_of(first)


def test_what_could_not_be_read_is_listed():
  assert 'What could not be read' not in text_of(part())
  text = text_of(part(damage=['line 3: <none>']))
  assert '<li>line 3: &lt;none&gt;</li>' in text


def test_a_run_with_nothing_yet_says_so():
  empty = part(
    curves=thinning.Curves(), frames=[], about_frames='No grid', config=None
  )
  found = text_of(empty)
  assert 'No row is logged yet' in found and 'No grid' in found
  ids = {a.get('id') for _, a in Elements(found).tags}
  assert not ids & {'curve-controls', 'film-controls', 'films'}
  assert '<h2>Config</h2>' not in found


def test_many_runs_share_the_room():
  curves = thinning.Curves()
  steps = np.arange(5000.0)
  curves.add(('step', 'x'), np.column_stack([steps, steps]))
  sizes = {}
  for count in (1, 40):
    parts = [part(str(i), curves=curves) for i in range(count)]
    data = json.loads(Elements(text_of(*parts)).text['data'])
    sizes[count] = [len(s['mean']) for s in data['steps']]
  assert sizes == {1: [1000], 40: [100] * 40}


def test_the_guide_is_on_the_page(monkeypatch):
  sections = [('Collapse & co', ['<first>', 'second'])]
  monkeypatch.setattr(report.guide, 'SECTIONS', sections)
  text = text_of(part())
  assert '<summary>Collapse &amp; co</summary><p>&lt;first&gt;</p>' in text
