"""Tests of pages for a browser."""

import html.parser
import json

from sagan_jax.pictures import page


class Elements(html.parser.HTMLParser):
  """The tags of a page, and the text of each by its id or tag."""

  def __init__(self, text):
    super().__init__()
    self.tags, self.text, self._open = [], {}, None
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    self._open = dict(attrs).get('id', tag)

  def handle_endtag(self, tag):
    del tag
    self._open = None

  def handle_data(self, data):
    self.text[self._open] = self.text.get(self._open, '') + data


def test_what_a_page_quotes_stays_text():
  evil = '</script><script>alert(1)</script><!-- "\' &'
  found = Elements(page.render(evil, page.escape(evil), data={evil: [evil]}))
  assert found.text['title'] == evil
  assert json.loads(found.text['data']) == {evil: [evil]}
  assert [tag for tag, _ in found.tags].count('script') == 2


def test_nothing_is_fetched():
  found = Elements(page.render('a', 'b'))
  policy = [a['content'] for _, a in found.tags if 'http-equiv' in a]
  assert len(policy) == 1 and policy[0].startswith("default-src 'none'; ")
  urls = [a[k] for _, a in found.tags for k in ('src', 'href') if k in a]
  assert urls == ['data:,']


def test_numbers_that_are_not_finite_become_null():
  data = {'loss': [1.5, float('nan'), float('inf'), -float('inf')]}
  found = Elements(page.render('a', 'b', data=data))
  assert json.loads(found.text['data']) == {'loss': [1.5, None, None, None]}


def test_a_data_url_holds_its_bytes():
  assert page.data_url(b'\x00\xff', 'image/png') == (
    'data:image/png;base64,AP8='
  )
